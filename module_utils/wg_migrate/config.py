"""The client's configuration: one document, written by the module double_tunnel and read again at every boot."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .addresses import family, read_host_address, read_host_address4, read_host_address6
from .errors import WgMigrateError
from .inventory import LARGEST_UPLINK, SCOPES
from .keys import is_key
from .mtu import inner_mtu, outer_mtu, refuse_small_uplink
from .reading import read_path, shortened, shown
from .system import System

PATH = "/etc/wg-migrate/config.json"
COPY = "/var/lib/wg-migrate/config.json"
"""The configuration that was last deployed and came up."""
OUTER_NAMESPACE = "wgnet"
APPLICATION_NAMESPACE = "comps"
INNER_DEVICE = "wg0"
OUTER_DEVICE = re.compile(r"wgnet[0-9]{1,10}")
_UPLINK = re.compile(r"(?!lo$|wg0$|wgnet[0-9]*$)[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
"""A device that is not ours: of what Linux takes for a name (15 bytes), what is one word to `ip` and nft."""
_LARGEST_PINNED = "wgnet9999"
_PEER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
"""What names a peer names its key files, too (keys.py)."""
_DIRECTORY = re.compile(r"(/[A-Za-z0-9_.-]+)+/?")
_GROUP = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_PLAIN_ADDRESS = re.compile(r"[0-9A-Fa-f.:/]+")


@dataclass(frozen=True)
class Exit:
    """Where wg0 ends: the exit's address and UDP port outside, its addresses inside, its public key if it is known."""

    name: str
    address: str
    port: int
    inner_address: str
    inner_address6: str
    public_key: str | None = None


@dataclass(frozen=True)
class Path:
    """One outer tunnel: its device's name and the proxy where it ends.

    `uplink` is the only device of the host by which it leaves, "" for whichever the routes say. At a proxy that is not
    ours `own_address` is the address that it knows this client by; "" is the overlay address.
    """

    name: str
    proxy: str
    address: str
    port: int
    public_key: str | None = None
    uplink: str = ""
    own_address: str = ""


@dataclass(frozen=True)
class Config:
    """Everything that the client must be, with nothing left to find out at boot.

    `uplink_mtu` is in bytes, `keepalive` in seconds; `management_sources` and `lan_networks` are networks in CIDR form;
    `status_group` is the group of this host whose members may read the loop's status, "" for none. `overlay_address` is
    of the family of the exit's address; `inner_address6` is empty where this kernel has no IPv6.
    """

    scope: str
    userspace: bool
    overlay_address: str
    inner_address: str
    inner_address6: str
    uplink_mtu: int
    exit: Exit
    paths: list[Path]
    key_directory: str
    keepalive: int = 20
    management_sources: list[str] = field(default_factory=list)
    management_ports: list[int] = field(default_factory=lambda: [22])
    lan_networks: list[str] = field(default_factory=list)
    dns_servers: list[str] = field(default_factory=list)
    status_group: str = ""

    @property
    def inner_namespace(self) -> str | None:
        """The namespace in which wg0 and the applications live; None is the host's own."""
        return APPLICATION_NAMESPACE if self.scope == "namespace" else None

    @property
    def basis(self) -> list[str]:
        """All that the loop goes by from its start: where it differs, the loop must be started anew."""
        paths = [f"{path.name} {path.proxy}" for path in self.paths if path.public_key]
        exit_host = f"{self.exit.name} {self.exit.address} {self.exit.port} {self.exit.inner_address}"
        return [f"scope {self.scope}", self.overlay_address, exit_host, *paths, f"group {self.status_group}"]

    @property
    def inner_addresses(self) -> list[str]:
        """The addresses of wg0."""
        return [address for address in (self.inner_address, self.inner_address6) if address]

    @property
    def overlay_family(self) -> str:
        """The one family that there is in namespace wgnet, as `ip` takes it."""
        return family(self.overlay_address)

    @property
    def uplinks(self) -> list[str]:
        """The devices that paths are pinned to."""
        return list(dict.fromkeys(path.uplink for path in self.paths if path.uplink))

    @property
    def inner_mtu(self) -> int:
        """Bytes."""
        return inner_mtu(self.uplink_mtu)

    @property
    def outer_mtu(self) -> int:
        """Bytes."""
        return outer_mtu(self.uplink_mtu)


def parse(document: Mapping[str, Any]) -> Config:
    """Return the configuration that a document describes.

    Raises WgMigrateError for anything that is missing, unknown, of another type, or out of range. What is returned goes
    into scripts of `nft`, `ip` and `wg` and into paths as it stands: no word in it means anything to them but itself.
    """
    try:
        config = Config(
            **{
                **document,
                "exit": Exit(**document["exit"]),
                "paths": [Path(**path) for path in document["paths"]],
            }
        )
    except KeyError as error:
        raise WgMigrateError(f"the configuration lacks {error}") from None
    except TypeError as error:
        raise WgMigrateError(f"the configuration is not one of this version: {shortened(str(error))}") from None
    _check_types(config, "")
    _check(config)
    return config


def load(system: System) -> Config:
    """Return the configuration of this host; where its file is damaged or gone, what last came up, and say so.

    So a damaged file cannot keep tunnel and guard from standing at the next boot. Raises WgMigrateError, which is about
    the file itself, where neither can be had.
    """
    try:
        return read(system, PATH)
    except WgMigrateError as error:
        try:
            copy = read(system, COPY)
        except WgMigrateError:
            raise error from None
        print(f"wg-migrate: {error}; meanwhile what was deployed before is used", file=sys.stderr)
        return copy


def read(system: System, path: str) -> Config:
    """Return the configuration in a file. Raises WgMigrateError where it is missing, damaged, or not one."""
    try:
        text = system.read(path)
        if text is None:
            raise WgMigrateError(f"{path} is not there: deploy this client first, with 'ansible-playbook site.yml'")
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WgMigrateError(f"{path} is not JSON ({shortened(str(error))}): deploy this client again") from None
    if not isinstance(document, dict):
        raise WgMigrateError(f"{path} holds no JSON object: deploy this client again")
    return parse(document)


def dump(config: Config) -> str:
    """Return the configuration as the text of its file."""
    return json.dumps(dataclasses.asdict(config), indent=2, sort_keys=True) + "\n"


def keep_known_keys(config: Config, before: Config | None) -> Config:
    """Return the configuration with public keys that it lacks taken from the one before.

    A peer that was left out of an Ansible run (`--limit`) has no key in it, and stays as it was configured.
    """
    if before is None:
        return config
    known = {path.proxy: path.public_key for path in before.paths}
    paths = [dataclasses.replace(p, public_key=p.public_key or known.get(p.proxy)) for p in config.paths]
    same_exit = before.exit.name == config.exit.name
    exit_key = config.exit.public_key or (before.exit.public_key if same_exit else None)
    return dataclasses.replace(config, paths=paths, exit=dataclasses.replace(config.exit, public_key=exit_key))


def gone_peers(config: Config, before: Config | None) -> list[str]:
    """Return the names of the peers that a configuration does not have any more, sorted."""
    return sorted(_peers(before) - _peers(config)) if before else []


def _peers(config: Config) -> set[str]:
    return {config.exit.name, *(path.proxy for path in config.paths)}


def unknown_peers(config: Config) -> list[str]:
    """Return the names of the peers whose public keys are not known."""
    peers = [(path.proxy, path.public_key) for path in config.paths] + [(config.exit.name, config.exit.public_key)]
    return [name for name, key in peers if not key]


_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "str": (lambda value: isinstance(value, str), "text"),
    "str | None": (lambda value: value is None or isinstance(value, str), "text, or leave it out"),
    "bool": (lambda value: isinstance(value, bool), "true or false"),
    "int": (lambda value: type(value) is int, "a whole number"),  # true and false are of type int, too
    "list[str]": (
        lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
        "a list of texts",
    ),
    "list[int]": (
        lambda value: isinstance(value, list) and all(type(each) is int for each in value),
        "a list of numbers",
    ),
}
"""What the values of a field's type are, and what to write for one."""


def _check_types(part: Config | Exit | Path, where: str) -> None:
    for each in dataclasses.fields(part):
        value = getattr(part, each.name)
        if isinstance(value, Exit):
            _check_types(value, "exit.")
        elif each.name == "paths":
            for path in value:
                _check_types(path, "path ")
        elif not _TYPES[str(each.type)][0](value):
            raise WgMigrateError(f"{where}{each.name} is {shown(value)}: write {_TYPES[str(each.type)][1]}")


def _check(config: Config) -> None:
    if config.scope not in SCOPES:
        raise WgMigrateError(f"scope is {shown(config.scope)}: write {' or '.join(SCOPES)}")
    if not config.paths:
        raise WgMigrateError("there are no paths: a client needs at least one proxy, better two")
    names = [path.name for path in config.paths]
    if len(set(names)) != len(names) or not all(map(OUTER_DEVICE.fullmatch, names)):
        named = shortened(", ".join(names))
        raise WgMigrateError(f"the paths are named {named}: write distinct names such as wgnet1, wgnet2")
    refuse_small_uplink(config.uplink_mtu)
    if config.uplink_mtu > LARGEST_UPLINK:
        raise WgMigrateError(f"uplink_mtu is {shown(config.uplink_mtu)}: write bytes up to {LARGEST_UPLINK}")
    if not 1 <= config.keepalive <= 25:
        raise WgMigrateError(
            f"keepalive is {shown(config.keepalive)}: write seconds from 1 to 25; NATs forget UDP after 30"
        )
    if config.status_group and not _GROUP.fullmatch(config.status_group):
        raise WgMigrateError(f'status_group is {shown(config.status_group)}: write the name of a group, or "" for none')
    _check_addresses(config)
    _check_keys(config)


def _check_addresses(config: Config) -> None:
    outside = [config.overlay_address, config.exit.address, *(path.address for path in config.paths)]
    for address in [*outside, *config.dns_servers]:
        _refuse_unless(read_host_address, address, "the address of one host, for example 192.0.2.7 or 2001:db8::7")
    for address in [config.inner_address, config.exit.inner_address]:
        _refuse_unless(read_host_address4, address, "the IPv4 address of one host, for example 10.87.16.7")
    for address in [*config.inner_addresses[1:], config.exit.inner_address6]:
        _refuse_unless(read_host_address6, address, "the IPv6 address of one host, for example fd00:db8::7")
    if family(config.exit.address) != config.overlay_family:
        raise WgMigrateError(
            f"overlay_address {config.overlay_address} and the exit's address {config.exit.address} are of two "
            "families: write both IPv4 or both IPv6"
        )
    for path in config.paths:
        _check_path(path, config.overlay_family)
    for network in [*config.management_sources, *config.lan_networks]:
        _refuse_unless(_read_network, network, "a network, for example 192.0.2.7/32")
    for port in [config.exit.port, *(path.port for path in config.paths), *config.management_ports]:
        if not 1 <= port <= 65535:
            raise WgMigrateError(f"{shown(port)} is no port: write a number from 1 to 65535")


def _check_path(path: Path, overlay_family: str) -> None:
    if path.own_address:
        _refuse_unless(read_host_address, path.own_address, "the address that the provider gave this client")
        if family(path.own_address) != overlay_family:
            raise WgMigrateError(
                f"{path.proxy} knows this client as {path.own_address}, and the exit's address is of another family"
            )
    if path.uplink:
        read_uplink(path.uplink)
        if len(path.name) > len(_LARGEST_PINNED):  # room for one bit more in its mark (tunnel_want.MARKED_ANEW)
            raise WgMigrateError(
                f"{path.name} has the uplink {path.uplink}: write a name up to {_LARGEST_PINNED} for such a path"
            )


def read_uplink(value: object) -> str:
    """Return the name of a device that a path may be pinned to. Raises WgMigrateError for what can be none."""
    if not isinstance(value, str) or not _UPLINK.fullmatch(value):
        raise WgMigrateError(f"{shown(value)} is no uplink: write the name of a device, for example wlan0")
    return value


def _read_network(text: str) -> None:
    # ipaddress takes anything at all after a %, as in fe80::1%eth0, and gives it back.
    if not _PLAIN_ADDRESS.fullmatch(text):
        raise ValueError(text)
    ipaddress.ip_network(text)


def _check_keys(config: Config) -> None:
    """Refuse what cannot be a key, name its file, or hold it."""
    read_path("key_directory", config.key_directory)
    if not _DIRECTORY.fullmatch(config.key_directory):
        raise WgMigrateError(
            f"key_directory is {shown(config.key_directory)}: write an absolute path of letters, digits, '_', '.' and "
            "'-', for example /etc/wg-migrate/keys"
        )
    peers = [(path.proxy, path.public_key) for path in config.paths] + [(config.exit.name, config.exit.public_key)]
    for name, key in peers:
        if not _PEER_NAME.fullmatch(name):
            raise WgMigrateError(
                f"{shown(name)} cannot name a peer: write at most 100 letters, digits, '_', '.' or '-', a letter first"
            )
        if key and not is_key(key):
            raise WgMigrateError(f"the public key of {name} is no WireGuard key: write what 'wg pubkey' prints")


def _refuse_unless(read: Callable[[str], object], text: str, wanted: str) -> None:
    try:
        read(text)
    except ValueError:
        raise WgMigrateError(f"{shown(text)} is refused: write {wanted}") from None
