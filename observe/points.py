"""What is captured at each vantage point: on which device, and through which filter. Pure.

A filter is in the words of pcap-filter(7). Nowhere does it let through the SSH connections over which the packets
travel to the controller: each packet would bring forth another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wg_migrate.config import APPLICATION_NAMESPACE, INNER_DEVICE, OUTER_NAMESPACE
from wg_migrate.errors import WgMigrateError
from wg_migrate.nft import inside

LAYERS = ("inner", "overlay", "outer")
OF_ROLE = {"client": LAYERS, "proxy": ("overlay", "outer"), "exit": ("inner", "outer")}
"""What there is to be seen: a proxy has not the key to the inner packets, and the exit ends the overlay's."""
PROXY_DEVICE = "wgnet"
SNAP = 96
"""Bytes of a packet: its headers, and those of the WireGuard packet inside."""
_DIVIDE = (Path(__file__).parent / "remote" / "divide.py").read_text()
_BUFFER = 16384
"""KiB that the kernel keeps for one device while tcpdump or the connection is busy."""


@dataclass(frozen=True)
class Stream:
    """One device that is captured, in which network namespace (None: the host's own), by which filter ("": all)."""

    device: str
    layer: str
    namespace: str | None
    expression: str


@dataclass(frozen=True)
class Ends:
    """What the filters need to know of the capture's network: the client's part of its plan, and each path's proxy.

    `ssh` is where the controller's SSH connections to the hosts end: address and port. `sources` are the addresses, or
    networks, that the exit hears the client from.
    """

    client: Mapping[str, Any]
    ssh: frozenset[tuple[str, int]]
    sources: tuple[str, ...] = ()

    @property
    def overlay(self) -> str:
        """The filter for the encrypted packets of wg0, inside the paths."""
        return f"udp and host {self.client['overlay_address']} and {self.exit}"

    @property
    def exit(self) -> str:
        """The filter for packets from and to the exit's WireGuard."""
        return f"host {self.client['exit']['address']} and port {self.client['exit']['port']}"


@dataclass(frozen=True)
class Look:
    """What observe/remote/look.py tells of a host; `scope` and `management_ports` of a client only."""

    uplinks: tuple[str, ...]
    addresses: tuple[str, ...]
    scope: str = "host"
    management_ports: tuple[int, ...] = ()


def look_of(found: Mapping[str, Any]) -> Look:
    """Return what a host told, by the keys of observe/remote/look.py."""
    of_sshd = tuple(int(port) for port in found["ssh"][3:4])
    ports = (*of_sshd, *found.get("management_ports", ()))
    scope = (found.get("status") or {}).get("scope", "host")
    return Look(tuple(found["uplinks"]), tuple(found["addresses"]), scope, tuple(sorted(set(ports))))


def streams(role: str, ends: Ends, look: Look, port: int, layers: Iterable[str]) -> list[Stream]:
    """Return what to capture on a host of this role; PORT is that of its own WireGuard, for a proxy.

    Raises WgMigrateError where the host has no uplink.
    """
    if not look.uplinks:
        raise WgMigrateError("has no route to the others: without an uplink there is nothing to capture")
    of_layer = {"client": _client, "proxy": _proxy, "exit": _exit}[role]
    chosen = [layer for layer in OF_ROLE[role] if layer in layers]
    return [stream for layer in chosen for stream in of_layer(layer, ends, look, port)]


def _client(layer: str, ends: Ends, look: Look, _port: int) -> list[Stream]:
    if layer == "inner":
        namespace = APPLICATION_NAMESPACE if look.scope == "namespace" else None
        return [Stream(INNER_DEVICE, layer, namespace, without_ssh(ends.ssh))]
    if layer == "overlay":
        paths = [path["name"] for path in ends.client["paths"]]
        return [Stream(path, layer, OUTER_NAMESPACE, ends.overlay) for path in paths]
    # All that leaves and comes beside the management, so that a leak is seen, whatever it is.
    rest = without_management(look.addresses, look.management_ports)
    return [Stream(device, layer, None, rest) for device in look.uplinks]


def _proxy(layer: str, ends: Ends, look: Look, port: int) -> list[Stream]:
    if layer == "overlay":
        return [Stream(PROXY_DEVICE, layer, None, ends.overlay)]
    expression = f"udp and (port {port} or ({ends.exit}))"
    return [Stream(device, layer, None, expression) for device in look.uplinks]


def _exit(layer: str, ends: Ends, look: Look, _port: int) -> list[Stream]:
    if layer == "inner":
        mine = f"host {ends.client['inner_address']}"
        return [Stream(INNER_DEVICE, layer, None, _both(mine, without_ssh(ends.ssh)))]
    proxies = " or ".join(f"{'net' if '/' in each else 'host'} {each}" for each in sorted(set(ends.sources)))
    expression = f"udp and port {ends.client['exit']['port']} and ({proxies})"
    return [Stream(device, layer, None, expression) for device in look.uplinks]


def _both(one: str, other: str) -> str:
    return f"({one}) and {other}" if other else one


def without_ssh(ends: Iterable[tuple[str, int]]) -> str:
    """Return the filter for all but the SSH connections that end there; "" where there are none.

    The controller may be behind the very tunnel that it captures.
    """
    return " and ".join(f"not (host {address} and tcp port {port})" for address, port in sorted(ends))


def without_management(addresses: Sequence[str], ports: Sequence[int]) -> str:
    """Return the filter for all but TCP to and from these ports of the host's own addresses; "" for none of either.

    A connection that the host itself opens to such a port elsewhere is no management.
    """
    if not addresses or not ports:
        return ""

    def ends(side: str, of: str) -> str:
        return "(" + " or ".join(f"{side} {of} {value}" for value in (addresses if of == "host" else ports)) + ")"

    sides = [f"({ends('src', 'host')} and tcp and {ends('src', 'port')})"]
    sides += [f"({ends('dst', 'host')} and tcp and {ends('dst', 'port')})"]
    return f"not ({' or '.join(sides)})"


def tcpdump(stream: Stream, snap: int) -> list[str]:
    """Return the command line that writes the packets of a stream to its standard output, each at once.

    SNAP is in bytes, 0 for whole packets. WireGuard's packets that the kernel handles several of as one are divided on
    the host (observe/remote/divide.py). tcpdump stays root and out of promiscuous mode: giving up root would undo the
    bond with the process that started it (prctl(2)), and promiscuous mode leaves a line in the host's log.
    """
    divided = stream.layer != "inner"
    own = ["-Z", "root", "-p", "-n", "-U", "--time-stamp-precision=nano", "-B", str(_BUFFER)]
    own += ["-s", "0" if divided else str(snap), "-w", "-"]
    words = [stream.expression] if stream.expression else []
    program = [*inside(stream.namespace), "tcpdump", "-i", stream.device, *own, *words]
    return ["python3", "-c", _DIVIDE, str(snap), *program] if divided else program


def leaks(client: Mapping[str, Any], look: Look, lan_networks: Sequence[str]) -> str:
    """Return the filter for what must not leave by a client's uplink: as wire.py sorts it, in words of tcpdump.

    With scope namespace the host may speak for itself: only what is of the tunnel can leak.
    """
    allowed = ["arp", "(udp and (port 67 or port 68 or port 546 or port 547))", "(icmp6 and dst net fe80::/10)"]
    allowed += ["(icmp6 and dst net ff00::/8)"]
    allowed += [f"(udp and dst host {path['address']} and dst port {path['port']})" for path in client["paths"]]
    allowed += [f"dst net {network}" for network in lan_networks]
    parts = [f"not {each}" for each in allowed]
    if management := without_management(look.addresses, look.management_ports):
        parts.append(management)
    if look.scope == "namespace":
        exit_host = client["exit"]
        ours = (client["inner_address"], client["overlay_address"], exit_host["address"], exit_host["inner_address"])
        parts.append(f"({' or '.join(f'host {address}' for address in ours)})")
    return " and ".join(parts)


def tcpdump_lines(device: str, expression: str) -> list[str]:
    """Return the command line that prints a line for each packet that leaves by a device and passes the filter."""
    own = ["-Z", "root", "-p", "-n", "-q", "-l", "-Q", "out", "--immediate-mode", "-s", str(SNAP)]
    return ["tcpdump", "-i", device, *own, expression]
