from __future__ import annotations

import errno
import itertools
import json
from typing import Any

import pytest
from loop_rig import ROUND_TRIP, START, Rig
from wg_migrate.errors import WgMigrateError
from wg_migrate.loop import FIND_IN_HASTE, FIND_UNPROBED, FIND_WHEN_SURE
from wg_migrate.schedule import parse, plain

BATCHES = {"packets": [50, 70], "strategy": "uniform", "batches": 32}


def test_each_deadline_moves_to_the_next_path() -> None:
    rig = Rig()
    moved = rig.run(0.45)
    assert len(moved) in (4, 5)  # the fifth may be due at the very end
    assert all(earlier != later for earlier, later in itertools.pairwise(moved))
    assert rig.active() == moved[-1]
    assert rig.status()["switches"] == sum(path["switches"] for path in rig.status()["paths"].values())


def test_a_path_whose_proxy_is_unknown_is_left_out() -> None:
    rig = Rig()
    rig.world.devices["wgnet3"] = 30
    rig.world.counters["wgnet3"] = [0, 0]
    rig.find()
    assert set(rig.run(1)) == {"wgnet1", "wgnet2"}
    assert set(rig.status()["paths"]) == {"wgnet1", "wgnet2"}


def without_probes(rig: Rig, age: float | None) -> None:
    rig.world.exit_answers = False
    rig.world.ages["wgnet2"] = age


@pytest.mark.parametrize("age", [None, 180.0, 1e6])
def test_without_probes_a_path_without_a_live_session_is_left_out(age: float | None) -> None:
    rig = Rig(before=lambda rig: without_probes(rig, age))
    assert set(rig.switched()) == {"wgnet1"}
    rig.world.ages["wgnet2"] = 1.0
    assert rig.run(1 + FIND_UNPROBED)[-2:] in (["wgnet1", "wgnet2"], ["wgnet2", "wgnet1"])


def test_sessions_are_looked_at_seldom_once_the_probes_tell() -> None:
    rig = Rig(settled=False, before=lambda rig: without_probes(rig, None))
    assert rig.loop.next_find == rig.now + FIND_IN_HASTE
    rig.world.ages["wgnet2"] = 1.0
    rig.run(1)
    assert rig.now < rig.loop.next_find <= rig.now + FIND_UNPROBED
    rig.world.exit_answers = True
    rig.run(2 * FIND_UNPROBED)
    assert rig.now + FIND_UNPROBED < rig.loop.next_find <= rig.now + FIND_WHEN_SURE


def test_a_dead_path_is_left_at_once_and_the_exit_is_told() -> None:
    rig = Rig({"period": 3600})
    assert rig.active() == "wgnet1"
    told = rig.nudge.sent
    rig.run(1, up=100)
    rig.world.alive["wgnet1"] = False
    assert rig.run(0.4, up=100) == ["wgnet2"]
    assert rig.nudge.sent > told
    assert rig.status()["paths"]["wgnet1"]["health"] == "down"


def test_where_the_second_choice_is_gone_too_the_third_is_taken() -> None:
    rig = Rig({"period": 3600}, count=3)
    assert rig.active() == "wgnet1"
    rig.switch.broken[rig.message("wgnet2")] = errno.ENODEV
    rig.world.remove("wgnet1")
    rig.run(0.1)
    assert rig.active() == "wgnet3"


def test_a_path_that_answers_again_is_taken_in_after_its_trial() -> None:
    rig = Rig()
    rig.world.alive["wgnet2"] = False
    rig.run(3)
    rig.world.alive["wgnet2"] = True
    assert set(rig.run(1.9)) == set()
    assert set(rig.run(3)) == {"wgnet1", "wgnet2"}


def test_with_all_paths_dead_the_loop_goes_on_and_resumes_by_itself() -> None:
    rig = Rig()
    for name in rig.names:
        rig.world.alive[name] = False
    rig.run(10, up=100)
    assert rig.status()["all_down"]
    # The sessions are live, so the traffic is still sent: it may be only the probes that fail.
    assert set(rig.run(1)) == {"wgnet1", "wgnet2"}
    for name in rig.names:
        rig.world.alive[name] = True
    rig.run(5, up=100)
    assert not rig.status()["all_down"]
    assert [path["health"] for path in rig.status()["paths"].values()] == ["up", "up"]
    assert rig.run(0.21)[-2:] in (["wgnet1", "wgnet2"], ["wgnet2", "wgnet1"])


def test_late_switches_are_measured() -> None:
    rig = Rig({"period": 1})
    rig.world.now = START + 1.05
    rig.loop.step(rig.now)
    assert rig.status()["switches"] == 2  # the first one was the start
    assert rig.status()["lateness_worst"] == pytest.approx(0.05)


def test_after_a_halt_there_is_no_burst() -> None:
    rig = Rig()
    before = rig.status()["switches"]
    rig.world.now += 3600
    rig.loop.step(rig.now)
    rig.run(0.1)
    status = rig.status()
    assert status["switches"] - before <= 3
    assert status["switches_missed"] == pytest.approx(36000, abs=20)
    assert len(rig.run(1)) in (9, 10, 11)


def test_the_small_packet_is_sent_only_for_a_download_without_packets_of_its_own() -> None:
    rig = Rig()
    rig.run(3)

    def told(**packets: float) -> int:
        rig.run(2.2, **packets)  # what was before has faded
        before = rig.nudge.sent
        rig.run(1, **packets)
        return rig.nudge.sent - before

    assert told() == 0
    assert told(up=100) == 0
    assert told(down=100) == pytest.approx(10, abs=1)
    assert told(up=100, down=100) == 0
    assert told(up=5, down=100) == pytest.approx(10, abs=3)


def test_a_small_packet_that_did_not_go_is_counted() -> None:
    rig = Rig()
    rig.nudge.full = True
    rig.run(2, down=100)
    status = rig.status()
    assert 10 <= status["nudges_failed"] < status["nudges"]
    assert status["nudges"] == rig.nudge.sent


def test_probes_are_no_traffic() -> None:
    rig = Rig()
    rig.run(30)
    status = rig.status()
    assert all(path["probes_answered"] > 20 for path in status["paths"].values())
    assert all(path["packets_up_session"] == 0 and path["share"] is None for path in status["paths"].values())


def test_shares_of_the_session_and_of_all() -> None:
    rig = Rig({"period": 3600})
    rig.carry(30)
    rig.run(0.1)
    rig.take(strategy="weighted", weights=[0, 1])
    rig.run(0.2)
    rig.carry(10)
    paths = rig.status()["paths"]
    assert {name: path["share_session"] for name, path in paths.items()} == {"wgnet1": 0.0, "wgnet2": 1.0}
    assert {name: path["share"] for name, path in paths.items()} == {"wgnet1": 0.75, "wgnet2": 0.25}
    assert paths["wgnet2"]["packets_up_session"] == 10


def test_a_session_ends_after_its_time_or_when_told() -> None:
    rig = Rig({"session": 2, "strategy": "dirichlet"})
    first = rig.status()["session"]
    assert first["number"] == 1
    rig.run(2)
    second = rig.status()["session"]
    assert (second["number"], second["seconds"]) == (2, pytest.approx(0.5))
    assert second["weights"] != first["weights"]
    assert sum(second["weights"]) == pytest.approx(1, abs=1e-3)
    third = rig.loop.handle({"command": "new_session"}, rig.now)["session"]
    assert (third["number"], third["seconds"]) == (3, 0)
    rig.run(1.9)
    assert rig.status()["session"]["number"] == 3
    rig.run(0.2)
    assert rig.status()["session"]["number"] == 4


def test_a_session_of_no_length_ends_only_when_told() -> None:
    rig = Rig({"session": 0, "period": 86400})
    rig.run(100)
    assert rig.status()["session"]["number"] == 1
    assert rig.loop.handle({"command": "new_session"}, rig.now)["session"]["number"] == 2


@pytest.mark.parametrize(("schedule", "replayed"), [({"seed": 5}, True), ({}, False), ({"seed": 0}, True)], ids=str)
def test_a_schedule_that_is_replayed_is_told(schedule: dict[str, Any], replayed: bool) -> None:
    rig = Rig({**schedule, "strategy": "uniform"}, count=3)
    assert rig.status()["replayed"] is replayed
    moved = rig.run(5)
    again = Rig({**schedule, "strategy": "uniform"}, count=3)
    assert (again.run(5) == moved) is replayed


def test_a_period_may_jitter() -> None:
    rig = Rig({"jitter": 0.5, "seed": 1})
    gaps = []
    for _ in range(50):
        before = rig.loop.wake()
        count, then = len(rig.switch.sent), before
        while len(rig.switch.sent) == count:
            rig.run(0.001)
        gaps.append(rig.now - then)
    assert max(gaps) - min(gaps) > 0.03


def test_the_cap_holds_by_a_period_too() -> None:
    rig = Rig({"strategy": "weighted", "weights": [0.6, 0.4], "max_share": 0.6, "session": 0})
    rig.run(10, up=200)
    assert all(path["share_session"] <= 0.61 for path in rig.status()["paths"].values())


def test_the_cap_is_kept_by_counters_that_are_fresh() -> None:
    rig = Rig({"period": 0.07, "strategy": "uniform", "max_share": 0.5, "session": 0})
    for packets in range(1000, 16000, 1000):
        before = rig.active()
        rig.world.now = rig.loop.wake() + 0.07  # a switch is due, and the last look is a while ago
        rig.carry(packets)  # more than all before, so that the next path must be another one
        rig.loop.step(rig.now)
        assert rig.switched()[-1] != before


def test_the_schedule_is_changed_while_the_loop_runs() -> None:
    rig = Rig()
    wanted = {"period": 2, "strategy": "weighted", "weights": [0.9, 0.1], "health": {"silence": 3}}
    answer = rig.loop.handle({"command": "schedule", "schedule": wanted}, rig.now)
    assert answer["schedule"] == plain(parse(wanted))
    assert answer["session"]["weights"] == [0.9, 0.1]
    assert rig.run(1.9) == []
    assert rig.loop.wake() <= rig.now + 0.1 + 1e-9
    rig.world.alive["wgnet1"] = False
    rig.run(2, up=50)
    assert rig.status()["paths"]["wgnet1"]["health"] != "down"


def test_the_interval_alone_is_changed() -> None:
    rig = Rig({"jitter": 0.5, "strategy": "uniform"})
    now = rig.loop.handle({"command": "interval", "interval": "2.5"}, rig.now)["schedule"]
    assert (now["period"], now["jitter"], now["strategy"]) == (2.5, 0.5, "uniform")
    rig.take(**BATCHES, no_repeat=True)
    now = rig.loop.handle({"command": "interval", "interval": 5}, rig.now)["schedule"]
    assert (now["period"], now["strategy"], now["no_repeat"]) == (5, "uniform", True)
    assert "packets" not in now
    assert rig.nft.table is None


def test_status_is_plain_data() -> None:
    rig = Rig()
    status = rig.loop.handle({"command": "status"}, rig.now)
    assert json.loads(json.dumps(status)) == status
    assert status["problem"] is None


def test_a_dead_proxy_is_noticed_within_the_promised_time() -> None:
    """`silence` after a probe that came at most `busy` after the last answer, and the pause between two looks."""
    rig = Rig({"period": 3600})
    rig.run(2.003, up=300)
    rig.world.alive["wgnet1"] = False
    rig.run(0.1 + 0.18 + 0.18 / 6 + ROUND_TRIP, up=300)
    assert rig.active() == "wgnet2"


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"command": None},
        {"command": "stop"},
        {"command": ["interval"]},
        {"interval": 5},
        {"command": "interval"},
        {"command": "interval", "interval": 0},
        {"command": "interval", "interval": -1},
        {"command": "interval", "interval": "abc"},
        {"command": "interval", "interval": 1e-9},
        {"command": "interval", "interval": float("nan")},
        {"command": "interval", "interval": {"seconds": 1}},
        {"command": "schedule"},
        {"command": "schedule", "schedule": None},
        {"command": "schedule", "schedule": [1]},
        {"command": "schedule", "schedule": "uniform"},
        {"command": "schedule", "schedule": {"strategy": "fastest"}},
        {"command": "schedule", "schedule": {"strategy": "weighted"}},
        {"command": "schedule", "schedule": {"strategy": "weighted", "weights": [1, 2, 3]}},
        {"command": "schedule", "schedule": {"strategy": "weighted", "weights": {"wgnet1": 1, "wgnet9": 1}}},
        {"command": "schedule", "schedule": {"strategy": "weighted", "weights": [0, 0]}},
        {"command": "schedule", "schedule": {"packets": [70, 50]}},
        {"command": "schedule", "schedule": {"packets": [50, 70], "strategy": "weighted", "weights": [1]}},
        {"command": "schedule", "schedule": {"packets": [50, 70], "max_share": 0.4}},
        {"command": "schedule", "schedule": {"period": 1, "packets_mean": 5}},
        {"command": "schedule", "schedule": {"colour": "red"}},
        {"command": "schedule", "schedule": {"health": {"silence": 0}}},
    ],
    ids=repr,
)
@pytest.mark.parametrize("running", [{"period": 0.1}, BATCHES], ids=["period", "packets"])
def test_a_refused_request_leaves_everything_as_it_was(running: dict[str, Any], request_: dict[str, Any]) -> None:
    rig = Rig(running)
    rig.run(0.05, up=2000)
    before, table, wake = rig.status(), rig.nft.table, rig.loop.wake()
    with pytest.raises(WgMigrateError, match=r"send status, schedule|write|it has period"):
        rig.loop.handle(request_, rig.now)
    assert rig.status() == before
    assert (rig.nft.table, rig.loop.wake()) == (table, wake)


def test_a_path_that_is_held_carries_nothing_until_its_time_is_over() -> None:
    rig = Rig(count=3)
    rig.loop.handle({"command": "hold", "path": "wgnet2", "seconds": 5}, rig.now)
    before = {name: path["switches"] for name, path in rig.status()["paths"].items()}
    rig.run(3)
    after = {name: path["switches"] for name, path in rig.status()["paths"].items()}
    assert {name for name in after if after[name] > before[name]} == {"wgnet1", "wgnet3"}
    assert rig.status()["paths"]["wgnet2"]["held"]
    rig.run(5)
    assert rig.status()["paths"]["wgnet2"]["switches"] > after["wgnet2"]
    assert not rig.status()["paths"]["wgnet2"]["held"]


def test_of_paths_that_are_all_held_or_down_one_is_used_all_the_same() -> None:
    rig = Rig(count=2)
    rig.loop.handle({"command": "hold", "path": "wgnet1", "seconds": 60}, rig.now)
    rig.world.alive["wgnet2"] = False
    rig.run(2)
    assert rig.status()["active"] == "wgnet1"


def test_batches_leave_a_held_path_out() -> None:
    rig = Rig({"packets": [50, 70]}, count=2)
    rig.loop.handle({"command": "hold", "path": "wgnet1", "seconds": 60}, rig.now)
    rig.run(1)
    assert rig.nft.table is not None
    assert {mark for mark, _ in rig.nft.table} == {0x5802}
    rig.loop.handle({"command": "hold", "path": "wgnet1", "seconds": 0}, rig.now)
    rig.run(1)
    assert {mark for mark, _ in rig.nft.table} == {0x5801, 0x5802}


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"path": "wgnet9", "seconds": 1}, "'wgnet9' is no path: write one of wgnet1, wgnet2"),
        ({"path": None, "seconds": 1}, "None is no path"),
        ({"path": "wgnet1"}, "seconds None is not a number: write a number from 0 to 3600"),
        ({"path": "wgnet1", "seconds": 3601}, "out of range"),
    ],
)
def test_a_hold_that_makes_no_sense_is_refused(request_: dict[str, Any], said: str) -> None:
    rig = Rig(count=2)
    with pytest.raises(WgMigrateError, match=said):
        rig.loop.handle({"command": "hold", **request_}, rig.now)
    assert not any(path["held"] for path in rig.status()["paths"].values())
