"""What can be wrong with an inventory; every reason says what to write instead. Pure."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from .addresses import read_host_address
from .devices import device_errors
from .diversity import diversity_of, read_as_number, read_diversity, read_label
from .errors import WgMigrateError
from .foreign import foreign_errors, foreign_of, shared_paths, smallest_uplink, uplink_errors
from .inventory import (
    DEFAULT_DEVICE_INNER,
    DEFAULT_DEVICE_INNER6,
    DEFAULT_INNER,
    DEFAULT_INNER6,
    DEFAULT_OVERLAY,
    DEFAULT_OVERLAY6,
    DEFAULT_PORT,
    LARGEST_UPLINK,
    NAME,
    SCOPES,
    Host,
    Inventory,
    IPNetwork,
    as_text,
    exit_address,
    exit_of,
    network6_of,
    network_of,
)
from .mtu import SMALLEST_UPLINK, refuse_small_uplink
from .reading import read_interval, shown
from .schedule import fit, parse

_DIGITS = re.compile(r"[0-9]{1,6}")
_Readers = tuple[tuple[str, Callable[[Inventory, str], IPNetwork], str, str], ...]
_NETWORKS: _Readers = (
    ("network_overlay", network_of, "IPv4", DEFAULT_OVERLAY),
    ("network_inner", network_of, "IPv4", DEFAULT_INNER),
    ("network_overlay6", network6_of, "IPv6", DEFAULT_OVERLAY6),
    ("network_inner6", network6_of, "IPv6", DEFAULT_INNER6),
)
_DEVICE_NETWORKS: _Readers = (
    ("network_device_inner", network_of, "IPv4", DEFAULT_DEVICE_INNER),
    ("network_device_inner6", network6_of, "IPv6", DEFAULT_DEVICE_INNER6),
)


def inventory_errors(inventory: Inventory) -> list[str]:
    """Return everything that is wrong with the inventory, at once; names come first, for all else names hosts."""
    return _name_errors(inventory) or [
        *_group_errors(inventory),
        *_address_errors(inventory),
        *_door_errors(inventory),
        *_choice_errors(inventory),
        *_path_errors(inventory),
        *_network_errors(inventory),
        *_device_errors(inventory),
        *_uplink_errors(inventory.hosts),
        *_cloud_errors(inventory),
        *_diversity_errors(inventory),
    ]


def _name_errors(inventory: Inventory) -> list[str]:
    return [
        f"{shown(host.name)} cannot be a host's name here: write at most 100 letters, digits, '.', '_' and '-'."
        for host in inventory.hosts
        if not NAME.fullmatch(host.name)
    ]


def _group_errors(inventory: Inventory) -> list[str]:
    errors = []
    examples = {"clients": "client", "proxies": "wgnet1", "exits": "exit"}
    for group, example in examples.items():
        if not getattr(inventory, group):
            errors.append(f"The inventory has no {group}: put at least one host into group '{group}', e.g. {example}.")
    names = [host.name for host in inventory.hosts]
    errors += [
        f"{name} is in more than one of the groups clients, proxies and exits: keep it in one; "
        "a host that is two of them would see both ends of the traffic."
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    for client in inventory.clients:
        chosen = client.variables.get("network_exit")
        known = ", ".join(host.name for host in inventory.exits)
        if inventory.exits and chosen is not None and exit_of(client, inventory.exits) is None:
            errors.append(f"{client.name}: network_exit is {shown(chosen)}, which is no exit: write one of {known}.")
        elif len(inventory.exits) > 1 and chosen is None:
            errors.append(
                f"{client.name} has {len(inventory.exits)} exits ({known}) and a client ends at one: "
                f"write network_exit: {inventory.exits[0].name} for it, or leave one exit in the inventory."
            )
    return errors


def _address_errors(inventory: Inventory) -> list[str]:
    errors = []
    owners: dict[str, str] = {}
    for host in inventory.hosts:
        try:
            read_host_address(host.address)
        except ValueError:
            errors.append(
                f"{host.name}: {shown(host.address)} is no address that other hosts can use: write ansible_host (or "
                "network_address, where they reach it elsewhere than Ansible does), as 192.0.2.10 or 2001:db8::10."
            )
            continue
        if owners.setdefault(host.address, host.name) != host.name:
            errors.append(
                f"{owners[host.address]} and {host.name} have one address, {host.address}: "
                "give each host its own ansible_host or network_address."
            )
    return errors


def _door_errors(inventory: Inventory) -> list[str]:
    """Tell which proxies an exit would not let in, since their addresses of its family are not known.

    Before an exit's facts are there nothing is wrong: those of the proxies come at the same time.
    """
    errors = []
    for exit_host in inventory.exits:
        for proxy in inventory.proxies:
            with contextlib.suppress(ValueError):  # told by _address_errors
                if exit_host.devices and proxy.address_towards(exit_host) is None:
                    family = f"IPv{ipaddress.ip_address(exit_host.address).version}"
                    errors.append(
                        f"{proxy.name} goes on to {exit_host.name} over {family} (to {exit_host.address}), and it is "
                        f"not known from which address: give {proxy.name} a default route of {family}; where --limit "
                        f"leaves {proxy.name} out, run without it."
                    )
    return errors


def _choice_errors(inventory: Inventory) -> list[str]:
    checks: dict[str, Callable[[Any], object]] = {
        "client_scope": _read_scope,
        "migration_interval": read_interval,
        "network_asn": read_as_number,
        "network_device_port": _read_port,
        "network_diversity": read_diversity,
        "network_listen_port": _read_port,
        "network_provider": read_label,
        "network_region": read_label,
        "network_resolver": _read_switch,
        "network_uplink_mtu": _read_uplink_mtu,
    }
    errors: dict[str, list[str]] = {}
    for host in inventory.hosts:
        checks["migration_schedule"] = functools.partial(
            _read_schedule, paths=len(inventory.proxies) + len(foreign_of(host))
        )
        for variable, read in checks.items():
            if variable not in host.variables:
                continue
            try:
                read(host.variables[variable])
            except WgMigrateError as error:
                errors.setdefault(f"{variable}: {error}", []).append(host.name)
    return [f"{', '.join(hosts)}: {message}." for message, hosts in errors.items()]


def _path_errors(inventory: Inventory) -> list[str]:
    names = [host.name for host in inventory.hosts]
    proxies = [proxy.name for proxy in inventory.proxies]
    errors: list[str] = []
    for client in inventory.clients:
        errors += foreign_errors(client, exit_of(client, inventory.exits), names)
        errors += uplink_errors(client, proxies) if proxies else []
    return errors


def _read_schedule(value: Any, paths: int) -> None:
    schedule = parse(value)
    if paths:
        fit(schedule, [f"wgnet{number}" for number in range(1, paths + 1)])


def _read_scope(value: object) -> None:
    if value not in SCOPES:
        raise WgMigrateError(
            f"{shown(value)} is no client scope: write host (all traffic of the machine) or namespace "
            "(only what runs in namespace comps)"
        )


def _read_switch(value: object) -> None:
    if not isinstance(value, bool):
        raise WgMigrateError(f"{shown(value)} is neither true nor false: write one of them")


def _read_port(value: object) -> None:
    if not 1 <= _whole(value) <= 65535:
        raise WgMigrateError(
            f"{shown(value)} is no UDP port: write a number from 1 to 65535, for example {DEFAULT_PORT}"
        )


def _read_uplink_mtu(value: object) -> None:
    number = _whole(value)
    if not 0 <= number <= LARGEST_UPLINK:
        raise WgMigrateError(
            f"{shown(value)} is no MTU: write 0 to read it from the uplink, or bytes ({SMALLEST_UPLINK}"
            f" to {LARGEST_UPLINK}), for example 1500"
        )
    if number != 0:
        refuse_small_uplink(number)


def _whole(value: object) -> int:
    """Return a whole number of at most six digits, -1 for anything else."""
    return int(as_text(value)) if _DIGITS.fullmatch(as_text(value)) else -1


def _network_errors(inventory: Inventory) -> list[str]:
    networks, errors = _read_networks(inventory, _NETWORKS)
    for variable, network in networks.items():
        if isinstance(network, ipaddress.IPv4Network):
            errors += _room_errors(inventory.clients, variable, network)
        errors += _collision_errors(inventory.hosts, variable, network)
    pairs = (
        ("network_overlay", DEFAULT_OVERLAY, "network_inner", DEFAULT_INNER),
        ("network_overlay6", DEFAULT_OVERLAY6, "network_inner6", DEFAULT_INNER6),
    )
    errors += [
        f"{overlay} {networks[overlay]} and {inner} {networks[inner]} overlap: write two that do not, for example "
        f"{overlay_example} and {inner_example}."
        for overlay, overlay_example, inner, inner_example in pairs
        if {overlay, inner} <= networks.keys() and _overlap(networks[overlay], networks[inner])
    ]
    return errors


def _device_errors(inventory: Inventory) -> list[str]:
    """Tell what is wrong with devices and their networks; while no exit has any, others may be in these networks."""
    networks, errors = _read_networks(inventory, _DEVICE_NETWORKS)
    inner = networks.get("network_device_inner")
    if inner is not None and inner.num_addresses < 4:
        errors.append(f"network_device_inner {inner} is too small for a device. Write a larger one, for example a /24.")
    serving = [host for host in inventory.exits if host.variables.get("network_devices", []) != []]
    if errors or not serving:
        return errors
    ours, _ = _read_networks(inventory, _NETWORKS)
    for variable, network in networks.items():
        errors += _collision_errors(serving, variable, network)
        errors += [
            f"{name} {other} and {variable} {network} overlap: write two that do not."
            for name, other in ours.items()
            if _overlap(other, network)
        ]
    names = [host.name for host in inventory.hosts]
    return [*errors, *device_errors(serving, names, network_of(inventory, "network_device_inner"))]


def _read_networks(inventory: Inventory, readers: _Readers) -> tuple[dict[str, IPNetwork], list[str]]:
    """Return our networks by their variables, and why some of them are none."""
    networks: dict[str, IPNetwork] = {}
    errors = []
    for variable, read, family, example in readers:
        try:
            networks[variable] = read(inventory, variable)
        except ValueError as error:
            errors.append(f"{variable}: {error}: write one {family} network for all hosts, for example {example}.")
    return networks, errors


def _overlap(one: IPNetwork, other: IPNetwork) -> bool:
    """Tell whether two networks have addresses in common; those of two families have none."""
    return one.version == other.version and one.overlaps(other)


def _collision_errors(hosts: list[Host], variable: str, network: IPNetwork) -> list[str]:
    """Tell which hosts have their address, or the network of a device, in a network that is to be ours."""
    errors = []
    for host in hosts:
        used = {f"network {uplink} of its {name}" for name, uplink in host.uplinks if _overlap(uplink, network)}
        with contextlib.suppress(ValueError):  # told by _address_errors
            if ipaddress.ip_address(host.address) in network:
                used.add(f"address {host.address}")
        errors += [
            f"{variable} {network} collides with {host.name}'s {what}: write a network that nothing else uses."
            for what in sorted(used)
        ]
    return errors


def _uplink_errors(hosts: list[Host]) -> list[str]:
    """Tell which hosts' uplinks are too small for what is to go through them; a choice of the user comes first."""
    errors = []
    for host in hosts:
        smallest = smallest_uplink(host)
        if smallest is None or host.variables.get("network_uplink_mtu"):
            continue
        try:
            refuse_small_uplink(smallest)
        except WgMigrateError as error:
            errors.append(f"{host.name}: {error}.")
    return errors


def _cloud_errors(inventory: Inventory) -> list[str]:
    """Tell which machines of the clouds are not there: a path that the provider does not show would be taken away."""
    wanted = {
        as_text(name)
        for host in inventory.hosts
        if isinstance(host.variables.get("cloud_hosts"), Mapping)
        for name in host.variables["cloud_hosts"]
    }
    missing = sorted(wanted - {host.name for host in [*inventory.proxies, *inventory.exits]})
    return [
        f"{shown(name)} is one of cloud_hosts, and no cloud shows it: deploy it with playbooks/provision.yml, or keep "
        "it out of cloud_hosts. Where it exists, look at what the inventory's plugins warn of above."
        for name in missing
    ]


def _diversity_errors(inventory: Inventory) -> list[str]:
    try:
        return shared_paths(inventory) if diversity_of(inventory) == "refuse" else []
    except WgMigrateError as error:
        return [f"{error}."]


def _room_errors(clients: list[Host], variable: str, network: ipaddress.IPv4Network) -> list[str]:
    """Tell what is wrong with a network's size and with the addresses that users chose in it."""
    room = network.num_addresses - 3
    if room < len(clients) or room < 1:
        found = f"it has room for {max(room, 0)} clients and the inventory has {len(clients)}"
        return [f"{variable} {network} is too small: {found}. Write a larger one, for example a /24."]
    errors = []
    owners: dict[str, str] = {}
    reserved = {network[0], exit_address(network), network[-1]}
    for host in clients:
        chosen = host.variables.get(f"{variable}_address")
        if not chosen:
            continue
        try:
            address = ipaddress.IPv4Address(as_text(chosen))
        except ValueError:
            errors.append(
                f"{host.name}: {variable}_address {shown(chosen)} is not an IPv4 address: write one of {network}."
            )
            continue
        if address not in network or address in reserved:
            errors.append(
                f"{host.name}: {variable}_address {address} must lie in {variable} {network}: write one from "
                f"{network[2]} to {network[-2]}."
            )
        elif owners.setdefault(str(address), host.name) != host.name:
            errors.append(
                f"{owners[str(address)]} and {host.name} have one {variable}_address, {address}: "
                "give each its own, or leave both out."
            )
    return errors
