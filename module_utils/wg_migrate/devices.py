"""Devices that Ansible cannot manage, such as phones: a tunnel each, straight to an exit; it does not migrate. Pure.

The inventory remembers of each what the exit must know: its name, its address and its public key, and no secret. A
device's address stands there, and is not derived from its name: nobody can tell a phone that it has another.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import WgMigrateError
from .inventory import DEFAULT_DEVICE_PORT, DEFAULT_PORT, NAME, Host, as_text, exit_address
from .keys import is_key
from .reading import shown

_KEYS = {"name", "address", "public_key"}
_EXAMPLE = "{name: phone, address: 10.87.32.2, public_key: what 'wg pubkey' prints}"


@dataclass(frozen=True)
class Device:
    """A device as the inventory has it. `address` is its IPv4 address in the tunnel."""

    name: str
    address: str
    public_key: str


def devices_of(exit_host: Host) -> list[Device]:
    """Return the devices that an exit serves; they are right (`device_errors`)."""
    return [Device(**{key: str(value) for key, value in each.items()}) for each in _items(exit_host)]


def device_errors(exits: Iterable[Host], taken: Iterable[str], network: ipaddress.IPv4Network) -> Iterator[str]:
    """Tell everything that is wrong with the exits' devices; `taken` are the names of all hosts."""
    names = set(taken)
    public_keys: set[str] = set()
    for exit_host in exits:
        where = f"{exit_host.name}: network_devices"
        if not isinstance(exit_host.variables.get("network_devices", []), (list, tuple)):
            found = shown(exit_host.variables["network_devices"])
            yield f"{where} is {found}: write a list, for example [{_EXAMPLE}]."
        addresses: set[str] = set()
        for item in _items(exit_host):
            if not isinstance(item, Mapping) or set(item) != _KEYS:
                yield f"{where}: {shown(item)} is no device: write for example {_EXAMPLE}."
                continue
            reasons = [
                _name_error(item["name"], names),
                _key_error(item["public_key"], public_keys),
                _address_error(item["address"], network, addresses),
            ]
            yield from (f"{where}: {shown(item['name'])}: {reason}." for reason in reasons if reason)
        if _items(exit_host):
            yield from _service_errors(exit_host)


def free_address(network: ipaddress.IPv4Network, used: Collection[str]) -> str:
    """Return the first address that no device has. Raises WgMigrateError where there is none left."""
    for number in range(2, network.num_addresses - 1):
        if str(network[number]) not in used:
            return str(network[number])
    raise WgMigrateError(f"network_device_inner {network} is full: remove a device that is not used any more")


def refuse_name(name: object) -> None:
    """Raise WgMigrateError for what cannot be a device's name."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise WgMigrateError(
            f"{shown(name)} cannot be a device's name: write at most 100 letters, digits, '.', '_' and '-'"
        )


def _items(exit_host: Host) -> list[Any]:
    given = exit_host.variables.get("network_devices")
    return list(given) if isinstance(given, (list, tuple)) else []


def _name_error(name: object, taken: set[str]) -> str:
    try:
        refuse_name(name)
    except WgMigrateError as error:
        return str(error)
    if name in taken:
        return "another device or a host has that name: give each its own"
    taken.add(str(name))
    return ""


def _key_error(key: object, taken: set[str]) -> str:
    if not isinstance(key, str) or not is_key(key):
        return f"its public_key {shown(key)} is no WireGuard key: write the 44 characters that 'wg pubkey' prints"
    if key in taken:
        return "another device has that public_key: give each its own"
    taken.add(key)
    return ""


def _address_error(address: object, network: ipaddress.IPv4Network, taken: set[str]) -> str:
    wanted = f"write one from {network[2]} to {network[-2]}" if network.num_addresses > 3 else "write a larger network"
    try:
        found = ipaddress.IPv4Address(as_text(address))
    except ValueError:
        return f"its address {shown(address)} is not an IPv4 address: {wanted}"
    if found not in network or found in {network[0], exit_address(network), network[-1]}:
        return f"its address {found} must lie in network_device_inner {network}: {wanted}"
    if str(found) in taken:
        return f"another device has the address {found}: give each its own"
    taken.add(str(found))
    return ""


def _service_errors(exit_host: Host) -> Iterator[str]:
    """Tell what an exit with devices cannot do without."""
    if not exit_host.resolves:
        yield (
            f"{exit_host.name} has devices and no resolver, which is the one that they ask: write network_resolver: "
            "true for it, or no network_devices."
        )
    port = as_text(exit_host.variables.get("network_device_port", DEFAULT_DEVICE_PORT))
    if port == as_text(exit_host.variables.get("network_listen_port", DEFAULT_PORT)):
        yield (
            f"{exit_host.name}: network_device_port {port} is its network_listen_port, too, which only the "
            "proxies reach: write another one."
        )
