from __future__ import annotations

import pytest
from wg_migrate.sessions import REJECT_AFTER, parse_sessions

NOW = 1_800_000_000.0


def dump(handshake: int) -> str:
    """Return two lines as `wg show all dump` prints them: the device, its peer."""
    device = "wgnet1\tPRIVATE\tPUBLIC\t43210\t0x5747"
    return f"{device}\nwgnet1\tPEER\tPRESHARED\t192.0.2.11:51820\t0.0.0.0/0\t{handshake}\t1000\t2000\t20\n"


@pytest.mark.parametrize(
    ("age", "live"), [(0, True), (120, True), (REJECT_AFTER - 1, True), (REJECT_AFTER, False), (1e6, False)]
)
def test_a_session_lives_as_long_as_its_keys(age: float, live: bool) -> None:
    session = parse_sessions(dump(int(NOW - age)), NOW)["wgnet1"]
    assert session.age == age
    assert session.live is live


def test_a_tunnel_that_never_shook_hands_is_not_live() -> None:
    session = parse_sessions(dump(0), NOW)["wgnet1"]
    assert session.age is None
    assert not session.live


def test_a_clock_that_went_back_makes_no_negative_age() -> None:
    assert parse_sessions(dump(int(NOW) + 100), NOW)["wgnet1"].age == 0.0


def test_counters_endpoint_and_time_of_the_handshake() -> None:
    session = parse_sessions(dump(int(NOW) - 5), NOW)["wgnet1"]
    assert (session.endpoint, session.received, session.sent) == ("192.0.2.11:51820", 1000, 2000)
    assert session.handshake == NOW - 5  # as the clock of then said, whatever it says now
    assert parse_sessions(dump(int(NOW) - 5), NOW + 1e6)["wgnet1"].handshake == NOW - 5
    assert parse_sessions(dump(0), NOW)["wgnet1"].handshake == 0


def test_a_device_without_a_peer_has_no_session() -> None:
    assert parse_sessions("wg0\tPRIVATE\tPUBLIC\t0\toff\n", NOW) == {}
    assert parse_sessions("", NOW) == {}
