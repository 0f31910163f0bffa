"""Carry out the actions of a plan with the tools that every host has: ip, wg, nft, sysctl, systemctl."""

from __future__ import annotations

import json
import time
from typing import Callable

from . import nft
from .config import INNER_DEVICE, OUTER_NAMESPACE, Config
from .errors import WgMigrateError
from .nft import inside
from .system import System
from .tunnel_have import SAVED_SYSCTLS, read_secrets
from .tunnel_plan import Action
from .tunnel_want import ANY_PATH, HOST, RESOLVED_CONF, ROUTE_PROTOCOL, Link, Tunnel, known_paths, table_body

DEVICE_WAIT = 120.0
"""Seconds within which wireguard-go must have made its device: some tens of milliseconds where it has a processor."""
TUNNEL_UNIT = "wg-migrate.service"
LOOP_UNIT = "wg-migrate-loop.service"
KEEPER_UNIT = "wg-migrate-keeper.service"


def apply(system: System, actions: list[Action], config: Config | None) -> None:
    """Carry out the actions in order. `config` may be None where all of them remove."""
    for action in actions:
        if action.value is None:
            _REMOVERS[action.key[0]](system, action)
        else:
            assert config is not None
            _MAKERS[action.key[0]](system, action, config)


def _make_namespace(system: System, action: Action, _config: Config) -> None:
    system.run(["ip", "netns", "add", action.key[1]])


def _remove_namespace(system: System, action: Action) -> None:
    system.run(["ip", "netns", "delete", action.key[1]])


def _make_device(system: System, action: Action, _config: Config) -> None:
    name = action.key[1]
    namespace, implementation = action.value.split()
    present = action.before.split() if action.before else None
    if present and present[1] != implementation:
        _remove_device(system, action)
        present = None
    if present is None:
        _create(system, name, implementation)
        present = [_birthplace(name), implementation]
    if present[0] != namespace:
        target = "1" if namespace == HOST else namespace  # the host's namespace is the one of process 1
        system.run([*_ip(present[0]), "link", "set", "dev", name, "netns", target])


def _birthplace(name: str) -> str:
    """Return the namespace in which a device is created: its UDP socket stays there wherever the device goes."""
    return OUTER_NAMESPACE if name == INNER_DEVICE else HOST


def unit(name: str) -> str:
    """Return the systemd unit that runs wireguard-go for a device."""
    return f"wg-migrate-{'inner' if name == INNER_DEVICE else 'outer'}@{name}.service"


def _create(system: System, name: str, implementation: str) -> None:
    if implementation == "kernel":
        system.run([*_ip(_birthplace(name)), "link", "add", "dev", name, "type", "wireguard"])
        return
    system.run(["systemctl", "restart", unit(name)])
    deadline = time.monotonic() + DEVICE_WAIT
    while system.attempt([*_ip(_birthplace(name)), "link", "show", "dev", name]).status != 0 or not _answers(
        system, name
    ):
        if time.monotonic() > deadline or system.attempt(["systemctl", "--quiet", "is-active", unit(name)]).status != 0:
            raise WgMigrateError(f"wireguard-go made no device {name}: see 'journalctl -u {unit(name)}'")
        time.sleep(0.02)


def _answers(system: System, name: str) -> bool:
    """Tell whether wireguard-go listens for its configuration, which it does shortly after the device is there."""
    return system.attempt(["wg", "show", name, "listen-port"]).status == 0


def _remove_device(system: System, action: Action) -> None:
    name = action.key[1]
    namespace = action.before.split()[0]
    # An orphan may be either kind; stopping a unit that does not run does nothing.
    system.run(["systemctl", "stop", unit(name)])
    if system.attempt([*_ip(namespace), "link", "show", "dev", name]).status == 0:
        system.run([*_ip(namespace), "link", "delete", "dev", name])


def _make_wireguard(system: System, action: Action, config: Config) -> None:
    name = action.key[1]
    tunnel: Tunnel = action.value
    peers = {path.name: path.proxy for path in config.paths}
    private, preshared = read_secrets(system, config.key_directory, peers.get(name, config.exit.name))
    text = (
        f"[Interface]\nPrivateKey = {private}\nFwMark = {tunnel.mark}\n"
        f"[Peer]\nPublicKey = {tunnel.peer}\nPresharedKey = {preshared}\nEndpoint = {tunnel.endpoint}\n"
        f"AllowedIPs = {tunnel.allowed}\nPersistentKeepalive = {tunnel.keepalive}\n"
    )
    namespace = OUTER_NAMESPACE if name != INNER_DEVICE else config.inner_namespace
    system.run([*inside(namespace), "wg", "syncconf", name, "/dev/stdin"], stdin=text)


def _make_link(system: System, action: Action, _config: Config) -> None:
    _, namespace, name = action.key
    link: Link = action.value
    before = set(action.before.addresses) if action.before else set()
    if any(":" in address for address in link.addresses):
        # On a host that has IPv6 off by default it is on in the tunnel all the same. The kernel's own WireGuard gives
        # itself no link-local address; any other device would, and ask for routers by it (addr_gen_mode 1: none).
        settings = [f"net.ipv6.conf.{name}.{setting}" for setting in ("disable_ipv6=0", "addr_gen_mode=1")]
        system.run([*_in(namespace), "sysctl", "-q", "-w", *settings])
    size = [] if link.mtu is None else ["mtu", str(link.mtu)]
    # The address first: a device that is up without one would be asked for routes it can't answer.
    for address in link.addresses:
        system.run([*_ip(namespace), "address", "replace", address, "dev", name])
    for address in sorted(before - set(link.addresses)):
        system.run([*_ip(namespace), "address", "delete", address, "dev", name])
    system.run([*_ip(namespace), "link", "set", "dev", name, *size, "up"])


def _make_route(system: System, action: Action, config: Config) -> None:
    _, namespace, family, table, metric = action.key
    value = action.value
    if value == ANY_PATH:
        value = f"dev {known_paths(config)[0].name} src {config.overlay_address}"
    words = ["unreachable", "default"] if value == "unreachable" else ["default", *value.split()]
    # Whether a gateway is a neighbour is found in the table that it stands in, and a pinned path's has nothing else.
    words += ["onlink"] if value.startswith("via ") else []
    placed = ["table", table, "metric", metric, "proto", ROUTE_PROTOCOL]
    system.run([*_ip(namespace), family, "route", "replace", *words, *placed])


def _remove_route(system: System, action: Action) -> None:
    _, namespace, family, table, metric = action.key
    kind = ["unreachable"] if action.before == "unreachable" else []
    route = ["default", "table", table, "metric", metric]
    # The route through a device has gone with it; asking again is cheaper than guessing which.
    if system.attempt([*_ip(namespace), family, "route", "show", *route]).stdout.strip():
        system.run([*_ip(namespace), family, "route", "delete", *kind, *route])


def _make_rule(system: System, action: Action, _config: Config) -> None:
    _, namespace, family, priority = action.key
    if action.before is not None:
        _remove_rule(system, action)
    system.run([*_ip(namespace), family, "rule", "add", "priority", priority, *action.value.split()])


def _remove_rule(system: System, action: Action) -> None:
    _, namespace, family, priority = action.key
    system.run([*_ip(namespace), family, "rule", "delete", "priority", priority])


def _make_table(system: System, action: Action, config: Config) -> None:
    _, namespace, table = action.key
    system.run([*_in(namespace), "nft", "-f", "-"], stdin=nft.render(table, table_body(namespace, config)))


def _remove_table(system: System, action: Action) -> None:
    _, namespace, table = action.key
    system.run([*_in(namespace), "nft", "delete", "table", "inet", table])


def _make_sysctl(system: System, action: Action, _config: Config) -> None:
    _, namespace, name = action.key
    if namespace == HOST:
        if system.read(SAVED_SYSCTLS) is None:
            value = system.run(["sysctl", "-n", name]).strip()
            system.write(SAVED_SYSCTLS, json.dumps({name: value}) + "\n")
        system.run(["sysctl", "-q", "-w", f"{name}=2"])
    else:
        system.run([*_in(namespace), "sysctl", "-q", "-w", f"{name}={action.value}"])


def _remove_sysctl(system: System, _action: Action) -> None:
    saved = json.loads(system.read(SAVED_SYSCTLS) or "{}")
    for name, value in saved.items():
        system.run(["sysctl", "-q", "-w", f"{name}={value}"])
    system.remove(SAVED_SYSCTLS)


def _make_file(system: System, action: Action, _config: Config) -> None:
    system.write(action.key[1], action.value)
    _tell_resolved(system, action)


def _remove_file(system: System, action: Action) -> None:
    system.remove(action.key[1])
    directory = action.key[1].rpartition("/")[0]
    for path in (directory, directory.rpartition("/")[0]):
        system.remove_empty_directory(path)
    _tell_resolved(system, action)


def _tell_resolved(system: System, action: Action) -> None:
    if action.key[1] == RESOLVED_CONF:
        # Many a host has none, which is no error.
        system.attempt(["systemctl", "try-restart", "--no-block", "systemd-resolved.service"])


def _ip(namespace: str) -> list[str]:
    return ["ip", *([] if namespace == HOST else ["-n", namespace])]


def _in(namespace: str) -> list[str]:
    return inside(None if namespace == HOST else namespace)


_MAKERS: dict[str, Callable[[System, Action, Config], None]] = {
    "namespace": _make_namespace,
    "device": _make_device,
    "wireguard": _make_wireguard,
    "link": _make_link,
    "route": _make_route,
    "rule": _make_rule,
    "nft": _make_table,
    "sysctl": _make_sysctl,
    "file": _make_file,
}

_REMOVERS: dict[str, Callable[[System, Action], None]] = {
    "namespace": _remove_namespace,
    "device": _remove_device,
    "route": _remove_route,
    "rule": _remove_rule,
    "nft": _remove_table,
    "sysctl": _remove_sysctl,
    "file": _remove_file,
}
