"""The door through which playbooks ask for the network's plan."""

from __future__ import annotations

import dataclasses
import ipaddress
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Ansible offers module_utils/ to modules only; a filter runs in the controller's own process.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from wg_migrate.foreign import foreign_of
from wg_migrate.inventory import Inventory, host_of
from wg_migrate.network import plan_network

_LARGEST_FILE = 65536
"""Bytes: a provider's file has some hundred."""
_VAULT = b"$ANSIBLE_VAULT"

DOCUMENTATION = """
name: wg_network
author: wg-migrate developers (@wg-migrate)
version_added: 1.0.0
short_description: Plan the double-tunnelled network from the inventory
description:
  - Reads the groups C(clients), C(proxies) and C(exits) and the C(network_*) variables of their hosts, and tells for
    each host its addresses and its peers, or everything that is wrong with the inventory.
  - Peers carry their C(public_key) (and C(preshared_key), for the end that did not make it) once the role C(wireguard)
    has run on them in this play run; a peer that was left out by C(--limit) carries none.
positional: groups
options:
  _input:
    description: All host variables, V(hostvars).
    type: dict
    required: true
  groups:
    description: All groups, V(groups).
    type: dict
    required: true
"""

EXAMPLES = """
- name: Stop on a bad inventory
  vars:
    network: "{{ hostvars | wg_network(groups) }}"
  ansible.builtin.assert:
    that: network['errors'] == []
    fail_msg: "{{ network['errors'] | join(' ') }}"
"""

RETURN = """
_value:
  description: RV(_value.hosts) by name, RV(_value.errors) and RV(_value.warnings) as lists of sentences.
  type: dict
"""


def wg_network(hostvars: Mapping[str, Any], groups: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return the plan of the whole network as plain data."""
    members = {group: groups.get(group, []) for group in ("clients", "proxies", "exits")}
    # Each look into hostvars gathers all variables of a host anew, which takes Ansible some 20 ms: one look a host.
    known = {name: hostvars[name] for group in members.values() for name in group}
    hosts = ([host_of(name, known[name], provider_files(known[name])) for name in group] for group in members.values())
    network = plan_network(Inventory(*hosts))
    told = {name: _with_keys(name, host, known) for name, host in network.hosts.items()}
    return {**dataclasses.asdict(network), "hosts": told}


def wg_provider_keys(paths: object, directory: object) -> dict[str, dict[str, str]]:
    """Return the private and the preshared keys that providers made for a client, by the path's name. Secret.

    `paths` is its client_foreign_paths, `directory` where files without a whole path are: that of the inventory.
    """
    variables = {"client_foreign_paths": paths, "inventory_dir": directory}
    listed = foreign_of(host_of("", variables, provider_files(variables)))
    return {
        "pairs": {foreign.name: foreign.file.private_key for foreign in listed},
        "preshared": {foreign.name: foreign.file.preshared_key for foreign in listed},
    }


def wg_senders(heard: list[str], proxies: list[Mapping[str, str]]) -> dict[str, list[str]]:
    """Return which proxies the addresses that an exit has heard belong to, by name, and the addresses of strangers.

    The address of a proxy may be a network.
    """
    networks = [(proxy["name"], ipaddress.ip_network(proxy["address"])) for proxy in proxies]
    owners = {each: [name for name, network in networks if _address(each) in network] for each in heard}
    return {
        "names": sorted({name for names in owners.values() for name in names}),
        "strangers": sorted(each for each, names in owners.items() if not names),
    }


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text.strip("[]"))  # as `wg` writes one of IPv6


def provider_files(variables: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the text of each provider's file that a client names; None for one that cannot be read as such."""
    listed = variables.get("client_foreign_paths")
    items = [each for each in listed if isinstance(each, Mapping)] if isinstance(listed, (list, tuple)) else []
    names = [str(item["config_file"]) for item in items if isinstance(item.get("config_file"), str)]
    return {name: _text(name, variables.get("inventory_dir")) for name in names}


def _text(name: str, directory: object) -> str | None:
    try:
        with (Path(directory if isinstance(directory, str) else "") / Path(name).expanduser()).open("rb") as file:
            text = file.read(_LARGEST_FILE + 1)
        return None if len(text) > _LARGEST_FILE or text.startswith(_VAULT) else text.decode()
    except (OSError, ValueError, RuntimeError):  # what is no path, no text, or nobody's home
        return None


def _with_keys(name: str, host: dict[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a host is told, its peers with the keys that this run has seen."""
    if "paths" in host:
        paths = [path | _server_key(path["proxy"], known) for path in host["paths"]]
        return host | {"paths": paths, "exit": host["exit"] | _server_key(host["exit"]["name"], known)}
    return host | {"clients": [client | _client_keys(client["name"], name, known) for client in host["clients"]]}


def _server_key(server: str, known: Mapping[str, Any]) -> dict[str, str]:
    """Return the public key of a proxy or an exit, which has one pair for all its clients."""
    keys = _made(server, "public_keys", known)
    return {"public_key": next(iter(keys.values()))} if keys else {}


def _client_keys(client: str, server: str, known: Mapping[str, Any]) -> dict[str, str]:
    """Return the public key that a client uses towards a server, and the preshared key that it made for the pair."""
    found = {
        "public_key": _made(client, "public_keys", known).get(server),
        "preshared_key": _made(client, "preshared_keys", known).get(server),
    }
    return {name: key for name, key in found.items() if key}


def _made(host: str, kind: str, known: Mapping[str, Any]) -> dict[str, str]:
    """Return the keys that role wireguard has registered on a host; what a host says is not always keys."""
    registered = known.get(host, {}).get("__wireguard_keys")  # a proxy that is not ours is no host
    keys = registered.get(kind) if isinstance(registered, Mapping) else None
    return {name: key for name, key in keys.items() if isinstance(key, str)} if isinstance(keys, Mapping) else {}


class FilterModule:
    """What Ansible looks for in a filter plugin file."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"wg_network": wg_network, "wg_provider_keys": wg_provider_keys, "wg_senders": wg_senders}
