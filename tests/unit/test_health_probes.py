from __future__ import annotations

import pytest
from wg_migrate.health import DOWN, SUSPECT, UP, PathHealth
from wg_migrate.schedule import Health


def fresh() -> PathHealth:
    path = PathHealth(Health(), 100.0)
    path.present = path.session_live = True
    return path


def test_a_hurry_asks_at_once_but_not_twice() -> None:
    path = fresh()
    path.sent(1, False, 200.0)
    assert not path.probe_due(200.9)
    path.hurry(200.01)
    assert not path.probe_due(200.05)
    assert path.probe_due(200.061)
    path.hurry(200.5)
    assert path.probe_due(200.5)
    # So does traffic without an echo.
    path.sent(2, False, 300.0)
    path.counted(True, True, 300.2)
    assert not path.probe_due(300.2)
    path.counted(True, False, 300.2)
    assert path.probe_due(300.2)


def test_the_round_trip_is_estimated_as_rfc_6298_says() -> None:
    path = fresh()
    rtt, variance = 0.1, 0.05
    for number, takes in enumerate([0.1, 0.2, 0.05, 0.05, 0.3]):
        path.sent(number, True, 200.0 + number)
        path.answered(number, 200.0 + number + takes)
        if number > 0:
            variance = 3 / 4 * variance + 1 / 4 * abs(rtt - takes)
            rtt = 7 / 8 * rtt + 1 / 8 * takes
        assert path.rtt == pytest.approx(rtt)
    # Nothing is late before rtt + 4 * variance, and twice that is patience's end.
    for number in (11, 12, 13):
        path.sent(number, True, 210.0)
    late = rtt + 4 * variance
    for after, state in [
        (late - 0.001, UP),
        (late + 0.001, SUSPECT),
        (2 * late - 0.001, SUSPECT),
        (2 * late + 0.001, DOWN),
    ]:
        path.judge(True, 210.0 + after)
        assert path.state == state


def test_an_answer_settles_all_earlier_probes_and_counts_once() -> None:
    path = fresh()
    for number in range(5):
        path.sent(number, True, 200.0 + number / 10)
    path.answered(3, 200.5)
    path.answered(3, 200.5)
    path.answered(1, 200.5)
    path.answered(99, 200.5)
    assert path.probes_answered == 1
    path.answered(4, 200.6)
    assert (path.probes_sent, path.probes_answered) == (5, 2)


def test_of_many_unanswered_probes_the_first_and_the_latest_are_remembered() -> None:
    path = fresh()
    for number in range(1000):
        path.sent(number, True, 200.0 + number / 100)
    for number in (500, 900):
        path.answered(number, 210.1)
    assert not path.answers
    path.answered(0, 210.1)
    path.answered(990, 210.1)
    assert path.probes_answered == 2


@pytest.mark.parametrize(("after", "rtt"), [(None, 0.5), (0.2, 0.2), (0.7, 0.5), (-0.1, 0.0)])
def test_how_long_an_answer_took_may_be_known_better_than_by_its_note(after: float | None, rtt: float) -> None:
    """The kernel tells when it came, but not by the clock that told when its probe went: within bounds."""
    path = fresh()
    path.sent(1, True, 200.0)
    path.answered(1, 200.5, after)
    assert path.rtt == pytest.approx(rtt)


def test_doubt_never_slows_probes_down() -> None:
    path = PathHealth(Health(busy=0.02, silence=6.0), 100.0)
    path.present, path.state = True, SUSPECT
    path.sent(1, True, 200.0)
    assert path.probe_due(200.02)
    path.sent(2, False, 201.0)
    assert path.probe_due(202.0)
    assert not path.probe_due(201.9)
