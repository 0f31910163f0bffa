from __future__ import annotations

from collections.abc import Callable

import pytest
from wg_migrate.health import DOWN, GONE, SUSPECT, UP, PathHealth
from wg_migrate.schedule import Health

Rtt = Callable[[float], float | None]
"""How long an answer to a probe sent at this time takes; None: it is lost."""
WAKES_LATE = 0.0002
"""Seconds by which a look comes later than planned."""


class World:
    """One path, looked at as Watch.look does, by a clock that only this moves; what happens to its probes is `rtt`."""

    def __init__(self, rtt: Rtt | float | None = 0.01, settings: Health | None = None) -> None:
        self.rtt: Rtt = rtt if callable(rtt) else lambda _: rtt
        self.settings = settings or Health()
        self.now = 100.0
        self.path = PathHealth(self.settings, self.now)
        self.path.present = self.path.session_live = True
        self.busy = True
        self.exit_answers = True
        self.sending = self.hearing = False
        self.turns: list[str] = []
        self.probes: list[float] = []
        self._number = 0
        self._answers: list[tuple[float, int]] = []
        self._next_look = self.now

    def run(self, seconds: float) -> World:
        end = self.now + seconds
        while min([self._next_look, *(when for when, _ in self._answers)]) <= end:
            self._answers.sort()
            if self._answers and self._answers[0][0] < self._next_look:
                self.now, number = self._answers.pop(0)
                self.path.answered(number, self.now)
                self._note()
            else:
                self.now = self._next_look + WAKES_LATE
                self._look()
        self.now = max(self.now, end)
        return self

    def until(self, state: str, at_most: float = 200.0) -> float:
        """Run until the path is in this state; return how long that took."""
        start = self.now
        while self.path.state != state:
            assert self.now - start < at_most, self.turns
            self.run(0.001)
        return self.now - start

    def die(self) -> None:
        """Let nothing pass from now on; what is under way is lost, too."""
        self.rtt = lambda _: None
        self._answers.clear()

    def _look(self) -> None:
        self.path.counted(self.sending, self.hearing, self.now)
        if self.path.probe_due(self.now):
            self._number += 1
            self.probes.append(self.now)
            self.path.sent(self._number, self.busy, self.now)
            takes = self.rtt(self.now)
            if takes is not None:
                self._answers.append((self.now + takes, self._number))
        self.path.judge(self.exit_answers, self.now)
        self._note()
        quick = self.path.state == SUSPECT
        self._next_look = self.now + (self.settings.silence / 6 if quick else min(0.1, self.settings.busy))

    def _note(self) -> None:
        if self.turns[-1:] != [self.path.state]:
            self.turns.append(self.path.state)


def healthy(rtt: float = 0.01) -> World:
    """Return a world whose path has been up for long and has answered all the time."""
    world = World(rtt).run(20)
    assert world.path.state == UP
    world.turns.clear()
    return world


def test_a_path_is_down_until_it_has_a_handshake() -> None:
    world = World(None)
    assert (world.path.state, world.path.why) == (DOWN, "no handshake yet")
    world.exit_answers = world.path.session_live = False
    world.run(1)
    assert (world.path.state, world.path.why) == (DOWN, "no handshake")
    world.path.session_live = True
    world.run(0.1)
    assert (world.path.state, world.path.answers) == (UP, False)
    assert World(None).run(0.1).path.why == "handshake"


def test_the_first_answer_is_enough() -> None:
    world = World(0.02)
    assert world.until(UP) < 0.002  # by its handshake
    world.run(0.02)
    assert world.path.why == "it answers"


@pytest.mark.parametrize("rtt", [0.001, 0.02, 0.05])
@pytest.mark.parametrize("phase", [number / 100 for number in range(10)])
def test_with_traffic_a_dead_path_is_seen_within_300_ms(rtt: float, phase: float) -> None:
    world = healthy(rtt).run(phase)
    world.sending = True
    world.die()
    assert world.until(DOWN) < 0.3
    assert world.path.why.startswith("nothing has come back for 0.")
    assert world.turns[-2:] == [SUSPECT, DOWN]


def test_a_path_is_in_doubt_before_it_is_down() -> None:
    world = healthy()
    world.die()
    assert world.until(SUSPECT) <= 0.2 + 1e-6
    assert world.path.why == "a probe is unanswered"
    # Until it is known, it is probed more often.
    world.probes.clear()
    start = world.now
    world.until(DOWN)
    assert world.probes[0] - start <= 0.03 + 0.002
    assert world.probes[1] - world.probes[0] == pytest.approx(0.03, abs=0.001)


@pytest.mark.parametrize(("rtt", "silence"), [(0.001, 0.05), (0.001, 0.18), (0.05, 0.18), (0.1, 0.18), (0.15, 0.18)])
@pytest.mark.parametrize("lost", [{3}, {3, 4}, {3, 5}, {3, 6, 9}])
def test_one_or_two_lost_probes_do_not_bring_a_path_down(rtt: float, silence: float, lost: set[int]) -> None:
    world = World(rtt, Health(silence=silence)).run(20)
    number = 0

    def answer(_: float) -> float | None:
        nonlocal number
        number += 1
        return None if number in lost else rtt

    world.rtt = answer
    world.run(5)
    assert DOWN not in world.turns
    assert world.path.state == UP


@pytest.mark.parametrize("rtt", [0.4, 2.0])
def test_a_path_that_has_become_slow_is_back_with_its_late_answer(rtt: float) -> None:
    world = healthy()
    world.rtt = lambda _: rtt
    world.run(0.01)
    assert world.until(DOWN) < 0.4
    assert world.until(UP) < rtt - 0.1
    assert world.path.why == "it was slow, not dead"
    world.turns.clear()
    world.run(30)
    assert set(world.turns) <= {UP, SUSPECT}
    assert world.path.rtt == pytest.approx(rtt, abs=0.01)


def test_a_path_is_taken_back_after_a_trial() -> None:
    world = healthy()
    world.die()
    world.run(3)
    world.rtt = lambda _: 0.01
    world.run(1)
    assert (world.path.state, world.path.why) == (DOWN, "it answers again, on trial for 2 s")
    assert 1 + world.until(UP) == pytest.approx(2.1, abs=0.1)
    assert world.path.why == "it answers again"


def fail(world: World, alive: float) -> float:
    """Let a path live so long, then die, and return how long its trial lasts when it answers again."""
    world.rtt = lambda _: 0.001
    world.until(UP)
    world.run(alive)
    world.die()
    world.run(3)
    assert world.path.state == DOWN
    world.rtt = lambda _: 0.001
    return world.until(UP)


def test_a_path_that_flaps_waits_twice_as_long_each_time_and_a_minute_at_most() -> None:
    world = healthy()
    assert [fail(world, 5) for _ in range(9)] == pytest.approx([2, 4, 8, 16, 32, 60, 60, 60, 60], abs=0.25)


def test_after_a_calm_minute_it_is_forgiven() -> None:
    world = healthy()
    assert [fail(world, 5) for _ in range(3)] == pytest.approx([2, 4, 8], abs=0.25)
    assert fail(world, 55) == pytest.approx(16, abs=0.25)
    assert fail(world, 61) == pytest.approx(2, abs=0.25)
    assert fail(world, 5) == pytest.approx(4, abs=0.25)


def test_without_a_trial_the_first_answer_is_enough() -> None:
    assert fail(World(0.01, Health(trial=0)).run(10), 5) < 0.15


def test_a_short_failure_has_its_whole_trial_too() -> None:
    world = healthy()
    fail(world, 5)
    world.run(5)
    world.die()
    world.until(DOWN)
    world.rtt = lambda _: 0.001
    assert world.until(UP) == pytest.approx(4.1, abs=0.15)


def test_a_trial_in_which_a_path_falls_silent_begins_anew() -> None:
    world = healthy()
    world.die()
    world.run(3)
    world.rtt = lambda _: 0.01
    world.run(1.5)
    world.die()
    world.run(1.2)
    assert world.path.why == "it answered, and then no more"
    world.rtt = lambda _: 0.01
    assert world.until(UP) == pytest.approx(2.1, abs=0.15)


def test_a_single_loss_does_not_end_a_trial() -> None:
    world = healthy()
    world.die()
    world.run(3)
    start = world.now
    world.rtt = lambda when: None if 1 < when - start < 1.15 else 0.01
    assert world.until(UP) == pytest.approx(2.1, abs=0.15)


def test_traffic_that_comes_back_keeps_a_path_up_while_its_probes_are_lost() -> None:
    world = healthy()
    world.rtt, world.sending, world.hearing = lambda _: None, True, True
    world.run(30)
    assert world.path.state == UP
    assert DOWN not in world.turns
    world.hearing = False
    assert world.until(DOWN) < 0.3


def test_the_device_may_go_and_come_back() -> None:
    world = healthy()
    world.path.present = False
    world.run(1)
    assert (world.path.state, world.path.why) == (DOWN, GONE)
    probed = len(world.probes)
    world.run(5)
    assert len(world.probes) == probed
    world.path.present = True
    world.die()
    world.run(0.5)
    assert (world.path.state, world.path.why) == (DOWN, "its device is back, and nothing has come through it yet")
    world.rtt = lambda _: 0.01
    assert world.until(UP) == pytest.approx(2.1, abs=0.15)


def test_probes_of_a_device_that_is_gone_are_forgotten() -> None:
    """A new device's probes are numbered from 1 again: an answer must not be taken for that to an old one."""
    world = healthy()
    path = world.path
    path.sent(7, True, world.now)
    path.present = False
    path.judge(True, world.now)
    path.present = True
    answered = path.probes_answered
    path.answered(7, world.now + 0.01)
    assert (path.probes_answered, path.state) == (answered, DOWN)


def test_a_path_whose_exit_answers_nobody_is_judged_by_its_session() -> None:
    world = World(None)
    world.exit_answers = False
    world.run(60)
    assert world.turns == [UP]
    assert world.path.why == "handshake; not probed, for the exit answers no echo requests"
    world.path.session_live = False
    world.run(0.1)
    assert (world.path.state, world.path.why) == (DOWN, "no handshake")


def test_where_no_probe_is_answered_they_become_rare() -> None:
    world = World(None)
    world.exit_answers = world.busy = False
    world.run(3)
    assert len(world.probes) >= 8
    world.probes.clear()
    world.run(30)
    assert len(world.probes) <= 31


def test_a_path_that_alone_never_answers_goes_down() -> None:
    world = World(None)
    assert 0.9 < world.until(UP) + world.until(DOWN) < 1.5
    assert world.path.why == "the exit answers by other paths and not by this one"
    world.run(60)
    assert world.turns == [UP, DOWN]
    world.rtt = lambda _: 0.01
    assert world.until(UP) < 0.2


def test_without_answers_a_path_that_takes_all_and_returns_nothing_is_given_up_for_a_while() -> None:
    world = World(None)
    world.exit_answers, world.sending = False, True
    assert world.until(UP) + world.until(DOWN) == pytest.approx(15, abs=0.3)
    assert world.path.why == "sent for 15 s, and nothing came back"
    world.sending = False
    assert world.until(UP) == pytest.approx(30, abs=0.3)
    world.sending = True
    assert world.until(DOWN) == pytest.approx(15, abs=0.3)
    world.hearing = True
    assert world.until(UP) < 0.2


def test_now_and_then_a_packet_from_it_is_enough_for_a_path_without_answers() -> None:
    world = World(None)
    world.exit_answers = False
    for _ in range(5):
        world.sending, world.hearing = True, False
        world.run(12)
        world.hearing = True
        world.run(0.1)
    assert world.turns == [UP]


def test_without_traffic_probes_are_rare() -> None:
    world = healthy()
    world.busy = False
    world.run(1)
    world.probes.clear()
    world.run(30)
    assert 29 <= len(world.probes) <= 31
    world.busy = True
    world.path.hurry(world.now)
    world.probes.clear()
    world.run(3)
    assert 29 <= len(world.probes) <= 31


def test_answers_after_many_seconds_are_ignored() -> None:
    world = healthy()
    answered = world.path.probes_answered
    world.rtt = lambda _: 5.5
    world.run(30)
    assert (world.path.state, world.path.probes_answered) == (DOWN, answered)


def test_settings_hold() -> None:
    world = World(0.01, Health(busy=0.5, silence=2.0)).run(20)
    world.probes.clear()
    world.run(10)
    assert 20 <= len(world.probes) <= 21
    world.die()
    assert 2.0 <= world.until(DOWN) < 3.0
