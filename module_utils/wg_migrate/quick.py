"""A wg-quick interface with a firewall table and kernel settings of its own: pure plans, and carrying them out.

The plan compares with what runs and not only with files, so that a run that was cut off is finished by the next one.
Peers come and go without a restart, which would stop the traffic of all others: `wg syncconf` (the unit's reload) for
the peers, and routes by hand, which a reload leaves as they are.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Union

from . import nft
from .errors import WgMigrateError
from .quick_conf import (
    Paths,
    Peer,
    Wanted,
    drop_table,
    is_ours,
    parse_peers,
    render,
    render_sysctls,
    setting_order,
    settle_peers,
)
from .quick_have import Configured, Device, Have
from .system import System

CONF_MODE = 0o600
DIRECTORIES = ("/etc/wg-migrate", "/var/lib/wg-migrate")
DROPIN = """\
# wireguard-go runs behind this unit, which by itself would take no notice of its end.
[Service]
Type=forking
RemainAfterExit=no
Restart=always
RestartSec=1
"""


@dataclass(frozen=True)
class Run:
    """Run a command. `words` is for people; "" is a step that belongs to the one beside it."""

    words: str
    argv: tuple[str, ...]
    stdin: str | None = None


@dataclass(frozen=True)
class Write:
    """Replace a file."""

    words: str
    path: str
    text: str = field(repr=False)
    mode: int = 0o644


@dataclass(frozen=True)
class Remove:
    """Remove a file."""

    words: str
    path: str


Step = Union[Run, Write, Remove]


@dataclass(frozen=True)
class Plan:
    """Steps in order, the conf file and peers that they end with, and the peers left out for want of a public key."""

    steps: tuple[Step, ...]
    conf: str | None = field(default=None, repr=False)
    peers: tuple[Peer, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def actions(self) -> list[str]:
        """What the steps do, in words."""
        return [step.words for step in self.steps if step.words]


@dataclass(frozen=True)
class Replacement:
    """A private key that takes the place of the one in a file, and the file in which it has waited."""

    text: str = field(repr=False)
    waits_in: str
    path: str


def plan(have: Have, want: Wanted, replacement: Replacement | None = None) -> Plan:
    """Return what makes the interface as wanted; raises WgMigrateError before anything that is not ours is touched."""
    _refuse_foreign(have, want.name)
    _refuse_collisions(have, want)
    peers, left_out = settle_peers(want.peers, parse_peers(have.conf))
    conf = render(want, peers)
    unit = _plan_unit(have, want.name, DROPIN if have.userspace else None)
    revival = _plan_revival(have, want, another_unit=bool(unit))
    steps = [
        *unit,
        *_plan_sysctls(have, want),
        *_plan_table(have, want, loads_itself=bool(revival)),
        *([] if revival else _plan_old_routes(have, want, peers)),
        *_plan_conf(have, want.name, conf),
        *_plan_replacement(replacement),
        *_plan_enabling(have, want.name),
        *(revival or _plan_peers(have, want, peers)),
    ]
    return Plan(tuple(steps), conf, tuple(peers), tuple(left_out))


def _refuse_foreign(have: Have, name: str) -> None:
    paths = Paths(name)
    if have.conf is not None and not is_ours(have.conf):
        raise WgMigrateError(
            f"{paths.conf} exists and wg-migrate did not write it: choose another interface name, or move it away."
        )
    if have.conf is None and have.link:
        raise WgMigrateError(
            f"This host has a device {name} that wg-migrate did not make: choose another interface name, or remove the "
            f"device with 'ip link delete dev {name}'."
        )


def _refuse_collisions(have: Have, want: Wanted) -> None:
    for ours in want.networks():
        for interface, theirs in have.networks:
            if ours.version == theirs.version and ours.overlaps(theirs):
                raise WgMigrateError(
                    f"{ours} for {want.name} collides with {theirs} of this host's {interface}: "
                    "choose a network that the host does not use, for example one inside 10.0.0.0/8."
                )


def _plan_sysctls(have: Have, want: Wanted) -> list[Step]:
    """Remember what was, before the first change; give back what is no longer asked for."""
    paths = Paths(want.name)
    missing = sorted(key for key in want.sysctls if have.sysctls.get(key) is None)
    if missing:
        raise WgMigrateError(f"This kernel has no setting {', '.join(missing)}: leave it out of sysctls.")
    old = have.remembered or {}
    memory = {key: old.get(key, have.sysctls[key]) for key in sorted(want.sysctls)}
    steps: list[Step] = _plan_restoration(have, [key for key in old if key not in want.sysctls])
    if memory and memory != have.remembered:
        text = json.dumps({"sysctls": memory}) + "\n"
        steps.append(Write(f"remember the kernel settings as they are in {paths.state}", paths.state, text))
    elif not memory and have.remembered is not None:
        steps.append(Remove("", paths.state))
    text = render_sysctls(want.sysctls)
    if want.sysctls and have.sysctl_file != text:
        steps.append(Write(f"write {paths.sysctl}", paths.sysctl, text))
    elif not want.sysctls and have.sysctl_file is not None:
        steps.append(Remove(f"remove {paths.sysctl}", paths.sysctl))
    changed = {key: value for key, value in want.sysctls.items() if have.sysctls[key] != value}
    return steps + [
        _set_sysctl(key, have.sysctls[key], value) for key, value in sorted(changed.items(), key=setting_order)
    ]


def _plan_restoration(have: Have, keys: Iterable[str]) -> list[Step]:
    old = have.remembered or {}
    return [_set_sysctl(key, have.sysctls[key], old[key]) for key in sorted(keys) if have.sysctls[key] != old[key]]


def _set_sysctl(key: str, before: str | None, value: str) -> Step:
    return Run(f"set {key} = {value} (was {before})", ("sysctl", "--quiet", "--write", f"{key}={value}"))


def _plan_table(have: Have, want: Wanted, loads_itself: bool) -> list[Step]:
    """Put the firewall in place. Where the interface is about to start, its PreUp line loads the table."""
    paths = Paths(want.name)
    if not want.nftables:
        return _plan_no_table(have, paths)
    text = nft.render(paths.table, want.nftables)
    steps: list[Step] = []
    if have.nft_file != text:
        # Checked before the old rules give way: a table that nft refuses would keep the interface down.
        steps.append(Run("", ("nft", "--check", "--file", "-"), text))
        steps.append(Write(f"write {paths.nft}", paths.nft, text))
    if have.table != nft.fingerprint(want.nftables) and not loads_itself:
        steps.append(Run(f"load nft table {paths.table}", ("nft", "--file", paths.nft)))
    return steps


def _plan_no_table(have: Have, paths: Paths) -> list[Step]:
    steps: list[Step] = []
    if have.table is not None:
        commands = "; ".join(drop_table(paths.table))
        steps.append(Run(f"remove nft table {paths.table}", ("nft", commands)))
    if have.nft_file is not None:
        steps.append(Remove(f"remove {paths.nft}", paths.nft))
    return steps


def _plan_conf(have: Have, name: str, conf: str) -> list[Step]:
    path = Paths(name).conf
    if have.conf == conf and have.conf_mode == CONF_MODE:
        return []
    return [Write(f"write {path}", path, conf, CONF_MODE)]


def _plan_replacement(replacement: Replacement | None) -> list[Step]:
    if replacement is None:
        return []
    words = f"replace the private key in {replacement.path}"
    return [Write(words, replacement.path, f"{replacement.text}\n", CONF_MODE), Remove("", replacement.waits_in)]


def _plan_unit(have: Have, name: str, wanted: str | None) -> list[Step]:
    """Add to the unit what wireguard-go needs, or take it away; systemd is told at once."""
    if have.dropin == wanted:
        return []
    path, tell = Paths(name).dropin, Run("", ("systemctl", "daemon-reload"))
    return [Remove(f"remove {path}", path) if wanted is None else Write(f"write {path}", path, wanted), tell]


def _plan_enabling(have: Have, name: str) -> list[Step]:
    unit = Paths(name).unit
    return [] if have.enabled else [Run(f"enable {unit}", ("systemctl", "enable", unit))]


def _plan_revival(have: Have, want: Wanted, another_unit: bool) -> list[Step]:
    """Return the steps that start or restart the interface, none if it runs with the wanted interface part and unit."""
    unit = Paths(want.name).unit
    restart = ("systemctl", "restart", unit)
    if have.device is not None and have.active:
        reasons = [*(["another unit"] if another_unit else []), *_interface_changes(have.device, want)]
        return [Run(f"restart {unit}: {', '.join(reasons)}", restart)] if reasons else []
    steps: list[Step] = []
    if have.link:
        # A device that its unit does not know of, as after a start that was cut off: wg-quick would refuse the name.
        steps.append(Run(f"remove stray device {want.name}", ("ip", "link", "delete", "dev", want.name)))
    # A restart also starts what is stopped, and what systemd believes to run although its device is gone.
    return [*steps, Run(f"start {unit}", restart)]


def _interface_changes(device: Device, want: Wanted) -> list[str]:
    changes = []
    if want.listen_port not in (None, device.listen_port):
        changes.append(f"port {device.listen_port} -> {want.listen_port}")
    if want.mtu not in (None, device.mtu):
        changes.append(f"MTU {device.mtu} -> {want.mtu}")
    if device.addresses != frozenset(want.addresses):
        before, after = (" ".join(sorted(addresses)) or "none" for addresses in (device.addresses, want.addresses))
        changes.append(f"addresses {before} -> {after}")
    return changes


def wanted_routes(want: Wanted, peers: Iterable[Peer]) -> list[str]:
    """Return the routes that wg-quick makes at a start: allowed networks that no address of the interface covers."""
    connected = [ipaddress.ip_interface(address).network for address in want.addresses]
    networks = [ipaddress.ip_network(network) for peer in peers for network in peer.allowed_ips]
    # mypy cannot see that the versions are compared first, so that both are of one kind.
    return [
        str(network)
        for network in networks
        if not any(network.version == own.version and network.subnet_of(own) for own in connected)  # type: ignore[arg-type]
    ]


def _plan_old_routes(have: Have, want: Wanted, peers: list[Peer]) -> list[Step]:
    """Remove the routes of peers that leave, and no route that somebody else made.

    This comes before the conf file is written: while the old peers stand there, a run that was cut off can be finished.
    """
    assert have.device is not None  # else it is about to start
    configured = {network for peer in have.device.peers.values() for network in peer.allowed_ips}
    written = {network for peer in parse_peers(have.conf) for network in peer.allowed_ips}
    old = (configured | written) & have.device.routes - set(wanted_routes(want, peers))
    connected = {str(ipaddress.ip_interface(address).network) for address in have.device.addresses}
    return [
        Run(f"remove route {network} dev {want.name}", _route("delete", network, want.name))
        for network in sorted(old - connected)
    ]


def _plan_peers(have: Have, want: Wanted, peers: list[Peer]) -> list[Step]:
    """Bring the peers of a running interface up to date without disturbing those that stay as they are."""
    assert have.device is not None
    paths = Paths(want.name)
    after = {peer.public_key: Configured(peer.preshared_key, frozenset(peer.allowed_ips)) for peer in peers}
    steps: list[Step] = []
    changes = ["other private key"] if want.private_key and have.device.private_key != want.private_key else []
    if after != have.device.peers:
        known = {peer.public_key: peer.name for peer in [*parse_peers(have.conf), *peers]}
        changes += _peer_changes(have.device.peers, after, known)
    if changes:
        steps.append(Run(f"reload {paths.unit}: {', '.join(changes)}", ("systemctl", "reload", paths.unit)))
    missing = sorted(set(wanted_routes(want, peers)) - have.device.routes)
    return steps + [
        Run(f"add route {network} dev {want.name}", _route("replace", network, want.name)) for network in missing
    ]


def _peer_changes(
    before: Mapping[str, Configured], after: Mapping[str, Configured], known: dict[str, str]
) -> list[str]:
    changes = []
    for key in sorted({*before, *after}, key=lambda key: known.get(key, key)):
        name = known.get(key, key)
        if key not in after:
            changes.append(f"remove peer {name}")
        elif key not in before:
            changes.append(f"add peer {name}")
        else:
            if before[key].preshared_key != after[key].preshared_key:
                changes.append(f"other preshared key for peer {name}")
            if before[key].allowed_ips != after[key].allowed_ips:
                changes.append(f"other allowed_ips for peer {name}")
    return changes


def _route(verb: str, network: str, name: str) -> tuple[str, ...]:
    family = "-6" if ":" in network else "-4"
    return ("ip", family, "route", verb, network, "dev", name)


def plan_absent(have: Have, name: str) -> Plan:
    """Return what takes the interface away and leaves the host as it was. A foreign interface of that name stays."""
    if have.conf is not None and not is_ours(have.conf):
        return Plan((), have.conf)
    paths = Paths(name)
    ours = have.conf is not None
    steps: list[Step] = []
    if ours and (have.enabled or have.active):
        steps.append(Run(f"stop and disable {paths.unit}", ("systemctl", "disable", "--now", paths.unit)))
    if ours and (have.failed or (have.active and have.device is None)):
        # Its stop has nothing to take down and fails; systemd would list the unit as failed for ever.
        steps.append(Run("", ("systemctl", "reset-failed", paths.unit)))
    if ours and have.link and not (have.active and have.device):
        steps.append(Run(f"remove stray device {name}", ("ip", "link", "delete", "dev", name)))
    steps += _plan_no_table(have, paths)
    steps += _plan_restoration(have, have.remembered or {})
    if have.sysctl_file is not None:
        steps.append(Remove(f"remove {paths.sysctl}", paths.sysctl))
    if have.remembered is not None:
        steps.append(Remove(f"remove {paths.state}", paths.state))
    steps += _plan_unit(have, name, None)
    if ours:
        steps.append(Remove(f"remove {paths.conf}", paths.conf))
    return Plan(tuple(steps))


def apply(system: System, steps: Iterable[Step]) -> None:
    """Carry out a plan."""
    for step in steps:
        if isinstance(step, Write):
            system.write(step.path, step.text, step.mode)
        elif isinstance(step, Remove):
            system.remove(step.path)
        else:
            _run(system, step)


def _run(system: System, step: Run) -> None:
    try:
        system.run(list(step.argv), stdin=step.stdin)
    except WgMigrateError as error:
        if step.argv[0] != "systemctl":
            raise
        # systemctl only says that it failed; what wg-quick said is in the journal (it prints no keys).
        log = system.attempt(["journalctl", "--unit", step.argv[-1], "--lines=8", "--output=cat", "--no-pager"])
        raise WgMigrateError(f"{error} The unit's last words: {log.stdout.strip()}") from None


def remove_directories(system: System, name: str) -> None:
    """Remove wg-migrate's own directories, and that of the unit, if this was the last that lived there."""
    for directory in (*DIRECTORIES, Paths(name).dropin.rpartition("/")[0]):
        system.remove_empty_directory(directory)
