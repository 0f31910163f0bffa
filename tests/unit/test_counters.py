from __future__ import annotations

from wg_migrate.counters import Counters, parse

HEAD = (
    b"Inter-|   Receive                                                |  Transmit\n"
    b" face |bytes    packets errs drop fifo frame compressed multicast|"
    b"bytes    packets errs drop fifo colls carrier compressed\n"
)
LINES = (
    b"    lo:   17540     216    1    2    3     4          5         6"
    b"    17541     217    7    8    9    10      11         12\n"
    b"wgnet1: 1234567    8901    0    0    0     0          0         0"
    b"   987654    3210    0    0    0     0       0          0\n"
    b"wgnet4294967295:1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0\n"
)


def test_packets_received_and_sent_by_device() -> None:
    """Recorded from Linux 6.1; the last line has no blank after the name, as with numbers that fill their column."""
    assert parse(HEAD + LINES) == {"lo": (216, 217), "wgnet1": (8901, 3210), "wgnet4294967295": (2, 4)}


def test_a_namespace_without_devices_has_none() -> None:
    assert parse(HEAD) == {}


def test_the_counters_of_this_namespace_are_read_again_and_again() -> None:
    counters = Counters()
    assert "lo" in counters.read()
    assert set(counters.read()) == set(Counters().read())
