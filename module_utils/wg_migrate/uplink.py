"""What this host's uplink and kernel are like. Reads only."""

from __future__ import annotations

import json

from .errors import WgMigrateError
from .system import System

PROBE = ["unshare", "--net", "ip", "link", "add", "name", "wgm-probe", "type", "wireguard"]
"""Makes a device in a namespace that is gone when the command ends: nothing is left behind."""


def read_uplink_mtu(system: System) -> int:
    """Return the MTU in bytes of the device that the default route leaves by (IPv4's, else IPv6's).

    Raises WgMigrateError where there is no default route.
    """
    links = json.loads(system.run(["ip", "-json", "link", "show", "dev", _default_device(system)]))
    return int(links[0]["mtu"])


def uplink_device(system: System) -> tuple[str, list[str]]:
    """Return the device that the default route leaves by, and its addresses. Raises WgMigrateError likewise."""
    device = _default_device(system)
    found = json.loads(system.run(["ip", "-json", "address", "show", "dev", device]))
    return device, [str(address["local"]) for address in found[0].get("addr_info", [])]


def _default_device(system: System) -> str:
    for family in ("-4", "-6"):
        for route in json.loads(system.run(["ip", "-json", family, "route", "show", "default"]) or "[]"):
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
