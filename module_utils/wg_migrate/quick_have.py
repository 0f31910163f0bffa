"""What a host has of a wg-quick interface: files, unit, running device, table, kernel settings. Reads only.

A host without wg, nft or systemd, or without root's rights, simply has nothing: check mode works on a bare host.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import nft
from .errors import WgMigrateError
from .quick_conf import Network, Paths, Wanted, canonical_address, canonical_network
from .system import System
from .uplink import advertised_uplinks, kernel_has_wireguard

_PORT = re.compile("[0-9]{1,5}")


@dataclass(frozen=True)
class Configured:
    """What WireGuard runs with for one peer."""

    preshared_key: str = field(default="", repr=False)
    allowed_ips: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Device:
    """A running WireGuard device: `peers` by public key; `routes` are the networks of every route through it."""

    private_key: str = field(repr=False)
    listen_port: int
    mtu: int
    addresses: frozenset[str]
    peers: Mapping[str, Configured]
    routes: frozenset[str]


@dataclass(frozen=True)
class Have:
    """Everything that a plan looks at. None is a file, table, setting or device that is not there.

    `userspace` tells that the kernel has no WireGuard, so that wg-quick starts wireguard-go.
    """

    conf: str | None = field(default=None, repr=False)
    conf_mode: int | None = None
    enabled: bool = False
    active: bool = False
    failed: bool = False
    link: bool = False
    device: Device | None = None
    table: str | None = None
    nft_file: str | None = None
    sysctl_file: str | None = None
    sysctls: Mapping[str, str | None] = field(default_factory=dict)
    remembered: Mapping[str, str] | None = None
    userspace: bool = False
    dropin: str | None = None
    networks: tuple[tuple[str, Network], ...] = ()
    """Networks of the host's other interfaces, with the interface's name."""


def read(system: System, name: str, sysctls: Iterable[str]) -> Have:
    """Return what the host has of interface `name`, and the values of the kernel settings in question."""
    paths = Paths(name)
    state = system.read(paths.state)
    remembered = json.loads(state)["sysctls"] if state is not None else None
    unit = _read_unit(system, paths.unit)
    links = _json(system, ["ip", "-json", "address", "show"])
    link = next((link for link in links if link["ifname"] == name), None)
    return Have(
        conf=system.read(paths.conf),
        conf_mode=system.mode(paths.conf),
        enabled=unit.get("UnitFileState") == "enabled",
        active=unit.get("ActiveState") == "active",
        failed=unit.get("ActiveState") == "failed",
        link=link is not None,
        device=_read_device(system, name, link) if link else None,
        table=nft.loaded_fingerprint(system, paths.table),
        nft_file=system.read(paths.nft),
        sysctl_file=system.read(paths.sysctl),
        sysctls={key: read_sysctl(system, key) for key in {*sysctls, *(remembered or {})}},
        remembered=remembered,
        userspace=not kernel_has_wireguard(system),
        dropin=system.read(paths.dropin),
        networks=tuple(_networks(links, name)),
    )


def with_advertised_routes(system: System, want: Wanted) -> Wanted:
    """Return what is wanted, with what keeps the host's own IPv6 route where it comes from router advertisements."""
    if want.sysctls.get("net.ipv6.conf.all.forwarding") != "1":
        return want
    names = [device.replace(".", "/") for device in advertised_uplinks(system)]
    kept = {f"net.ipv6.conf.{name}.accept_ra": "2" for name in names}
    return dataclasses.replace(want, sysctls={**kept, **want.sysctls})


_SYSCTL_PATH = str.maketrans("./", "/.")


def read_sysctl(system: System, key: str) -> str | None:
    """Return a kernel setting, or None where this kernel has none of that name.

    Dots stand for slashes, and slashes for dots (sysctl(8)).
    """
    text = system.read(f"/proc/sys/{key.translate(_SYSCTL_PATH)}")
    return None if text is None else " ".join(text.split())


def _read_unit(system: System, unit: str) -> dict[str, str]:
    shown = system.attempt(["systemctl", "show", unit, "--property=ActiveState,UnitFileState"]).stdout
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)


def _json(system: System, argv: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(system.attempt(argv).stdout or "[]")
    return found


def _networks(links: Iterable[Mapping[str, Any]], name: str) -> Iterable[tuple[str, Network]]:
    for link in links:
        for address in link.get("addr_info", []):
            if link["ifname"] != name and address.get("scope") != "link" and "local" in address:
                yield link["ifname"], ipaddress.ip_network(f"{address['local']}/{address['prefixlen']}", strict=False)


def _read_device(system: System, name: str, link: Mapping[str, Any]) -> Device | None:
    """Return the running device, or None where no WireGuard answers behind the link of that name."""
    dump = system.attempt(["wg", "show", name, "dump"])
    found = parse_dump(dump.stdout) if dump.status == 0 else None
    if found is None:
        return None
    private_key, listen_port, peers = found
    routes = [
        route["dst"]
        for family in ("-4", "-6")
        for route in _json(system, ["ip", "-json", family, "route", "show", "dev", name])
        if route["dst"] != "default"
    ]
    return Device(
        private_key=private_key,
        listen_port=listen_port,
        mtu=link["mtu"],
        addresses=frozenset(
            canonical_address(f"{address['local']}/{address['prefixlen']}")
            for address in link.get("addr_info", [])
            # The kernel gives itself fe80::… on some devices.
            if address.get("scope") != "link"
        ),
        peers=peers,
        routes=frozenset(canonical_network(route) for route in routes),
    )


def parse_dump(dump: str) -> tuple[str, int, dict[str, Configured]] | None:
    """Return private key, port and peers in the output of `wg show DEVICE dump`, or None where it is of no device.

    The order of the fields: wg(8), "show". A line that is none of a peer is left out.
    """
    own, *lines = (line.split("\t") for line in dump.split("\n"))
    if len(own) != 4 or not _PORT.fullmatch(own[2]):
        return None
    peers = {}
    for fields in lines:
        if len(fields) == 8:
            with contextlib.suppress(WgMigrateError):
                peers[fields[0]] = Configured(_or_empty(fields[1]), frozenset(_split(fields[3])))
    return own[0], int(own[2]), peers


def _or_empty(text: str) -> str:
    return "" if text == "(none)" else text


def _split(text: str) -> list[str]:
    return [canonical_network(network) for network in _or_empty(text).split(",") if network]
