from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loop_rig import START, FakeProbe, World
from wg_migrate.health import DOWN, SUSPECT, UP
from wg_migrate.schedule import Health
from wg_migrate.sessions import Session
from wg_migrate.watch import BUSY, Tally, Watch

NAMES = ["wgnet1", "wgnet2", "wgnet3"]
DAY = 86400.0


class Watched:
    """A watch over paths of a world."""

    def __init__(self, *names: str) -> None:
        self.world = World(list(names) or NAMES)
        self.world.exit_answers = False  # but as the tests say
        self.watch = Watch(
            list(names) or NAMES, Health(), self.world.open_probe, self.world.read_counters, self.world.now
        )
        self.find()

    def find(self) -> None:
        self.watch.find(self.world.devices, self.world.sessions(), self.world.now)

    def look(self, nudges: int = 0, after: float = 0.0) -> None:
        self.world.now += after
        self.watch.look(nudges, self.world.now)

    def answer(self, probe: FakeProbe) -> None:
        """Have a path answer its last probe, by the next look."""
        self.world.counters[probe.name][0] += 1
        probe.unread.append((probe.number, None))

    def probe(self, name: str) -> FakeProbe:
        return [probe for probe in self.world.opened if probe.name == name][-1]


def dump(age: float | None, handshake: int) -> dict[str, Session]:
    return {"wgnet1": Session("192.0.2.1:1", age, 1, 2, handshake)}


def without_session() -> Watched:
    watched = Watched("wgnet1")
    watched.watch.find(watched.world.devices, {}, START)
    return watched


def live(watched: Watched, age: float | None, handshake: int, now: float) -> bool:
    watched.watch.find(watched.world.devices, dump(age, handshake), START + now)
    return watched.watch.paths[0].session_live


def test_a_session_grows_old_by_the_monotonic_clock() -> None:
    watched = without_session()
    assert live(watched, 100.0, 1000, 0)
    assert live(watched, 179.0, 1000, 79)
    assert not live(watched, 180.0, 1000, 80)


def test_a_clock_that_is_put_on_makes_no_session_dead() -> None:
    watched = without_session()
    assert live(watched, 10.0, 1000, 0)
    assert live(watched, DAY, 1000, 60)
    assert live(watched, DAY, 1060, 120)  # a handshake of before the clock was put on, seen after
    assert live(watched, DAY, 1060, 170)
    assert live(watched, DAY, 1190, 230)  # at most 60 s old: it came after the last look
    assert live(watched, DAY, 1190, 340)


def test_a_clock_that_is_put_back_makes_no_session_live() -> None:
    watched = without_session()
    assert live(watched, 100.0, 1000, 0)
    assert live(watched, 0.0, 1000, 60)
    assert not live(watched, 0.0, 1000, 80)
    assert live(watched, 0.0, 400, 90)  # there was a handshake, by a clock that is behind now


def test_a_handshake_that_is_new_counts_from_its_time() -> None:
    watched = without_session()
    assert live(watched, 170.0, 1000, 0)
    assert live(watched, 5.0, 1115, 60)
    assert live(watched, 125.0, 1115, 174)
    assert live(watched, 179.0, 1115, 234)
    assert not live(watched, 180.0, 1115, 235)


def test_a_tunnel_that_lost_its_session_has_none() -> None:
    watched = without_session()
    assert live(watched, 1.0, 1000, 0)
    assert not live(watched, None, 0, 1)
    watched.watch.find(watched.world.devices, {}, START + 2)
    assert not watched.watch.paths[0].session_live


def test_packets_of_others_are_counted() -> None:
    tally = Tally()
    assert tally.count((100, 200)) == (0, 0)  # what was before the loop
    assert tally.count((110, 230)) == (30, 10)
    tally.own(2, 1)
    assert tally.count((115, 235)) == (3, 4)
    assert tally.count((115, 235)) == (0, 0)
    assert tally.sent == 33


def test_a_device_made_anew_counts_on_from_nothing() -> None:
    tally = Tally()
    tally.count((0, 0))
    tally.count((100, 200))
    assert tally.count((3, 5)) == (5, 3)  # unnoticed
    assert tally.count(None) == (0, 0)
    assert tally.count((1000, 1000)) == (0, 0)  # whose they are is not known
    assert tally.count((1001, 1002)) == (2, 1)
    assert tally.sent == 207


@given(
    st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 2**40), st.integers(0, 2**40))), max_size=9),
    st.integers(0, 50),
)
def test_a_tally_never_goes_back(counters: list[tuple[int, int] | None], own: int) -> None:
    tally, before = Tally(), 0
    for each in counters:
        tally.own(own, own)
        assert min(tally.count(each)) >= 0
        assert tally.sent >= before
        before = tally.sent


def test_our_own_probes_and_their_answers_are_no_traffic() -> None:
    watched = Watched()
    for _ in range(50):
        watched.look(after=0.5)
        for path, probe in zip(watched.watch.paths, watched.world.opened, strict=True):
            if path.waits:
                watched.answer(probe)
    watched.look(after=0.01)
    assert not watched.watch.busy(watched.world.now)
    assert not watched.watch.listening(watched.world.now)
    assert watched.watch.sent_by_all() == 0
    assert all(path.probes_sent > 20 for path in watched.watch.paths)


def test_our_own_small_packets_do_not_make_the_client_busy() -> None:
    watched = Watched()
    watched.look()
    watched.world.counters["wgnet1"][1] += 10
    watched.look(nudges=10, after=0.1)
    assert watched.watch.up_since_look == 0
    assert not watched.watch.busy(watched.world.now)
    watched.world.counters["wgnet1"][1] += BUSY
    watched.look(after=0.1)
    assert watched.watch.up_since_look == BUSY
    assert watched.watch.busy(watched.world.now)
    watched.look(after=2.1)
    assert not watched.watch.busy(watched.world.now)


def test_a_busy_client_has_its_paths_probed_more_often() -> None:
    quiet, busy = Watched("wgnet1"), Watched("wgnet1")
    for watched, packets in ((quiet, 0), (busy, 10)):
        for _ in range(100):
            watched.world.counters["wgnet1"][1] += packets
            before = watched.watch.paths[0].probes_sent
            watched.look(after=0.05)
            if watched.watch.paths[0].probes_sent > before:
                watched.answer(watched.probe("wgnet1"))
    assert quiet.watch.paths[0].probes_sent in (5, 6, 7)
    assert 40 <= busy.watch.paths[0].probes_sent <= 52


def test_what_comes_down_is_listened_to_for_a_while() -> None:
    watched = Watched()
    watched.look()
    assert not watched.watch.listening(watched.world.now)
    watched.world.counters["wgnet2"][0] += 1
    watched.look(after=0.1)
    assert watched.watch.listening(watched.world.now + 1.9)
    assert not watched.watch.listening(watched.world.now + 2.1)


def test_a_path_in_doubt_is_looked_at_more_often() -> None:
    watched = Watched()
    watched.look()
    for name in NAMES:
        watched.answer(watched.probe(name))
    watched.look(after=0.02)
    watched.look(after=1.0)
    assert watched.watch.next_look == pytest.approx(watched.world.now + 0.1)
    watched.look(after=0.07)  # the last probe has had no answer for longer than a third of `silence`
    assert [path.state for path in watched.watch.paths] == [SUSPECT] * 3
    assert watched.watch.next_look == pytest.approx(watched.world.now + 0.03)


@pytest.mark.parametrize(
    ("states", "standing", "usable"),
    [
        ((UP, UP, UP), [0, 1, 2], [0, 1, 2]),
        ((UP, SUSPECT, DOWN), [0, 1], [0]),
        ((SUSPECT, SUSPECT, DOWN), [0, 1], [0, 1]),
        ((DOWN, SUSPECT, DOWN), [1], [1]),
        ((DOWN, DOWN, DOWN), [0, 2], [0, 2]),  # the second has no session
    ],
)
def test_the_paths_to_use(states: tuple[str, ...], standing: list[int], usable: list[int]) -> None:
    watched = Watched()
    watched.world.ages["wgnet2"] = None
    watched.find()
    for path, state in zip(watched.watch.paths, states, strict=True):
        path.state = state
    assert watched.watch.standing() == standing
    assert watched.watch.usable() == usable
    assert watched.watch.all_down() is (set(states) == {DOWN})


def test_a_device_that_is_gone_is_no_last_resort() -> None:
    watched = Watched()
    watched.world.remove("wgnet1", "wgnet2")
    watched.look()
    for path in watched.watch.paths:
        path.state = DOWN
    assert watched.watch.standing() == watched.watch.usable() == [2]


def test_a_device_made_anew_gets_a_new_probe() -> None:
    watched = Watched()
    first = watched.probe("wgnet1")
    watched.world.make_anew("wgnet1", 42)
    watched.find()
    assert first.closed
    assert watched.probe("wgnet1") is not first
    watched.world.remove("wgnet1")
    watched.find()
    assert watched.probe("wgnet1").closed


def test_where_a_probe_cannot_be_opened_the_session_tells() -> None:
    watched = Watched()
    watched.world.unopened = {"wgnet2"}
    watched.world.make_anew("wgnet2", 42)
    watched.find()
    assert watched.watch.problem == "wgnet2 cannot be probed: [Errno 1] not permitted"
    watched.look(after=0.1)
    assert watched.watch.paths[1].state == UP
    watched.world.unopened = set()
    watched.find()
    assert watched.watch.problem is None
    watched.look(after=0.3)
    assert watched.watch.paths[1].probes_sent == 1


def test_an_answer_is_measured_by_when_it_came() -> None:
    watched = Watched()
    watched.look()
    watched.probe("wgnet1").unread = [(1, 0.005)]
    watched.probe("wgnet2").unread = [(1, None)]
    watched.look(after=0.05)
    assert [path.probes_answered for path in watched.watch.paths] == [1, 1, 0]
    rtts = [watched.watch.status(number, watched.world.now)["rtt"] for number in range(3)]
    assert rtts == [pytest.approx(0.005), pytest.approx(0.05), None]


def test_a_path_that_refused_a_route_is_down_until_the_next_look() -> None:
    watched = Watched()
    watched.look()
    watched.watch.lost(0, watched.world.now)
    assert watched.watch.usable() == [1, 2]
    watched.look(after=0.1)
    assert watched.watch.usable() == [0, 1, 2]


def test_a_session_counts_from_its_beginning() -> None:
    watched = Watched()
    watched.look()
    watched.world.counters["wgnet1"][1] += 30
    watched.look(after=0.1)
    watched.watch.new_session()
    assert watched.watch.carried() == [0, 0, 0]
    assert watched.watch.status(0, watched.world.now)["share_session"] is None
    watched.world.counters["wgnet2"][1] += 10
    watched.look(after=0.1)
    assert watched.watch.carried() == [0, 10, 0]
    now = watched.world.now
    assert [watched.watch.status(number, now)["share"] for number in range(3)] == [0.75, 0.25, 0.0]
    assert [watched.watch.status(number, now)["share_session"] for number in range(3)] == [0.0, 1.0, 0.0]


def test_other_settings_hold_from_now_on() -> None:
    watched = Watched()
    settings = Health(busy=0.02, silence=5)
    watched.watch.settle(settings)
    watched.look()
    assert watched.watch.next_look == pytest.approx(watched.world.now + 0.02)
    assert all(path.settings is settings for path in watched.watch.paths)
