"""The whole network from the inventory: who talks to whom, at which addresses. Pure; nothing is touched.

Addresses that the user did not choose are derived from the host's name, so that adding or removing one host moves no
other (two names that fall on one address are told apart in alphabetical order).
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .addresses import endpoint
from .devices import devices_of
from .diversity import diversity_of
from .foreign import foreign_of, foreign_warnings, shared_paths, uplinks_of
from .inventory import Host, Inventory, exit_address, exit_of, in_order, network6_of, network_of
from .inventory_check import inventory_errors

CLIENT_KEYS = "/etc/wg-migrate/keys"
SERVER_KEYS = "/etc/wireguard"


@dataclass(frozen=True)
class Network:
    """What each host is to be told, by its name; what may be on the wire between them; and what is wrong.

    `errors` are reasons to stop, each saying what to write instead.
    """

    hosts: dict[str, dict[str, Any]]
    errors: list[str]
    warnings: list[str]
    wire: dict[str, list[str]] = field(default_factory=dict)


def plan_network(inventory: Inventory) -> Network:
    """Plan the network, or say everything that is wrong with the inventory at once."""
    errors = inventory_errors(inventory)
    if errors:
        return Network({}, errors, [])
    inventory = in_order(inventory)
    addresses = _assign(inventory)
    hosts: dict[str, dict[str, Any]] = {}
    for client in inventory.clients:
        hosts[client.name] = _client(client, inventory, addresses)
    for proxy in inventory.proxies:
        hosts[proxy.name] = _proxy(inventory, addresses)
    for exit_host in inventory.exits:
        hosts[exit_host.name] = _exit(exit_host, inventory, addresses)
    wire = {
        "clients": [address for client in inventory.clients for address in client.addresses],
        "endpoints": list(
            dict.fromkeys(
                endpoint(path["address"], path["port"])
                for client in inventory.clients
                for path in hosts[client.name]["paths"]
            )
        ),
    }
    return Network(hosts, [], _warnings(inventory), wire)


@dataclass(frozen=True)
class _Addresses:
    """Each client's address on the paths, of the family of its exit's address, and its two inside, by its name."""

    overlay: dict[str, str]
    inner: dict[str, str]
    inner6: dict[str, str]


def _assign(inventory: Inventory) -> _Addresses:
    overlay4, inner4 = network_of(inventory, "network_overlay"), network_of(inventory, "network_inner")
    overlay = assign_addresses(overlay4, inventory.clients, "network_overlay_address")
    inner = assign_addresses(inner4, inventory.clients, "network_inner_address")
    overlay6 = _alongside(overlay, overlay4, network6_of(inventory, "network_overlay6"))
    exits = {client.name: _exit_of(client, inventory) for client in inventory.clients}
    chosen = {name: overlay6[name] if ":" in exits[name].address else overlay[name] for name in overlay}
    return _Addresses(chosen, inner, _alongside(inner, inner4, network6_of(inventory, "network_inner6")))


def _alongside(
    addresses: Mapping[str, str], network: ipaddress.IPv4Network, network6: ipaddress.IPv6Network
) -> dict[str, str]:
    """Return for each address the one with the same number in the IPv6 network."""
    first = int(network.network_address)
    return {name: str(network6[int(ipaddress.IPv4Address(each)) - first]) for name, each in addresses.items()}


def _exit_of(client: Host, inventory: Inventory) -> Host:
    exit_host = exit_of(client, inventory.exits)
    assert exit_host is not None  # _group_errors found none
    return exit_host


def assign_addresses(network: ipaddress.IPv4Network, clients: list[Host], variable: str) -> dict[str, str]:
    """Give every client an address of the network: its own choice (`variable`), else one derived from its name.

    The network's first address is the exit's, its last the broadcast address. The network is large enough (checked).
    """
    taken = {host.name: str(host.variables[variable]) for host in clients if host.variables.get(variable)}
    used = set(taken.values())
    room = network.num_addresses - 3
    for host in sorted(clients, key=lambda each: each.name):
        if host.name in taken:
            continue
        start = int.from_bytes(hashlib.sha256(host.name.encode()).digest()[:8], "big")
        candidates = (str(network[2 + (start + step) % room]) for step in range(room))
        taken[host.name] = next(address for address in candidates if address not in used)
        used.add(taken[host.name])
    return taken


def _warnings(inventory: Inventory) -> list[str]:
    told = shared_paths(inventory) if diversity_of(inventory) == "warn" else []
    told += [sentence for client in inventory.clients for sentence in foreign_warnings(client)]
    if len(inventory.proxies) == 1 and not all(foreign_of(client) for client in inventory.clients):
        alone = inventory.proxies[0].name
        told.append(f"{alone} is the only proxy: its network sees all traffic. Add a second host to group 'proxies'.")
    return told


def _server_keys(device: str) -> dict[str, Any]:
    """Return the keys born on a proxy or an exit: one pair for its device; preshared keys come from the clients."""
    return {"key_directory": SERVER_KEYS, "key_pairs": [device], "preshared_keys": []}


def _client(client: Host, inventory: Inventory, addresses: _Addresses) -> dict[str, Any]:
    exit_host = _exit_of(client, inventory)
    peers = [*(proxy.name for proxy in inventory.proxies), exit_host.name]
    at_exit = _exit_addresses(inventory)
    return {
        "roles": ["client"],
        "key_directory": CLIENT_KEYS,
        "key_pairs": peers,
        "preshared_keys": peers,
        "foreign": [foreign.name for foreign in foreign_of(client)],
        "overlay_address": addresses.overlay[client.name],
        "inner_address": addresses.inner[client.name],
        "inner_address6": addresses.inner6[client.name],
        "exit": {
            "name": exit_host.name,
            "address": exit_host.address,
            "port": exit_host.port,
            "inner_address": str(at_exit[0].ip),
            "inner_address6": str(at_exit[1].ip),
        },
        "resolvers": [str(each.ip) for each in at_exit] if exit_host.resolves else [],
        "paths": [
            {"name": f"wgnet{number}", **path}
            for number, path in enumerate(_paths(client, exit_host, inventory), start=1)
        ],
    }


def _paths(client: Host, exit_host: Host, inventory: Inventory) -> list[dict[str, Any]]:
    """Return a client's paths, those by proxies that are not ours after the others."""
    uplinks = uplinks_of(client)
    paths: list[dict[str, Any]] = [
        {"proxy": proxy.name, "address": proxy.address, "port": proxy.port}
        | ({"uplink": uplinks[proxy.name]} if proxy.name in uplinks else {})
        for proxy in inventory.proxies
    ]
    version = ipaddress.ip_address(exit_host.address).version
    for foreign in foreign_of(client):
        path = {"proxy": foreign.name, "address": foreign.file.address, "port": foreign.file.port}
        path |= {"public_key": foreign.file.public_key, "own_address": foreign.file.own_address(version)}
        paths.append(path | ({"uplink": foreign.uplink} if foreign.uplink else {}))
    return paths


def _proxy(inventory: Inventory, addresses: _Addresses) -> dict[str, Any]:
    return {
        "roles": ["proxy"],
        **_server_keys("wgnet"),
        "clients": [
            {"name": client.name, "overlay_address": addresses.overlay[client.name]} for client in inventory.clients
        ],
        "exits": [{"name": host.name, "address": host.address, "port": host.port} for host in inventory.exits],
    }


def _exit(exit_host: Host, inventory: Inventory, addresses: _Addresses) -> dict[str, Any]:
    own = _exit_addresses(inventory)
    devices, at_devices = _devices(exit_host, inventory)
    asked_at = [*own, *(at_devices if devices else ())]
    return {
        "roles": ["exit_node", *(["resolver"] if exit_host.resolves else [])],
        **_server_keys("wg0"),
        "addresses": [str(each) for each in own],
        "resolver_addresses": [str(each.ip) for each in asked_at] if exit_host.resolves else [],
        "resolver_clients": [str(each.network) for each in asked_at],
        "devices": devices,
        "device_addresses": [str(each) for each in at_devices],
        "device_endpoint": endpoint(exit_host.address, exit_host.device_port),
        "clients": [
            {
                "name": client.name,
                "inner_address": addresses.inner[client.name],
                "inner_address6": addresses.inner6[client.name],
            }
            for client in inventory.clients
            if exit_of(client, inventory.exits) is exit_host
        ],
        "proxies": [
            *(
                {"name": proxy.name, "address": address}
                for proxy in inventory.proxies
                # Unknown only before the facts (inventory_check.py); nothing is built by that plan.
                if (address := proxy.address_towards(exit_host))
            ),
            *(
                {"name": foreign.name, "address": network}
                for client in inventory.clients
                if exit_of(client, inventory.exits) is exit_host
                for foreign in foreign_of(client)
                for network in foreign.leaves_from
            ),
        ],
    }


def _exit_addresses(inventory: Inventory) -> tuple[ipaddress.IPv4Interface, ipaddress.IPv6Interface]:
    """Return the addresses that an exit has inside: the first of each network, with its length."""
    return _first_of(network_of(inventory, "network_inner"), network6_of(inventory, "network_inner6"))


def _first_of(
    network: ipaddress.IPv4Network, network6: ipaddress.IPv6Network
) -> tuple[ipaddress.IPv4Interface, ipaddress.IPv6Interface]:
    return (
        ipaddress.IPv4Interface(f"{exit_address(network)}/{network.prefixlen}"),
        ipaddress.IPv6Interface(f"{network6[1]}/{network6.prefixlen}"),
    )


def _devices(
    exit_host: Host, inventory: Inventory
) -> tuple[list[dict[str, str]], tuple[ipaddress.IPv4Interface, ipaddress.IPv6Interface]]:
    """Return the devices that an exit serves, and its own addresses towards them."""
    devices = devices_of(exit_host)
    network = network_of(inventory, "network_device_inner")
    network6 = network6_of(inventory, "network_device_inner6")
    addresses6 = _alongside({each.name: each.address for each in devices}, network, network6)
    told = [
        {"name": each.name, "address": each.address, "address6": addresses6[each.name], "public_key": each.public_key}
        for each in devices
    ]
    return told, _first_of(network, network6)
