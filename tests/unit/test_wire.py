from __future__ import annotations

import ipaddress
import struct

import pytest
from wg_migrate.wire import Allowed, Sightings, merged, parse, sort

IPV4, IPV6 = 0x0800, 0x86DD
CLIENT, CLIENT6, LINK, PROXY6 = "192.0.2.10", "2001:db8::10", "fe80::10", "2001:db8::11"
ALLOWED = Allowed(frozenset({CLIENT, CLIENT6, LINK}), frozenset({("192.0.2.11", 51820), (PROXY6, 51820)}))
LISTENER = bytes([58, 0, 5, 2, 0, 0, 1, 0])
"""A hop-by-hop header with a router alert, and ICMPv6 after it."""


def ipv6(source: str, target: str, protocol: int, payload: bytes) -> bytes:
    addresses = ipaddress.IPv6Address(source).packed + ipaddress.IPv6Address(target).packed
    return struct.pack("!IHBB", 0x60000000, len(payload), protocol, 255) + addresses + payload


def ports(source: int, target: int) -> bytes:
    return struct.pack("!HHHH", source, target, 8, 0)


@pytest.mark.parametrize(
    ("packet", "count"),
    [
        (ipv6(CLIENT6, PROXY6, 17, ports(40000, 51820)), "wireguard"),
        (ipv6(PROXY6, CLIENT6, 17, ports(51820, 40000)), "wireguard"),
        (ipv6(CLIENT6, PROXY6, 17, ports(40000, 53)), "leaks"),
        (ipv6(CLIENT6, "2001:db8::99", 17, ports(40000, 51820)), "leaks"),
        (ipv6("2001:db8::1", CLIENT6, 6, ports(50000, 22)), "management"),
        (ipv6(LINK, PROXY6, 58, bytes([135]) + bytes(23)), "neighbours"),
        (ipv6(LINK, "ff02::16", 0, LISTENER + bytes([143]) + bytes(27)), "neighbours"),
        (ipv6(LINK, "ff02::1", 58, bytes([128]) + bytes(7)), "leaks"),
        (ipv6(CLIENT6, PROXY6, 58, bytes([128]) + bytes(7)), "leaks"),
        (ipv6(CLIENT6, PROXY6, 44, bytes(8)), "fragments"),
        (ipv6("2001:db8::1", PROXY6, 6, ports(1, 2)), None),
    ],
    ids=[
        "to-a-path", "from-a-path", "to-a-path's-host", "to-another-host", "management", "solicitation", "listener",
        "ping-on-the-wire", "ping", "fragment", "others",
    ],
)  # fmt: skip
def test_each_packet_of_ipv6_is_sorted(packet: bytes, count: str | None) -> None:
    parsed = parse(IPV6, packet)
    assert parsed is not None
    assert sort(parsed, ALLOWED) == count


def test_half_a_header_is_no_packet() -> None:
    assert parse(IPV6, bytes(39)) is None
    assert parse(IPV4, bytes(19)) is None


def test_what_was_seen_on_several_devices_is_one() -> None:
    one = Sightings(wireguard=3, leaks=1, missed=2, examples=["first"])
    assert merged([one, Sightings(wireguard=4, leaks=2, examples=["second"])]) == Sightings(
        wireguard=7, leaks=3, missed=2, examples=["first", "second"]
    )
    assert merged([]) == Sightings()
