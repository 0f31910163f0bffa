"""The file /etc/wireguard/NAME.conf as wg-quick reads it: what we want in it, refusing, rendering, reading back.

Pure text work. Secrets stand in the file because `wg syncconf` takes away what the file does not say (wg(8)).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Union

from .errors import WgMigrateError
from .keys import is_key
from .reading import shown

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

MARK = "# Written by wg-migrate (module wireguard_quick). What is changed here by hand is put back."
"""First line of our files: a file of that name without it is somebody else's and is not touched."""

MTU_MINIMUM = 1280
"""Bytes: what IPv6 needs of every link (RFC 8200, section 5)."""

_INTERFACE = re.compile(r"[A-Za-z0-9_-]{1,15}")
_PEER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,99}")
_SYSCTL = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+")
_SECRET = re.compile(r"((?:PrivateKey|PresharedKey)[^\S\n]*=)[^\n]*", re.IGNORECASE)
"""As `wg` reads it (config.c), which minds neither case nor white space; also behind a # that somebody has put in."""
_PLAIN_ADDRESS = re.compile(r"[0-9A-Fa-f.:/]+")
_CONTROL = re.compile(r"[\0-\x08\x0b-\x1f\x7f\ud800-\udfff]")
"""What is no text for a file or a command."""


_PEER_SPEC: Mapping[str, Any] = {
    "name": {"type": "str", "required": True},
    "public_key": {"type": "str", "no_log": False},
    "preshared_key": {"type": "str", "no_log": True},
    "allowed_ips": {"type": "list", "elements": "str", "default": []},
}

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "addresses": {"type": "list", "elements": "str", "default": []},
    "listen_port": {"type": "int"},
    "mtu": {"type": "int"},
    "private_key_file": {"type": "path", "no_log": False},
    "next_private_key_file": {"type": "path", "no_log": False},
    "peers": {"type": "list", "elements": "dict", "default": [], "options": _PEER_SPEC},
    "nftables": {"type": "str", "default": ""},
    "sysctls": {"type": "dict", "default": {}},
}
"""What module wireguard_quick takes, which documents it."""


@dataclass(frozen=True)
class Peer:
    """A peer as configured: name for people, keys in base64, networks in canonical form. "" is no preshared key."""

    name: str
    public_key: str
    preshared_key: str = field(default="", repr=False)
    allowed_ips: tuple[str, ...] = ()


@dataclass(frozen=True)
class PeerWanted:
    """A peer as asked for. A key that is None is not known in this run: the one in the file, if any, stays."""

    name: str
    public_key: str | None = None
    preshared_key: str | None = field(default=None, repr=False)
    allowed_ips: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """A wg-quick interface as asked for. None for port or MTU leaves the choice to WireGuard and wg-quick.

    `nftables` is the body of an own table, "" for none; `sysctls` maps dotted keys to values.
    """

    name: str
    addresses: tuple[str, ...] = ()
    listen_port: int | None = None
    mtu: int | None = None
    private_key: str = field(default="", repr=False)
    peers: tuple[PeerWanted, ...] = ()
    nftables: str = ""
    sysctls: Mapping[str, str] = field(default_factory=dict)

    def networks(self) -> list[Network]:
        """Return every network that the interface will have an address in or a route to."""
        texts = [*self.addresses, *(network for peer in self.peers for network in peer.allowed_ips)]
        return [ipaddress.ip_network(text, strict=False) for text in texts]


@dataclass(frozen=True)
class Paths:
    """Where everything of one interface lives; all of it bears the interface's name."""

    name: str

    @property
    def unit(self) -> str:
        """The systemd unit."""
        return f"wg-quick@{self.name}.service"

    @property
    def dropin(self) -> str:
        """What we add to the unit where wireguard-go runs behind it."""
        return f"/etc/systemd/system/{self.unit}.d/wg-migrate.conf"

    @property
    def conf(self) -> str:
        """What wg-quick reads."""
        return f"/etc/wireguard/{self.name}.conf"

    @property
    def nft(self) -> str:
        """The script that loads our table."""
        return f"/etc/wg-migrate/{self.name}.nft"

    @property
    def sysctl(self) -> str:
        """Our kernel settings."""
        return f"/etc/sysctl.d/60-wg-migrate-{self.name}.conf"

    @property
    def state(self) -> str:
        """What the kernel settings were before us."""
        return f"/var/lib/wg-migrate/{self.name}.json"

    @property
    def table(self) -> str:
        """The nft table in family inet."""
        return f"wg_migrate_{self.name}"


def canonical_network(text: str) -> str:
    """Return a network as the kernel and `wg` print it; raises WgMigrateError."""
    try:
        return str(ipaddress.ip_network(_plain_address(text), strict=False))
    except ValueError:
        raise WgMigrateError(f"{shown(text)} is no network: write for example 10.86.0.2/32 or fd00::2/128.") from None


def canonical_address(text: str) -> str:
    """Return an interface address with its prefix length; raises WgMigrateError."""
    try:
        return str(ipaddress.ip_interface(_plain_address(text)))
    except ValueError:
        raise WgMigrateError(f"{shown(text)} is no address: write for example 10.87.16.1/20.") from None


def _plain_address(text: str) -> str:
    # ipaddress takes anything at all after a %, as in fe80::1%eth0, and gives it back: a line of its own, too.
    if not _PLAIN_ADDRESS.fullmatch(text):
        raise ValueError(text)
    return text


def wanted(parameters: Mapping[str, Any], private_key: str) -> Wanted:
    """Return what a module's parameters ask for, networks in canonical form; raises WgMigrateError for bad ones."""
    peers = [
        PeerWanted(
            peer["name"],
            peer["public_key"],
            peer["preshared_key"],
            tuple(canonical_network(network) for network in peer["allowed_ips"]),
        )
        for peer in parameters["peers"]
    ]
    want = Wanted(
        name=parameters["name"],
        addresses=tuple(canonical_address(address) for address in parameters["addresses"]),
        listen_port=parameters["listen_port"],
        mtu=parameters["mtu"],
        private_key=private_key,
        peers=tuple(peers),
        nftables=parameters["nftables"],
        sysctls={key: _sysctl_value(key, value) for key, value in parameters["sysctls"].items()},
    )
    check(want)
    return want


def _sysctl_value(key: str, value: object) -> str:
    """Return a kernel setting on one line; raises WgMigrateError for what the kernel would not take for one."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise WgMigrateError(f"{shown(value)} is no value of {shown(key)}: write a number or a word, for example 1.")
    return " ".join(str(value).split())


def check_name(name: str) -> None:
    """Refuse what cannot name an interface, a unit and an nft table at once."""
    if not _INTERFACE.fullmatch(name):
        raise WgMigrateError(f"{shown(name)} cannot name the interface: write 1 to 15 letters, digits, '_' or '-'.")


def check(want: Wanted) -> None:
    """Refuse what WireGuard would take and then do something else with."""
    check_name(want.name)
    if want.listen_port is not None and not 1 <= want.listen_port <= 65535:
        raise WgMigrateError(f"listen_port {shown(want.listen_port)} is no UDP port: write one from 1 to 65535.")
    if want.mtu is not None and not MTU_MINIMUM <= want.mtu <= 65535:
        raise WgMigrateError(
            f"mtu {shown(want.mtu)} is refused: write {MTU_MINIMUM} to 65535 bytes; a smaller uplink carries no tunnel."
        )
    for peer in want.peers:
        _check_peer(peer)
    for key, value in want.sysctls.items():
        if not _SYSCTL.fullmatch(key):
            raise WgMigrateError(f"{shown(key)} is no kernel setting: write for example net.ipv4.ip_forward.")
        if not value or _CONTROL.search(value):
            raise WgMigrateError(f"{shown(value)} is no value of {key}: write a number or a word, for example 1.")
    if _CONTROL.search(want.nftables):
        raise WgMigrateError("nftables is no text: write chains and sets as they stand between a table's braces.")
    _refuse_twice("peer name", [peer.name for peer in want.peers])
    _refuse_twice("public key", [peer.public_key for peer in want.peers if peer.public_key])
    _refuse_twice("network in allowed_ips", [network for peer in want.peers for network in peer.allowed_ips])


def _check_peer(peer: PeerWanted) -> None:
    if not _PEER_NAME.fullmatch(peer.name):
        raise WgMigrateError(f"{shown(peer.name)} cannot name a peer: write letters, digits, '_', '.', ':' or '-'.")
    for noun, key in (("public", peer.public_key), ("preshared", peer.preshared_key)):
        if key and not is_key(key):
            raise WgMigrateError(
                f"The {noun} key of peer '{peer.name}' is no WireGuard key: write 44 characters of base64."
            )
    if any(network.endswith("/0") for network in peer.allowed_ips):
        # wg-quick would answer with policy rules and a second routing table: a client's matter, and not reloadable.
        raise WgMigrateError(f"Peer '{peer.name}' asks for every address: list the peer's own networks instead of /0.")


def _refuse_twice(noun: str, values: Iterable[str]) -> None:
    seen = set()
    for value in values:
        if value in seen:
            raise WgMigrateError(f"The {noun} '{value}' stands twice: give each peer its own.")
        seen.add(value)


def settle_peers(wanted: Iterable[PeerWanted], present: Iterable[Peer]) -> tuple[list[Peer], list[str]]:
    """Fill in the keys that this run does not know from the peers in the file, matched by name.

    Returns the peers to configure, and the names of those left out because nobody knows their public key yet.
    """
    known = {peer.name: peer for peer in present}
    peers, left_out = [], []
    for peer in wanted:
        old = known.get(peer.name, Peer(peer.name, ""))
        public_key = old.public_key if peer.public_key is None else peer.public_key
        preshared_key = old.preshared_key if peer.preshared_key is None else peer.preshared_key
        if public_key:
            peers.append(Peer(peer.name, public_key, preshared_key, peer.allowed_ips))
        else:
            left_out.append(peer.name)
    return peers, left_out


def render(want: Wanted, peers: Iterable[Peer]) -> str:
    """Return the text of the conf file.

    The hooks run before the device exists, and wg-quick gives up when one fails: no tunnel without its firewall, also
    at boot.
    """
    paths = Paths(want.name)
    lines = [MARK, "[Interface]", f"PrivateKey = {want.private_key}"]
    lines += [f"ListenPort = {want.listen_port}"] if want.listen_port is not None else []
    lines += [f"Address = {address}" for address in want.addresses]
    lines += [f"MTU = {want.mtu}"] if want.mtu is not None else []
    # Again here and not only by systemd-sysctl: another file in sysctl.d may come later and say otherwise.
    lines += [f"PreUp = sysctl --quiet --load={paths.sysctl}"] if want.sysctls else []
    if want.nftables:
        lines += [f"PreUp = nft --file {paths.nft}", f"PostDown = nft '{'; '.join(drop_table(paths.table))}'"]
    for peer in peers:
        lines += ["", "[Peer]", f"# {peer.name}", f"PublicKey = {peer.public_key}"]
        lines += [f"PresharedKey = {peer.preshared_key}"] if peer.preshared_key else []
        lines += [f"AllowedIPs = {', '.join(peer.allowed_ips)}"] if peer.allowed_ips else []
    return "\n".join(lines) + "\n"


def drop_table(table: str) -> tuple[str, str]:
    """Return the two nft commands that leave no such table, whether there was one or not."""
    return f"add table inet {table}", f"delete table inet {table}"


def render_sysctls(sysctls: Mapping[str, str]) -> str:
    """Return the text of a sysctl.d file."""
    return "\n".join([MARK, *(f"{key} = {value}" for key, value in sorted(sysctls.items(), key=setting_order))]) + "\n"


def setting_order(setting: tuple[str, str]) -> tuple[bool, str]:
    """Sort settings by this: forwarding comes last, for it makes the kernel forget what accept_ra did not keep."""
    return "forwarding" in setting[0], setting[0]


def is_ours(text: str | None) -> bool:
    """Tell whether a file was written by us."""
    return text is not None and text.startswith(MARK)


def masked(text: str | None) -> str:
    """Return the text of a conf file with its secrets masked, "" for no file."""
    return _SECRET.sub(r"\1 (secret)", text or "")


def parse_peers(text: str | None) -> list[Peer]:
    """Return the peers in a conf file that we wrote."""
    sections = (text or "").split("[Peer]\n")[1:]
    return [_parse_peer(section.splitlines()) for section in sections]


def _parse_peer(lines: list[str]) -> Peer:
    name = next((line[2:] for line in lines if line.startswith("# ")), "")
    values = dict(line.split(" = ", 1) for line in lines if " = " in line)
    allowed = tuple(network.strip() for network in values.get("AllowedIPs", "").split(",") if network.strip())
    return Peer(name, values.get("PublicKey", ""), values.get("PresharedKey", ""), allowed)
