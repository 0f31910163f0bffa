from __future__ import annotations

import struct

import pytest
from wg_migrate.host_events import routing_is_ours

NEWLINK, NEWROUTE, DELROUTE, NEWRULE, DELRULE = 16, 24, 25, 32, 33
IFNAME, OIF, TABLE, PRIORITY = 3, 4, 15, 6


def message(kind: int, head: int, *attributes: tuple[int, bytes]) -> bytes:
    body = bytes(head)
    for number, value in attributes:
        body += struct.pack("=HH", 4 + len(value), number) + value + bytes(-len(value) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def word(number: int) -> bytes:
    return struct.pack("=I", number)


def route(kind: int, table: int) -> bytes:
    return message(kind, 12, (1, word(0)), (TABLE, word(table)))


def rule(kind: int, priority: int) -> bytes:
    return message(kind, 12, (IFNAME, b"eth0\0"), (PRIORITY, word(priority)))


def link(name: bytes) -> bytes:
    return message(NEWLINK, 16, (IFNAME, name + b"\0"))


OURS = [
    None,
    route(NEWROUTE, 22343),
    route(DELROUTE, 22343),
    rule(NEWRULE, 5740),
    rule(DELRULE, 5939),
    link(b"wg0"),
    route(DELROUTE, 254) + rule(DELRULE, 5741),
]
UPLINK = [
    link(b"wlan0"),
    message(DELROUTE, 12, (OIF, word(7)), (TABLE, word(254))),
]
OTHERS = [
    route(DELROUTE, 254),
    rule(DELRULE, 5739),
    rule(DELRULE, 5940),
    rule(DELRULE, 32766),
    link(b"wg01"),
    link(b"eth0"),
    message(NEWRULE, 12),  # one without a priority
    message(20, 12, (TABLE, word(22343))),  # an address
    b"",
]
BROKEN = [b"\0" * 7, b"\0" * 40, struct.pack("=IHHII", 10**9, NEWRULE, 0, 0, 0), message(DELRULE, 12, (1, b"")) + b"\1"]


@pytest.mark.parametrize("datagram", OURS)
def test_what_is_ours_is_known(datagram: bytes | None) -> None:
    assert routing_is_ours(datagram)


@pytest.mark.parametrize("datagram", UPLINK)
def test_what_an_uplink_does_concerns_who_has_pinned_a_path_to_it(datagram: bytes) -> None:
    assert routing_is_ours(datagram, ["wlan0"], {7})
    assert not routing_is_ours(datagram, ["wlan1"], {8})
    assert not routing_is_ours(datagram)


def test_a_route_that_we_made_is_ours_in_any_table() -> None:
    ours = bytearray(route(DELROUTE, 22529))
    ours[16 + 5] = 87
    assert routing_is_ours(bytes(ours))


@pytest.mark.parametrize("datagram", OTHERS)
def test_what_is_others_is_none_of_our_business(datagram: bytes) -> None:
    assert not routing_is_ours(datagram)


@pytest.mark.parametrize("datagram", BROKEN)
def test_what_makes_no_sense_is_passed_over(datagram: bytes) -> None:
    assert not routing_is_ours(datagram)
