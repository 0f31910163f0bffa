"""Watch a network device from outside the tunnel and sort what the clients put on it.

A packet socket sees what really leaves, whatever routes and firewalls were meant to do (packet(7)).
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

_ETH_P_ALL = 0x0003
_IPV4, _IPV6, _ARP = 0x0800, 0x86DD, 0x0806
_HOP_BY_HOP, _TCP, _UDP, _ICMPV6, _FRAGMENT = 0, 6, 17, 58, 44
_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _PACKET_STATISTICS = 263, 1, 6
_PACKET_MR_PROMISC = 1
_SNAP = 128
"""Bytes of each packet that are read: two headers and a beginning."""
_DHCP_PORTS = {67, 68, 546, 547}
_NEIGHBOURS = {*range(130, 138), 143}
"""Types of ICMPv6 that stay on the wire: multicast listeners (RFC 3810), neighbour discovery (RFC 4861)."""
_MOST_EXAMPLES = 10


@dataclass(frozen=True)
class Allowed:
    """What clients may put on the wire: UDP to and from the proxies, TCP of the management; addresses as text."""

    clients: frozenset[str]
    endpoints: frozenset[tuple[str, int]]
    management_ports: frozenset[int] = frozenset({22})


@dataclass(frozen=True)
class Packet:
    """The addresses, ports (0: none) and protocol number of an IP packet, and whether it is a fragment.

    `icmp_type` is that of a message of ICMPv6, else -1.
    """

    source: str
    target: str
    protocol: int
    source_port: int = 0
    target_port: int = 0
    fragment: bool = False
    icmp_type: int = -1

    def __str__(self) -> str:
        """Return the packet in a few words."""
        name = {_TCP: "tcp", _UDP: "udp"}.get(self.protocol, f"protocol {self.protocol}")
        return f"{self.source}:{self.source_port} > {self.target}:{self.target_port} {name}"


@dataclass
class Sightings:
    """Counts of packets of the clients; `missed` are those that the kernel could not hand over in time."""

    wireguard: int = 0
    management: int = 0
    neighbours: int = 0
    fragments: int = 0
    leaks: int = 0
    missed: int = 0
    examples: list[str] = field(default_factory=list)


def merged(parts: Iterable[Sightings]) -> Sightings:
    """Return what was seen on several devices together."""
    whole = Sightings()
    for part in parts:
        for name, value in vars(part).items():
            setattr(whole, name, getattr(whole, name) + value)
    return whole


def parse(kind: int, data: bytes) -> Packet | None:
    """Return the packet in the bytes after a link-layer header of this EtherType, or None for no whole IP header."""
    if kind == _IPV4 and len(data) >= 20:
        header = (data[0] & 0x0F) * 4
        offset = struct.unpack_from("!H", data, 6)[0]
        source, target = socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])
        return _with_ports(source, target, data[9], data[header:], bool(offset & 0x3FFF))
    if kind == _IPV6 and len(data) >= 40:
        source = socket.inet_ntop(socket.AF_INET6, data[8:24])
        target = socket.inet_ntop(socket.AF_INET6, data[24:40])
        if data[6] == _FRAGMENT:
            return Packet(source, target, _FRAGMENT, fragment=True)
        if data[6] == _HOP_BY_HOP and len(data) >= 42:
            return _with_ports(source, target, data[40], data[40 + (data[41] + 1) * 8 :], False)
        return _with_ports(source, target, data[6], data[40:], False)
    return None


def _with_ports(source: str, target: str, protocol: int, payload: bytes, fragment: bool) -> Packet:
    if protocol == _ICMPV6 and payload:
        return Packet(source, target, protocol, icmp_type=payload[0])
    if protocol not in (_TCP, _UDP) or len(payload) < 4 or fragment:
        return Packet(source, target, protocol, fragment=fragment)
    source_port, target_port = struct.unpack_from("!HH", payload)
    return Packet(source, target, protocol, source_port, target_port)


def sort(packet: Packet, allowed: Allowed) -> str | None:
    """Return the name of the count that a packet belongs to, or None for one that is no client's."""
    if packet.source in allowed.clients:
        far, far_port, near_port = packet.target, packet.target_port, packet.source_port
    elif packet.target in allowed.clients:
        far, far_port, near_port = packet.source, packet.source_port, packet.target_port
    else:
        return None
    if packet.fragment:
        return "fragments"
    if packet.protocol == _UDP and (far, far_port) in allowed.endpoints:
        return "wireguard"
    if packet.protocol == _TCP and near_port in allowed.management_ports:
        return "management"
    if packet.protocol == _UDP and {far_port, near_port} <= _DHCP_PORTS:
        return "neighbours"
    if packet.icmp_type in _NEIGHBOURS:
        return "neighbours"
    return "leaks"


def watch(device: str, seconds: float, allowed: Allowed, suspects: frozenset[str] | None = None) -> Sightings:
    """Watch a device of this namespace for a while.

    With `suspects`, only packets to or from these addresses can be leaks: elsewhere the host speaks for itself (client
    scope namespace). Raises OSError where there is no such device.
    """
    seen = Sightings()
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0) as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        # Promiscuous: a bridge then shows its own device what it forwards between its ports.
        request = struct.pack("iHH8s", socket.if_nametoindex(device), _PACKET_MR_PROMISC, 0, b"")
        stream.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, request)
        stream.bind((device, _ETH_P_ALL))
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([stream], [], [], left)[0]:
                break
            data, address = stream.recvfrom(_SNAP)
            _count(seen, parse(address[1], data), allowed, suspects)
        _received, dropped = struct.unpack("II", stream.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        seen.missed = dropped
    return seen


def _count(seen: Sightings, packet: Packet | None, allowed: Allowed, suspects: frozenset[str] | None) -> None:
    kind = sort(packet, allowed) if packet else None
    if packet is None or kind is None:
        return
    if kind == "leaks" and suspects is not None and not {packet.source, packet.target} & suspects:
        return
    setattr(seen, kind, getattr(seen, kind) + 1)
    if kind == "leaks" and len(seen.examples) < _MOST_EXAMPLES:
        seen.examples.append(str(packet))
