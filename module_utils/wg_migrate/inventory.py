"""The inventory as the plan of the network sees it: three groups of hosts with their choices. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DEFAULT_OVERLAY = "10.87.0.0/20"
DEFAULT_INNER = "10.87.16.0/20"
DEFAULT_PORT = 51820
SCOPES = ("host", "namespace")
_OURS = re.compile(r"wg0|wgnet[0-9]*")


@dataclass(frozen=True)
class Host:
    """A host as the inventory has it: its name, and its variables (those named in VARIABLES, where set)."""

    name: str
    variables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """The address at which the other hosts reach this one, as written."""
        return str(self.variables.get("network_address") or self.variables.get("ansible_host") or self.name)

    @property
    def uplinks(self) -> dict[str, ipaddress.IPv4Network]:
        """The networks that this host's devices are in, other than ours; none before facts have been gathered."""
        facts = self.variables.get("ansible_facts", {})
        found = {}
        for name in facts.get("interfaces", []):
            ipv4 = facts.get(name.replace("-", "_"), {}).get("ipv4", {})
            if not _OURS.fullmatch(name) and "network" in ipv4 and "netmask" in ipv4:
                found[name] = ipaddress.IPv4Network(f"{ipv4['network']}/{ipv4['netmask']}")
        return found

    @property
    def uplink_mtu(self) -> int | None:
        """The MTU in bytes of this host's uplink, if facts tell it: of the device with its address, else the default's.

        On a client with scope host the default route's device may be our own, which tells nothing.
        """
        facts = self.variables.get("ansible_facts", {})
        devices = {name: facts.get(name.replace("-", "_"), {}) for name in facts.get("interfaces", [])}
        default = facts.get("default_ipv4", {}).get("interface", "")
        own = [name for name, device in devices.items() if device.get("ipv4", {}).get("address") == self.address]
        chosen = next((name for name in [*own, default] if name in devices and not _OURS.fullmatch(name)), None)
        return devices[chosen].get("mtu") if chosen else None

    @property
    def port(self) -> int:
        """The UDP port of this host's WireGuard."""
        return int(self.variables.get("network_listen_port", DEFAULT_PORT))


VARIABLES = (
    "ansible_host",
    "network_address",
    "network_exit",
    "network_inner",
    "network_inner_address",
    "network_listen_port",
    "network_overlay",
    "network_overlay_address",
    "network_uplink_mtu",
    "client_scope",
    "migration_interval",
    "migration_schedule",
    "ansible_facts",
)
"""The variables of a host that the plan reads."""


@dataclass(frozen=True)
class Inventory:
    """The three groups, each in the order of the inventory."""

    clients: list[Host]
    proxies: list[Host]
    exits: list[Host]

    @property
    def hosts(self) -> list[Host]:
        """All hosts of the three groups."""
        return [*self.clients, *self.proxies, *self.exits]


def exit_of(client: Host, exits: list[Host]) -> Host | None:
    """Return the exit at which a client's inner tunnel ends, or None where the inventory leaves it open."""
    chosen = client.variables.get("network_exit")
    if chosen is None:
        return exits[0] if len(exits) == 1 else None
    return next((host for host in exits if host.name == chosen), None)


def exit_address(inner: ipaddress.IPv4Network) -> ipaddress.IPv4Address:
    """Return the exit's own inner address: the first of the network."""
    return inner[1]


def network_of(inventory: Inventory, variable: str) -> ipaddress.IPv4Network:
    """Return the overlay or the inner network. Raises ValueError for text that is no IPv4 network."""
    default = {"network_overlay": DEFAULT_OVERLAY, "network_inner": DEFAULT_INNER}[variable]
    values = {str(host.variables.get(variable, default)) for host in inventory.hosts} or {default}
    if len(values) > 1:
        raise ValueError(f"the hosts disagree: {', '.join(sorted(values))}")
    return ipaddress.IPv4Network(values.pop())
