"""The loop by packets: which tables it has nft walk through, and when it draws them anew."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from loop_rig import MAIN, Rig, World
from wg_migrate.errors import WgMigrateError
from wg_migrate.tunnel_want import path_mark

BATCHES: dict[str, Any] = {"packets": [50, 70], "strategy": "uniform", "batches": 64, "session": 0}
PERIOD: dict[str, Any] = {"period": 0.1}
STOPPED_NFT = "Operation not permitted"


def sizes(rig: Rig) -> list[int]:
    assert rig.nft.table is not None
    return [size for _, size in rig.nft.table]


def up_session(rig: Rig) -> dict[str, int]:
    return {name: path["packets_up_session"] for name, path in rig.status()["paths"].items()}


def die(world: World, *names: str) -> None:
    for name in names:
        world.alive[name] = False


def test_nft_walks_and_the_loop_switches_nothing() -> None:
    rig = Rig(BATCHES)
    assert rig.table_paths() == {"wgnet1", "wgnet2"}
    loads = rig.nft.loads
    assert rig.run(5, up=500) == []
    assert rig.nft.loads == loads
    assert all(packets > 300 for packets in up_session(rig).values())
    begun = [end for end in itertools.accumulate(sizes(rig)) if end < sum(up_session(rig).values())]
    assert rig.status()["switches"] == len(begun) + rig.loop.figures.switches


def test_a_dead_path_is_taken_out_of_the_table_and_the_exit_is_told() -> None:
    rig = Rig(BATCHES, count=3)
    rig.run(1, up=500)
    told, loads = rig.nudge.sent, rig.nft.loads
    dead = rig.active()
    die(rig.world, dead)
    rig.run(1, up=500)
    assert rig.table_paths() == set(rig.names) - {dead}
    assert rig.active() != dead
    assert rig.nudge.sent > told
    assert rig.nft.loads == loads + 1
    lost = up_session(rig)[dead]
    rig.run(1, up=500)
    assert up_session(rig)[dead] == lost


def test_a_path_in_doubt_is_left_at_once_by_its_own_routing_table() -> None:
    rig = Rig(BATCHES)
    rig.run(1, up=500)
    loads = rig.nft.loads
    die(rig.world, "wgnet2")
    while rig.status()["paths"]["wgnet2"]["health"] == "up":
        rig.run(0.01, up=500)
    assert rig.status()["paths"]["wgnet2"]["health"] == "suspect"
    assert rig.switch.device(path_mark("wgnet2")) == "wgnet1"
    assert rig.switch.device(path_mark("wgnet1")) == "wgnet1"
    assert rig.nft.loads == loads
    rig.world.alive["wgnet2"] = True
    rig.run(0.2, up=500)
    assert rig.switch.device(path_mark("wgnet2")) == "wgnet2"
    assert rig.nft.loads == loads


def test_a_path_that_comes_back_makes_up_for_what_others_have_carried_in_the_session() -> None:
    rig = Rig({**BATCHES, "strategy": "weighted", "weights": [0.6, 0.4], "max_share": 0.6})
    rig.run(1, up=1000)
    die(rig.world, "wgnet2")
    rig.run(5, up=1000)
    rig.world.alive["wgnet2"] = True
    while "wgnet2" not in rig.table_paths():
        rig.run(0.1)
    before = up_session(rig)
    assert before["wgnet1"] > 5 * before["wgnet2"]
    rig.carry(3000)
    after = up_session(rig)
    assert after["wgnet2"] - before["wgnet2"] > 1280  # by its weight it would be 1200


def test_the_switches_of_earlier_tables_still_count() -> None:
    rig = Rig({**BATCHES, "strategy": "round_robin"})
    seen = [0]
    for _ in range(4):
        rig.run(1, up=1000)
        rig.loop.handle({"command": "new_session"}, rig.now)
        seen.append(rig.status()["switches"])
    assert min(later - earlier for earlier, later in itertools.pairwise(seen)) > 10
    assert seen[-1] == sum(path["switches"] for path in rig.status()["paths"].values())


def test_a_session_has_a_table_of_its_own() -> None:
    rig = Rig({**BATCHES, "session": 3})
    first = rig.nft.table
    rig.run(3, up=500)
    assert rig.status()["session"]["number"] == 2
    assert rig.nft.table != first
    assert sum(up_session(rig).values()) < 400  # half a second


def test_the_same_seed_draws_the_same_table() -> None:
    tables = [Rig({**BATCHES, "seed": seed}).nft.table for seed in (5, 5, 6)]
    assert tables[0] == tables[1] != tables[2]


def test_without_any_path_the_table_waits() -> None:
    rig = Rig(BATCHES, before=lambda rig: rig.world.remove("wgnet1", "wgnet2"))
    assert rig.nft.table is None
    rig.world.make_anew("wgnet2", 21)
    rig.find()
    rig.run(0.5)
    assert rig.table_paths() == {"wgnet2"}


def test_from_packets_to_a_period_and_back_without_a_gap() -> None:
    rig = Rig(BATCHES)
    rig.take(**PERIOD)
    assert rig.nft.table is None
    assert rig.switch.device(MAIN) is not None
    assert len(set(rig.run(0.5, up=100))) == 2
    rig.take(packets_mean=20)
    assert rig.table_paths() == {"wgnet1", "wgnet2"}
    assert rig.run(0.5, up=100) == []


@pytest.mark.parametrize("running", [PERIOD, BATCHES], ids=["period", "packets"])
def test_a_schedule_whose_table_nft_refuses_leaves_everything_as_it_was(running: dict[str, Any]) -> None:
    rig = Rig(running)
    rig.run(0.05, up=2000)
    before, table, wake = rig.status(), rig.nft.table, rig.loop.wake()
    rig.nft.refuses = STOPPED_NFT
    with pytest.raises(WgMigrateError, match=STOPPED_NFT):
        rig.take(packets=[5, 5], strategy="dirichlet", health={"silence": 3}, session=1)
    assert rig.status() == before
    assert (rig.nft.table, rig.loop.wake()) == (table, wake)
    rig.nft.refuses = ""
    assert bool(rig.run(0.3, up=500)) is (running is PERIOD)
    die(rig.world, "wgnet2")
    rig.run(1, up=500)
    assert rig.active() == "wgnet1"


def test_a_table_that_cannot_be_removed_keeps_the_schedule_by_packets() -> None:
    rig = Rig(BATCHES)
    before, table = rig.status(), rig.nft.table
    rig.nft.keeps = True
    with pytest.raises(WgMigrateError, match="cannot be removed: Device or resource busy"):
        rig.take(**PERIOD)
    assert rig.status() == before
    assert rig.nft.table == table
    rig.nft.keeps = False
    rig.take(**PERIOD)
    assert rig.nft.table is None


def test_where_nft_refuses_the_table_of_a_new_session_the_last_one_goes_on() -> None:
    rig = Rig(BATCHES)
    table = rig.nft.table
    rig.nft.refuses = STOPPED_NFT
    assert STOPPED_NFT in rig.loop.handle({"command": "new_session"}, rig.now)["problem"]
    assert rig.nft.table == table
    assert rig.status()["session"]["number"] == 2
    rig.nft.refuses = ""
    assert rig.loop.handle({"command": "new_session"}, rig.now)["problem"] is None
    assert rig.nft.table != table


def test_where_nft_refuses_a_table_without_the_dead_path_its_packets_go_by_another() -> None:
    rig = Rig(BATCHES)
    rig.run(1, up=500)
    rig.nft.refuses = STOPPED_NFT
    die(rig.world, "wgnet2")
    rig.run(1, up=500)
    assert STOPPED_NFT in rig.status()["problem"]
    before = up_session(rig)["wgnet2"]
    rig.run(2, up=500)
    assert up_session(rig)["wgnet2"] == before
    refused = sum(line.startswith("nft -f") for line in rig.system.ran)
    rig.run(2, up=500)
    assert sum(line.startswith("nft -f") for line in rig.system.ran) == refused  # a process, not at each look


def test_a_table_left_by_a_killed_loop_goes_when_a_period_is_taken() -> None:
    rig = Rig(PERIOD, before=lambda rig: setattr(rig.nft, "table", [(path_mark("wgnet1"), 5)]))
    assert rig.nft.table is None
    asked = len(rig.system.ran)
    rig.take(**PERIOD)
    assert len(rig.system.ran) == asked  # there is none that would have to be asked for


def test_a_loop_that_stops_leaves_no_table() -> None:
    rig = Rig(BATCHES)
    rig.loop.stop()
    assert rig.nft.table is None
    assert rig.switch.device(MAIN) is not None


def test_a_path_of_no_weight_is_not_in_the_table() -> None:
    rig = Rig({**BATCHES, "strategy": "weighted", "weights": {"wgnet1": 1, "wgnet2": 0}})
    assert rig.table_paths() == {"wgnet1"}
    die(rig.world, "wgnet1")
    rig.run(1, up=500)
    assert rig.table_paths() == {"wgnet2"}


def test_a_schedule_that_came_while_no_path_was_there_is_used_when_they_come_back() -> None:
    rig = Rig(BATCHES)
    rig.world.remove("wgnet1", "wgnet2")
    rig.run(0.5)
    rig.take(packets=[5, 5], strategy="uniform")
    rig.world.make_anew("wgnet1", 21)
    rig.world.make_anew("wgnet2", 23)
    rig.find()
    rig.run(5)
    assert rig.table_paths() == {"wgnet1", "wgnet2"}
    assert all(size % 5 == 0 for size in sizes(rig))


def test_a_path_that_dies_while_a_table_is_put_in_place_is_not_in_it() -> None:
    rig = Rig(PERIOD)
    rig.world.remove("wgnet2")
    rig.take(packets=[5, 5])
    rig.run(1)
    assert rig.table_paths() == {"wgnet1"}


def test_the_table_is_the_new_schedules_when_a_path_dies_while_it_is_put_in_place() -> None:
    rig = Rig({"packets": [50, 70]}, count=3)
    del rig.world.devices["wgnet2"]
    rig.take(packets=[5, 5])
    rig.run(1)
    assert rig.table_paths() == {"wgnet1", "wgnet3"}
    assert rig.nft.table is not None
    assert all(size % 5 == 0 for _, size in rig.nft.table)


def test_lateness_is_the_mean_of_the_switches_at_deadlines() -> None:
    rig = Rig({"packets": [50, 70]})
    rig.run(2, up=1000)
    rig.take(period=1)
    rig.world.now += 1.05
    rig.loop.step(rig.now)
    status = rig.status()
    assert status["lateness_worst"] == pytest.approx(0.05)
    assert status["lateness_mean"] == pytest.approx(0.05)


def test_packets_of_before_are_not_the_new_sessions() -> None:
    rig = Rig({"period": 3600})
    rig.carry(30)
    rig.take(period=3600)
    assert sum(path["packets_up_session"] for path in rig.status()["paths"].values()) == 0


def test_a_schedule_that_was_taken_leaves_no_problem_of_the_one_before() -> None:
    rig = Rig({"packets": [50, 70]})
    rig.nft.refuses = "nft is busy"
    assert rig.loop.handle({"command": "new_session"}, rig.now)["problem"]
    rig.nft.refuses = ""
    rig.take(packets=[5, 5])
    assert rig.status()["problem"] is None
    rig.take(period=1)
    assert rig.status()["problem"] is None


def test_a_path_in_doubt_does_not_make_the_looks_rarer() -> None:
    rig = Rig({"health": {"silence": 60}, "period": 3600})
    rig.world.alive["wgnet2"] = False
    for _ in range(600):
        rig.run(0.1, up=100)
        assert rig.loop.wake() <= rig.now + 0.1 + 1e-6, rig.status()["paths"]["wgnet2"]["health"]
