"""The inventory as the plan of the network sees it: three groups of hosts with their choices. Pure."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Union

from .addresses import read_host_address4, read_host_address6
from .reading import shortened, shown

DEFAULT_OVERLAY = "10.87.0.0/20"
DEFAULT_INNER = "10.87.16.0/20"
DEFAULT_DEVICE_INNER = "10.87.32.0/20"
DEFAULT_OVERLAY6 = "fd5d:6a0c:87e1:1::/64"
DEFAULT_INNER6 = "fd5d:6a0c:87e1:2::/64"
DEFAULT_DEVICE_INNER6 = "fd5d:6a0c:87e1:3::/64"
"""Drawn at random once (RFC 4193, section 3.2)."""
DEFAULT_PORT = 51820
DEFAULT_DEVICE_PORT = 51821
SCOPES = ("host", "namespace")
LARGEST_UPLINK = 65535
"""Bytes: the most that an IP packet has (RFC 791, section 3.1)."""
IPNetwork = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What a host or a device may be called; it names key files, too (keys.py)."""
_OURS = re.compile(r"wg0|wgdev|wgnet[0-9]*")


@dataclass(frozen=True)
class Host:
    """A host as the inventory has it: its name, and its variables (those named in VARIABLES, where set).

    `files` has the text of each file of the controller that they name, None for one that cannot be read. Secret.
    """

    name: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str | None] = field(default_factory=dict, repr=False)

    @property
    def address(self) -> str:
        """The address at which the other hosts reach this one; IPv6 in its short form, all else as written."""
        text = as_text(self.variables.get("network_address") or self.variables.get("ansible_host") or self.name)
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            return text

    @property
    def addresses(self) -> list[str]:
        """All addresses that this host is known to have: that at which it is reached, and those of its facts."""
        facts = _mapping(self.variables.get("ansible_facts"))
        found = [facts.get(f"all_{family}_addresses") for family in ("ipv4", "ipv6")]
        own = [
            each for listed in found if isinstance(listed, (list, tuple)) for each in listed if isinstance(each, str)
        ]
        return list(dict.fromkeys([self.address, *own]))

    def address_towards(self, other: Host) -> str | None:
        """Return the address from which another host hears this one, None where no fact tells it.

        It is of the family of the other's address: where this host's own is of the other family, that of its default
        route. Raises ValueError where one of the two is no address.
        """
        family = ipaddress.ip_address(other.address).version
        if ipaddress.ip_address(self.address).version == family:
            return self.address
        told = _mapping(_mapping(self.variables.get("ansible_facts")).get(f"default_ipv{family}")).get("address")
        return told if isinstance(told, str) else None

    @property
    def uplinks(self) -> list[tuple[str, IPNetwork]]:
        """The networks that this host's devices are in, by device, other than ours; none before facts are gathered."""
        found: list[tuple[str, IPNetwork]] = []
        for name, device in self.devices.items():
            if _OURS.fullmatch(name):
                continue
            ipv4, ipv6 = _mapping(device.get("ipv4")), device.get("ipv6")
            with contextlib.suppress(ValueError):
                found.append((name, ipaddress.IPv4Network(f"{ipv4.get('network')}/{ipv4.get('netmask')}")))
            for each in map(_mapping, ipv6 if isinstance(ipv6, (list, tuple)) else []):
                with contextlib.suppress(ValueError):
                    found.append((name, ipaddress.IPv6Interface(f"{each.get('address')}/{each.get('prefix')}").network))
        return found

    @property
    def uplink_mtu(self) -> int | None:
        """The MTU in bytes of this host's uplink, if facts tell it: of the device with its address, else the default's.

        On a client with scope host the default route's device may be our own, which tells nothing.
        """
        devices = self.devices
        default = str(_mapping(_mapping(self.variables.get("ansible_facts")).get("default_ipv4")).get("interface"))
        own = [name for name, device in devices.items() if _mapping(device.get("ipv4")).get("address") == self.address]
        chosen = next((name for name in [*own, default] if name in devices and not _OURS.fullmatch(name)), None)
        mtu = devices[chosen].get("mtu") if chosen else None
        return mtu if isinstance(mtu, int) else None

    @property
    def port(self) -> int:
        """The UDP port of this host's WireGuard."""
        return int(self.variables.get("network_listen_port", DEFAULT_PORT))

    @property
    def device_port(self) -> int:
        """The UDP port at which this exit serves devices that do not migrate."""
        return int(self.variables.get("network_device_port", DEFAULT_DEVICE_PORT))

    @property
    def resolves(self) -> bool:
        """Whether this exit answers its clients' questions for DNS."""
        return self.variables.get("network_resolver", True) is True

    @property
    def devices(self) -> dict[str, Mapping[str, Any]]:
        """Return the facts of each device, by its name. A host may say anything: what is no such fact is left out."""
        facts = _mapping(self.variables.get("ansible_facts"))
        names = facts.get("interfaces")
        listed = [name for name in names if isinstance(name, str)] if isinstance(names, (list, tuple)) else []
        return {name: _mapping(facts.get(name.replace("-", "_"))) for name in listed}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


VARIABLES = (
    "ansible_host",
    "cloud_hosts",
    "network_address",
    "network_asn",
    "network_device_inner",
    "network_device_inner6",
    "network_device_port",
    "network_devices",
    "network_diversity",
    "network_exit",
    "network_inner",
    "network_inner6",
    "network_inner_address",
    "network_listen_port",
    "network_overlay",
    "network_overlay6",
    "network_overlay_address",
    "network_provider",
    "network_region",
    "network_resolver",
    "network_uplink_mtu",
    "client_foreign_paths",
    "client_scope",
    "client_uplinks",
    "migration_interval",
    "migration_schedule",
    "ansible_facts",
)
"""The variables of a host that the plan reads."""


def host_of(name: str, variables: Mapping[str, Any], files: Mapping[str, str | None] | None = None) -> Host:
    """Return a host with those of its variables that the plan reads, and the texts of the files that they name."""
    return Host(name, {key: variables[key] for key in VARIABLES if key in variables}, files or {})


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


def in_order(inventory: Inventory) -> Inventory:
    """Return the inventory with the proxies in an order that lasts: those of cloud_hosts as they are written there.

    A provider shows its machines in an order of its own, another when one is made anew; the order numbers the paths.
    """
    written = [list(_mapping(host.variables.get("cloud_hosts"))) for host in inventory.proxies]
    places = {name: place for names in written for place, name in enumerate(names, 1)}
    return replace(inventory, proxies=sorted(inventory.proxies, key=lambda host: places.get(host.name, 0)))


def exit_of(client: Host, exits: list[Host]) -> Host | None:
    """Return the exit at which a client's inner tunnel ends, or None where the inventory leaves it open."""
    chosen = client.variables.get("network_exit")
    if chosen is None:
        return exits[0] if len(exits) == 1 else None
    return next((host for host in exits if host.name == chosen), None)


def exit_address(inner: ipaddress.IPv4Network) -> ipaddress.IPv4Address:
    """Return the exit's own inner address: the first of the network."""
    return inner[1]


def read_network(text: str) -> ipaddress.IPv4Network:
    """Return the IPv4 network that a text is. Raises ValueError where it is none whose addresses hosts can have."""
    try:
        network = ipaddress.IPv4Network(text)
        for address in (network[0], network[-1]):
            read_host_address4(str(address))
    except ValueError as error:
        raise ValueError(shortened(str(error))) from None
    return network


def as_text(value: object) -> str:
    """Return a text as it is, and anything else as a message shows it: that is no address, however large it is."""
    return value if isinstance(value, str) else shown(value)


_DEFAULTS = {
    "network_overlay": DEFAULT_OVERLAY,
    "network_inner": DEFAULT_INNER,
    "network_overlay6": DEFAULT_OVERLAY6,
    "network_inner6": DEFAULT_INNER6,
    "network_device_inner": DEFAULT_DEVICE_INNER,
    "network_device_inner6": DEFAULT_DEVICE_INNER6,
}


def network_of(inventory: Inventory, variable: str) -> ipaddress.IPv4Network:
    """Return the IPv4 network of such a variable. Raises ValueError for text that is no network of hosts."""
    return read_network(_agreed(inventory, variable))


def network6_of(inventory: Inventory, variable: str) -> ipaddress.IPv6Network:
    """Return the IPv6 network of such a variable. Raises ValueError for text that is none, or that is no /64."""
    try:
        network = ipaddress.IPv6Network(_agreed(inventory, variable))
        read_host_address6(str(network[1]))
    except ValueError as error:
        raise ValueError(shortened(str(error))) from None
    if network.prefixlen != 64:
        raise ValueError(f"{network} is not a /64")
    return network


def _agreed(inventory: Inventory, variable: str) -> str:
    default = _DEFAULTS[variable]
    values = {as_text(host.variables.get(variable, default)) for host in inventory.hosts} or {default}
    if len(values) > 1:
        raise ValueError(f"the hosts disagree: {shortened(', '.join(sorted(values)))}")
    return values.pop()
