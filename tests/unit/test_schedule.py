from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wg_migrate.schedule import Deadlines, round_robin

INTERVALS = st.floats(0.001, 86400)
NAMES = ["wgnet1", "wgnet2", "wgnet3"]


@given(INTERVALS, st.floats(0, 1e6), st.lists(st.floats(0, 0.99), max_size=50))
def test_deadlines_do_not_drift_with_the_time_that_switches_take(
    interval: float, start: float, lateness: list[float]
) -> None:
    deadlines = Deadlines(interval, start)
    for number, late in enumerate(lateness, 1):
        assert deadlines.next == pytest.approx(start + number * interval)
        assert deadlines.advance(deadlines.next + late * interval) in (0, 1)  # 1: rounded up to the next one


@given(INTERVALS, st.floats(0, 1e6), st.floats(0, 1e7))
def test_after_a_suspension_there_is_one_switch_and_no_burst(interval: float, start: float, asleep: float) -> None:
    deadlines = Deadlines(interval, start)
    now = deadlines.next + asleep
    missed = deadlines.advance(now)
    assert missed == pytest.approx(asleep / interval, abs=1.01)
    assert now - 1e-6 * max(1.0, now) <= deadlines.next <= now + interval * (1 + 1e-6) + 1e-6
    assert (deadlines.next - start) / interval == pytest.approx(missed + 2, rel=1e-6)


def test_a_missed_deadline_is_counted_and_skipped() -> None:
    deadlines = Deadlines(1.0, 10.0)
    assert deadlines.advance(11.0) == 0
    assert deadlines.next == 12.0
    assert deadlines.advance(15.5) == 3
    assert deadlines.next == 16.0


def test_a_new_interval_counts_from_now() -> None:
    deadlines = Deadlines(3600.0, 0.0)
    deadlines.change(0.1, 5.0)
    assert (deadlines.interval, deadlines.next) == (0.1, 5.1)


@pytest.mark.parametrize(
    ("active", "live", "following"),
    [
        ("wgnet1", NAMES, "wgnet2"),
        ("wgnet3", NAMES, "wgnet1"),
        ("", NAMES, "wgnet1"),
        ("gone", NAMES, "wgnet1"),
        ("wgnet1", ["wgnet1", "wgnet3"], "wgnet3"),
        ("wgnet1", ["wgnet1"], None),
        ("wgnet2", ["wgnet1"], "wgnet1"),
        ("wgnet1", [], None),
        ("", [], None),
    ],
)
def test_the_next_path_is_the_next_one_with_a_live_session(active: str, live: list[str], following: str | None) -> None:
    assert round_robin(NAMES, active, live) == following


def test_without_any_path_there_is_none() -> None:
    assert round_robin([], "", []) is None


@given(st.integers(1, 8), st.integers(1, 5))
def test_every_live_path_has_the_same_share(count: int, rounds: int) -> None:
    names = [f"wgnet{number}" for number in range(count + 1)]
    active, visited = "", []
    for _ in range(len(names) * rounds):
        following = round_robin(names, active, names)
        assert following is not None
        visited.append(following)
        active = following
    assert {visited.count(name) for name in names} == {rounds}
