"""What this host's uplink and kernel are like. Reads only."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping
from typing import Any

from .addresses import family
from .errors import WgMigrateError
from .system import System

PROBE = ["unshare", "--net", "ip", "link", "add", "name", "wgm-probe", "type", "wireguard"]
"""Makes a device in a namespace that is gone when the command ends: nothing is left behind."""


def read_uplink_mtu(system: System, others: Iterable[str] = ()) -> int:
    """Return the MTU in bytes of the device that the default route leaves by (IPv4's, else IPv6's).

    Where one of `others` has a smaller one, it is that: all paths have one MTU. Raises WgMigrateError where there is no
    default route.
    """
    there = [device for device in others if system.exists(f"/sys/class/net/{device}")]
    return min(_mtu(system, device) for device in dict.fromkeys([_default_device(system), *there]))


def uplink_device(system: System) -> tuple[str, list[str]]:
    """Return the device that the default route leaves by, and its addresses. Raises WgMigrateError likewise."""
    device = _default_device(system)
    return device, device_addresses(system, device)


def device_addresses(system: System, device: str) -> list[str]:
    """Return the addresses of a device. Raises WgMigrateError where it is not there."""
    found = json.loads(system.run(["ip", "-json", "address", "show", "dev", device]))
    return [str(address["local"]) for address in found[0].get("addr_info", [])]


def way_by(system: System, device: str, address: str) -> str | None:
    """Return how table main reaches an address by this device, whatever it prefers; None where it does not.

    In the words of `ip route`: "dev DEVICE" for a neighbour, "via GATEWAY dev DEVICE" for another.
    """
    answer = system.attempt(["ip", "-json", family(address), "route", "show", "table", "main"])
    return way_of(json.loads(answer.stdout or "[]") if answer.status == 0 else [], device, address)


def way_of(routes: Iterable[Mapping[str, Any]], device: str, address: str) -> str | None:
    """Return the same from the routes of a table, as `ip -json` tells them. Pure."""
    wanted = ipaddress.ip_address(address)
    found: list[tuple[int, int, str]] = []
    for route in routes:
        network = _destination(route, wanted.version)
        if network is None or wanted not in network or route.get("type", "unicast") != "unicast":
            continue
        for hop in route.get("nexthops") or [route]:
            if hop.get("dev") == device and not {"dead", "linkdown"} & set(hop.get("flags", [])):
                # A gateway of the other family (RFC 5549) is in `via`.
                gateway = hop.get("gateway") or " ".join((hop.get("via") or {}).values())
                words = f"via {gateway} dev {device}" if gateway else f"dev {device}"
                found.append((-network.prefixlen, int(route.get("metric", 0)), words))
    return min(found)[2] if found else None


def _destination(route: Mapping[str, Any], version: int) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    text = route.get("dst", "")
    try:
        return ipaddress.ip_network({"default": "0.0.0.0/0" if version == 4 else "::/0"}.get(text, text))
    except ValueError:
        return None


def _mtu(system: System, device: str) -> int:
    return int(json.loads(system.run(["ip", "-json", "link", "show", "dev", device]))[0]["mtu"])


def _default_device(system: System) -> str:
    for which in ("-4", "-6"):
        for route in json.loads(system.run(["ip", "-json", which, "route", "show", "default"]) or "[]"):
            if "dev" in route:
                return str(route["dev"])
    raise WgMigrateError("this host has no default route, so its uplink is not known: write network_uplink_mtu")


def kernel_has_ipv6(system: System) -> bool:
    """Tell whether this kernel was started with IPv6 (parameter ipv6.disable), whether or not a device uses it."""
    return system.exists("/proc/net/if_inet6")


def advertised_uplinks(system: System) -> list[str]:
    """Return the devices through which router advertisements gave this host a default route, read by the kernel itself.

    Forwarding makes the kernel forget such routes, unless accept_ra is 2 (Documentation/networking/ip-sysctl.rst).
    Where a program reads the advertisements, accept_ra is 0.
    """
    routes = json.loads(system.attempt(["ip", "-json", "-6", "route", "show", "default"]).stdout or "[]")
    devices = sorted({str(route["dev"]) for route in routes if route.get("protocol") == "ra" and "dev" in route})
    settings = {name: system.read(f"/proc/sys/net/ipv6/conf/{name}/accept_ra") or "0" for name in devices}
    return [name for name, value in settings.items() if value.strip() in ("1", "2")]


def kernel_has_wireguard(system: System) -> bool:
    """Tell whether this kernel can make a WireGuard device (loading its module if there is one)."""
    return system.attempt(PROBE).status == 0
