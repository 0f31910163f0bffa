from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wg_migrate.deadlines import MADE_UP, MADE_UP_SECONDS, Deadlines
from wg_migrate.randomness import Replay

PERIODS = st.floats(0.001, 86400)
FEW = settings(derandomize=True, max_examples=40, deadline=None)


def steady(period: float, now: float = 0.0) -> Deadlines:
    return Deadlines(period, 0.0, Replay(0), now)


@FEW
@given(PERIODS, st.floats(0, 1e6), st.lists(st.floats(0, 0.4), max_size=50))
def test_deadlines_do_not_drift_with_the_time_that_switches_take(
    period: float, start: float, lateness: list[float]
) -> None:
    deadlines = steady(period, start)
    for number, late in enumerate(lateness, 1):
        assert deadlines.due == deadlines.next == pytest.approx(start + number * period)
        assert deadlines.advance(deadlines.next + late * period) == 0


@FEW
@given(PERIODS, st.floats(0, 1), st.integers(0, 2**32))
def test_each_period_is_drawn_anew_and_deadlines_are_the_sum_of_the_draws(
    period: float, jitter: float, seed: int
) -> None:
    deadlines, draws = Deadlines(period, jitter, Replay(seed), 0.0), Replay(seed)
    due = 0.0
    for _ in range(20):
        due += period * (1 + jitter * draws.uniform(-1, 1)) if jitter else period
        assert deadlines.due == deadlines.next == pytest.approx(due)
        assert deadlines.advance(deadlines.next) == 0


def test_jittered_periods_fill_their_range_evenly() -> None:
    deadlines = Deadlines(0.1, 0.5, Replay(1), 0.0)
    gaps, before = [], 0.0
    for _ in range(2000):
        gaps.append(deadlines.next - before)
        before = deadlines.next
        deadlines.advance(before)
    assert 0.05 <= min(gaps) < 0.051
    assert 0.149 < max(gaps) <= 0.15
    assert sum(gaps) / len(gaps) == pytest.approx(0.1, abs=0.002)
    assert sum(gap < 0.075 for gap in gaps) / len(gaps) == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("late", [0.5, 1.0, 3.0, 9.0, MADE_UP])
def test_late_switches_are_made_up_for_half_a_period_apart(late: float) -> None:
    deadlines = steady(1.0)
    now = deadlines.next + late
    missed = deadlines.advance(now)
    gaps = []
    while deadlines.due < now or deadlines.next > deadlines.due:
        gaps.append(deadlines.next - now)
        now = deadlines.next
        missed += deadlines.advance(now)
    assert missed == 0
    assert len(gaps) == pytest.approx(2 * late, abs=1)
    assert gaps == pytest.approx([0.5] * len(gaps))
    # As if nothing had been late:
    assert deadlines.due == pytest.approx(len(gaps) + 2)


def test_a_switch_that_was_almost_a_period_late_is_not_followed_by_another_at_once() -> None:
    deadlines = steady(1.0)
    deadlines.advance(1.99)
    assert deadlines.next == pytest.approx(2.49)
    assert deadlines.due == 2.0


def test_made_up_switches_are_jittered_too() -> None:
    deadlines, draws = Deadlines(1.0, 0.5, Replay(3), 0.0), Replay(3)
    draws.random()
    now = deadlines.next + 8
    for _ in range(5):
        assert deadlines.advance(now) == 0
        assert deadlines.next == pytest.approx(now + (1 + 0.5 * draws.uniform(-1, 1)) / 2)
        now = deadlines.next


@FEW
@given(PERIODS, st.floats(0, 1e6), st.floats(1e-6, 1e5))
def test_after_a_longer_halt_there_is_no_burst_and_the_rest_counts_as_missed(
    period: float, start: float, extra: float
) -> None:
    deadlines = steady(period, start)
    made_up = max(MADE_UP, MADE_UP_SECONDS / period)
    now = deadlines.next + (made_up + 1 + extra) * period
    missed = deadlines.advance(now)
    assert missed == pytest.approx(made_up + extra, abs=1.01)
    assert now - 1e-6 * (now + 1) <= deadlines.due <= now + period * (1 + 1e-6) + 1e-6
    assert now + period / 2 <= deadlines.next <= now + period * (1 + 1e-6) + 1e-6
    # The deadlines stay where they would have been.
    assert (deadlines.due - start) / period == pytest.approx(missed + 2, rel=1e-6)


def test_more_than_ten_are_not_made_up_for() -> None:
    assert MADE_UP == 10
    deadlines = steady(1.0)
    assert deadlines.advance(deadlines.next + MADE_UP + 1) == 0
    deadlines = steady(1.0)
    assert deadlines.advance(deadlines.next + MADE_UP + 1.5) == MADE_UP + 1
    assert deadlines.due == MADE_UP + 3


@pytest.mark.parametrize(("late", "missed"), [(0.1, 0), (0.11, 110)])
def test_a_tenth_of_a_second_is_made_up_for_whatever_the_period(late: float, missed: int) -> None:
    deadlines = steady(0.001)
    now = deadlines.next + late
    assert deadlines.advance(now) == pytest.approx(missed, abs=2)
    assert deadlines.next == pytest.approx(now + 0.0005, abs=0.0006)
