"""The client's configuration: one document, written by the module double_tunnel and read again at every boot."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import WgMigrateError
from .inventory import SCOPES
from .mtu import inner_mtu, outer_mtu, refuse_small_uplink
from .system import System

PATH = "/etc/wg-migrate/config.json"
OUTER_NAMESPACE = "wgnet"
APPLICATION_NAMESPACE = "comps"
INNER_DEVICE = "wg0"
OUTER_DEVICE = re.compile(r"wgnet[0-9]{1,10}")


@dataclass(frozen=True)
class Exit:
    """Where wg0 ends: the exit's address and UDP port outside, its address inside, its public key once it is known."""

    name: str
    address: str
    port: int
    inner_address: str
    public_key: str | None = None


@dataclass(frozen=True)
class Path:
    """One outer tunnel: its device's name and the proxy where it ends."""

    name: str
    proxy: str
    address: str
    port: int
    public_key: str | None = None


@dataclass(frozen=True)
class Config:
    """Everything that the client must be, with nothing left to find out at boot.

    `uplink_mtu` is in bytes, `keepalive` in seconds; `management_sources` are networks in CIDR form.
    """

    scope: str
    userspace: bool
    overlay_address: str
    inner_address: str
    uplink_mtu: int
    exit: Exit
    paths: list[Path]
    key_directory: str
    keepalive: int = 20
    management_sources: list[str] = field(default_factory=list)
    management_ports: list[int] = field(default_factory=lambda: [22])
    dns_servers: list[str] = field(default_factory=list)

    @property
    def inner_namespace(self) -> str | None:
        """The namespace in which wg0 and the applications live; None is the host's own."""
        return APPLICATION_NAMESPACE if self.scope == "namespace" else None

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

    Raises WgMigrateError for anything that is missing, unknown, or out of range.
    """
    try:
        config = Config(
            **{
                **document,
                "exit": Exit(**document["exit"]),
                "paths": [Path(**path) for path in document["paths"]],
            }
        )
        _check(config)
    except KeyError as error:
        raise WgMigrateError(f"the configuration lacks {error}") from None
    except TypeError as error:
        raise WgMigrateError(f"the configuration is not one of this version: {error}") from None
    return config


def load(system: System) -> Config:
    """Return the configuration of this host. Raises WgMigrateError where there is none or it can't be read."""
    text = system.read(PATH)
    if text is None:
        raise WgMigrateError(f"{PATH} is not there: deploy this client first, with 'ansible-playbook site.yml'")
    try:
        document = json.loads(text)
    except ValueError as error:
        raise WgMigrateError(f"{PATH} is not JSON ({error}): deploy this client again") from None
    if not isinstance(document, dict):
        raise WgMigrateError(f"{PATH} holds no JSON object: deploy this client again")
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


def unknown_peers(config: Config) -> list[str]:
    """Return the names of the peers whose public keys are not known."""
    peers = [(path.proxy, path.public_key) for path in config.paths] + [(config.exit.name, config.exit.public_key)]
    return [name for name, key in peers if not key]


def _check(config: Config) -> None:
    if config.scope not in SCOPES:
        raise WgMigrateError(f"scope is {config.scope!r}: write {' or '.join(SCOPES)}")
    if not config.paths:
        raise WgMigrateError("there are no paths: a client needs at least one proxy, better two")
    names = [path.name for path in config.paths]
    if len(set(names)) != len(names) or not all(map(OUTER_DEVICE.fullmatch, names)):
        raise WgMigrateError(f"the paths are named {', '.join(names)}: write distinct names such as wgnet1, wgnet2")
    refuse_small_uplink(config.uplink_mtu)
    if not 1 <= config.keepalive <= 25:
        raise WgMigrateError(f"keepalive is {config.keepalive}: write seconds from 1 to 25; NATs forget UDP after 30")
    _check_addresses(config)


def _check_addresses(config: Config) -> None:
    addresses = [config.overlay_address, config.inner_address, config.exit.address, config.exit.inner_address]
    for address in [*addresses, *(path.address for path in config.paths), *config.dns_servers]:
        _refuse_unless(ipaddress.IPv4Address, address, "an IPv4 address, for example 192.0.2.7")
    for source in config.management_sources:
        _refuse_unless(ipaddress.ip_network, source, "a network, for example 192.0.2.7/32")
    for port in [config.exit.port, *(path.port for path in config.paths), *config.management_ports]:
        if not 1 <= port <= 65535:
            raise WgMigrateError(f"{port} is no port: write a number from 1 to 65535")


def _refuse_unless(read: Callable[[str], object], text: str, wanted: str) -> None:
    try:
        read(text)
    except ValueError:
        raise WgMigrateError(f"{text!r} is refused: write {wanted}") from None
