"""Paths by proxies that are not ours, and paths pinned to an uplink: what a client's variables say of both. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .config import read_uplink
from .diversity import read_as_number, read_label, shared_networks
from .errors import WgMigrateError
from .inventory import Host, Inventory, as_text
from .mtu import LAYER, SMALLEST_UPLINK, outer_mtu
from .provider_file import ProviderFile, parse
from .quick_conf import canonical_network
from .reading import shortened, shown

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_EXAMPLE = "{name: provider, config_file: provider.conf, leaves_from: [203.0.113.5]}"
_SHORTEST = {4: 16, 6: 32}
"""Bits: a provider's pool of addresses may be large, but the exit's door is not to be open to half of the Internet."""
_PLACE: dict[str, Callable[[Any], object]] = {"provider": read_label, "region": read_label, "asn": read_as_number}


@dataclass(frozen=True)
class Foreign:
    """A proxy that is not ours.

    `leaves_from` are the networks that its packets to the exit come from, `place` where it is, as `network_provider`
    and the like say it of a proxy of ours.
    """

    name: str
    leaves_from: tuple[str, ...]
    uplink: str
    file: ProviderFile
    place: Mapping[str, Any] = field(default_factory=dict)

    def as_host(self) -> Host:
        """Return it as a host to be compared with others."""
        return Host(self.name, {"ansible_host": self.file.address, **self.place})


def foreign_of(client: Host) -> list[Foreign]:
    """Return a client's foreign paths, in their order. What cannot be read is left out: `foreign_errors` tells it."""
    return [each for each in (_read_or_error(client, item) for item in _items(client)) if isinstance(each, Foreign)]


def uplinks_of(client: Host) -> Mapping[str, str]:
    """Return the devices that paths by our own proxies are pinned to, by the proxy's name."""
    chosen = client.variables.get("client_uplinks")
    return chosen if isinstance(chosen, Mapping) else {}


def foreign_warnings(client: Host) -> list[str]:
    """Return what a person should know of a client's foreign paths."""
    return [
        f"{client.name}: {each.name}: {', '.join(each.file.hooks)} of its file are not run: no provider's commands are."
        for each in foreign_of(client)
        if each.file.hooks
    ]


def foreign_errors(client: Host, exit_host: Host | None, taken: Iterable[str]) -> Iterator[str]:
    """Tell everything that is wrong with a client's foreign paths; `taken` are the names of all hosts."""
    where = f"{client.name}: client_foreign_paths"
    given = client.variables.get("client_foreign_paths", [])
    if not isinstance(given, (list, tuple)):
        yield f"{where} is {shown(given)}: write a list, for example [{_EXAMPLE}]."
        return
    used = set(taken)
    for item in given:
        found = _read_or_error(client, item)
        if isinstance(found, WgMigrateError):
            yield f"{where}: {found}."
            continue
        if found.name in used:
            yield f"{where}: {found.name} is the name of another host or path: give each its own, it names key files."
        used.add(found.name)
        for reason in _unusable(found, client, exit_host):
            yield f"{where}: {found.name}: {reason}."


def uplink_errors(client: Host, proxies: Iterable[str]) -> Iterator[str]:
    """Tell what is wrong with the uplinks that a client's paths are pinned to; devices are known once facts are."""
    given = client.variables.get("client_uplinks", {})
    names = list(proxies)
    if not isinstance(given, Mapping):
        yield f"{client.name}: client_uplinks is {shown(given)}: write devices by proxy, as {{{names[0]}: wlan0}}."
        return
    for name, device in given.items():
        if name not in names:
            yield (
                f"{client.name}: client_uplinks names {shown(name)}, which is no proxy: write one of "
                f"{shortened(', '.join(names))}; a foreign path has its own key, uplink."
            )
            continue
        try:
            read_uplink(device)
        except WgMigrateError as error:
            yield f"{client.name}: client_uplinks: {name}: {error}."
            continue
        yield from _missing_device(client, name, device)
    for foreign in foreign_of(client):
        if foreign.uplink:
            yield from _missing_device(client, foreign.name, foreign.uplink)


def shared_paths(inventory: Inventory) -> list[str]:
    """Return a sentence for each set of proxies of one client that share a network, as far as it is known."""
    of_clients = [[*inventory.proxies, *map(Foreign.as_host, foreign_of(client))] for client in inventory.clients]
    told = [sentence for proxies in of_clients or [inventory.proxies] for sentence in shared_networks(proxies)]
    return list(dict.fromkeys(told))


def _missing_device(client: Host, path: str, device: str) -> Iterator[str]:
    known = [name for name in client.devices if name != "lo" and not name.startswith("wg")]
    if client.devices and device not in client.devices:
        yield (
            f"{client.name}: the path by {path} is pinned to {device}, and there is no such device: write one of "
            f"{shortened(', '.join(known))}, or make it there first."
        )


def _items(client: Host) -> list[Any]:
    given = client.variables.get("client_foreign_paths")
    return list(given) if isinstance(given, (list, tuple)) else []


def _read_or_error(client: Host, item: object) -> Foreign | WgMigrateError:
    try:
        return _read(client, item)
    except WgMigrateError as error:
        return error


def _read(client: Host, item: object) -> Foreign:
    known = ("name", "config_file", "leaves_from", "uplink", *_PLACE)
    if not isinstance(item, Mapping) or not set(item) <= set(known) or not {"name", "config_file"} <= set(item):
        raise WgMigrateError(f"{shown(item)} is no path: write {_EXAMPLE}, and of {', '.join(known[3:])} what is known")
    name, path = item["name"], item["config_file"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise WgMigrateError(f"{shown(name)} names no path: write at most 100 letters, digits, '.', '_' and '-'")
    if not isinstance(path, str) or not path.endswith(".conf"):
        # Beside the inventory Ansible takes any other for a part of it, and prints what it cannot read (ansible.cfg).
        raise WgMigrateError(
            f"{name}: its config_file is {shown(path)}: write a file whose name ends in .conf, as wg-quick wants it"
        )
    text = client.files.get(path)
    if text is None:
        raise WgMigrateError(
            f"{name}: its config_file {shown(path)} cannot be read: write where on the controller it is, whole or from "
            "the inventory's directory on, as plain text"
        )
    try:
        file = parse(text)
    except WgMigrateError as error:
        raise WgMigrateError(f"{name}: {shown(path)}: {error}") from None
    place = {}
    for key, read in _PLACE.items():
        if key in item:
            read(item[key])
            place[f"network_{key}"] = item[key]
    uplink = read_uplink(item["uplink"]) if item.get("uplink") else ""
    return Foreign(name, tuple(_sources(name, item.get("leaves_from"))), uplink, file, place)


def _sources(name: str, value: object) -> Iterator[str]:
    listed = value if isinstance(value, (list, tuple)) else [value]
    for each in listed:
        try:
            network = ipaddress.ip_network(canonical_network(each) if isinstance(each, str) else "")
        except (ValueError, WgMigrateError):
            network = None
        if (
            network is None
            or network.prefixlen < _SHORTEST[network.version]
            or network.is_loopback
            or network.is_multicast
        ):
            raise WgMigrateError(
                f"{name}: leaves_from is {shown(value)}, and the exit opens its door to what stands there: write the "
                "addresses that the provider's packets come from, at most a /16 (IPv6: /32), for example [203.0.113.5]"
            )
        yield str(network)


def _unusable(foreign: Foreign, client: Host, exit_host: Host | None) -> Iterator[str]:
    """Tell why a tunnel that is sound by itself cannot carry this client's packets to its exit."""
    file = foreign.file
    try:
        target = ipaddress.ip_address(exit_host.address if exit_host else "")
    except ValueError:
        return  # told elsewhere
    word = f"IPv{target.version}"
    if file.own_address(target.version) is None:
        yield f"the provider gave no {word} address (Address), and the exit's address {target} is {word}: ask for one"
    if not file.carries(str(target)):
        yield f"AllowedIPs of its file leave out the exit's address {target}: write {target} or 0.0.0.0/0, ::/0 there"
    if not any(ipaddress.ip_network(each).version == target.version for each in foreign.leaves_from):
        yield f"leaves_from has no {word} address, and the exit's address {target} is {word}: write that one, too"
    uplink = _uplink_mtu(client)
    if uplink is not None and file.mtu is not None and file.mtu < outer_mtu(uplink):
        fitting = file.mtu + LAYER
        remedy = (
            f"write network_uplink_mtu: {fitting} for all hosts"
            if fitting >= SMALLEST_UPLINK
            else f"and a path needs {SMALLEST_UPLINK - LAYER}: this one cannot be one of ours"
        )
        yield f"its file says MTU = {file.mtu}, and the paths have {outer_mtu(uplink)}: {remedy}"


def _uplink_mtu(client: Host) -> int | None:
    chosen = as_text(client.variables.get("network_uplink_mtu") or "")
    return int(chosen) if chosen.isascii() and chosen.isdecimal() and len(chosen) < 6 else smallest_uplink(client)


def smallest_uplink(host: Host) -> int | None:
    """Return the smallest MTU in bytes of the uplinks that a host's paths leave by, as far as facts tell it."""
    pinned = {device for device in uplinks_of(host).values() if isinstance(device, str)}
    pinned |= {foreign.uplink for foreign in foreign_of(host)}
    found = [device.get("mtu") for name, device in host.devices.items() if name in pinned]
    return min([mtu for mtu in [host.uplink_mtu, *found] if isinstance(mtu, int)], default=None)
