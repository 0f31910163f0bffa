from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from fake_system import FakeSystem
from hypothesis import given, settings
from hypothesis import strategies as st
from wg_migrate import nft
from wg_migrate.batches import LARGEST, TABLE, Batch, body, draw_batches, draw_size, load, unload
from wg_migrate.choice import FLOOR, Chooser
from wg_migrate.errors import WgMigrateError
from wg_migrate.randomness import Replay
from wg_migrate.schedule import LARGEST_TABLE, parse
from wg_migrate.system import Outcome

FEW = settings(derandomize=True, max_examples=40, deadline=None)


def draw(
    count: int, seed: int = 1, before: Sequence[float] = (), eligible: Sequence[int] = (), **document: Any
) -> list[Batch]:
    """Return a table for so many paths, all of them up and without packets where nothing else is said."""
    schedule, rng = parse(document), Replay(seed)
    chooser = Chooser(schedule, [f"wgnet{number}" for number in range(1, count + 1)], rng)
    return draw_batches(schedule, chooser, list(eligible or range(count)), rng, before or [0.0] * count)


def share_of(path: int, table: list[Batch], packets: int | None = None) -> float:
    """Return a path's share of so many packets that walk through the table, again and again."""
    once = sum(batch.packets for batch in table)
    rounds, rest = divmod(packets or once, once)
    carried = rounds * sum(batch.packets for batch in table if batch.path == path)
    for batch in table:
        carried += min(rest, batch.packets) if batch.path == path else 0
        rest -= min(rest, batch.packets)
    return carried / (packets or once)


def most_above(table: list[Batch], cap: float, before: Sequence[float], floor: float = FLOOR) -> float:
    """Return by how many packets a path is above the cap at worst, at any packet from `floor` on, in many rounds.

    A path's share grows packet by packet as long as its batch lasts, and only then.
    """
    carried, worst = list(before), -math.inf
    while sum(carried) < 4 * FLOOR + 3 * sum(batch.packets for batch in table) + sum(before):
        for path, packets in ((batch.path, batch.packets) for batch in table):
            carried[path] += packets
            beyond = sum(carried) - floor
            if beyond >= 0:
                worst = max(worst, carried[path] - cap * sum(carried))
                if beyond < packets:
                    worst = max(worst, carried[path] - beyond - cap * floor)
    return worst


@FEW
@given(st.integers(1, 500), st.integers(0, 500), st.integers(0, 2**32))
def test_sizes_are_drawn_from_their_range(low: int, more: int, seed: int) -> None:
    schedule, rng = parse({"packets": [low, low + more]}), Replay(seed)
    sizes = {draw_size(schedule, rng) for _ in range(50)}
    assert low <= min(sizes) <= max(sizes) <= low + more
    assert len(sizes) > 1 or more < 10


def test_both_ends_of_the_range_occur_as_often_as_any() -> None:
    schedule, rng = parse({"packets": [50, 54]}), Replay(1)
    sizes = [draw_size(schedule, rng) for _ in range(5000)]
    assert [sizes.count(size) / 5000 for size in range(50, 55)] == pytest.approx([0.2] * 5, abs=0.02)


@pytest.mark.parametrize("mean", [1, 1.5, 3, 20, 1000])
def test_exponential_sizes_have_their_mean(mean: float) -> None:
    schedule, rng = parse({"packets_mean": mean}), Replay(1)
    sizes = [draw_size(schedule, rng) for _ in range(10000)]
    assert sum(sizes) / 10000 == pytest.approx(mean, rel=0.03)
    assert min(sizes) >= 1
    # And no memory: of those that are longer than the mean, as many are longer than twice the mean.
    beyond = [size - mean for size in sizes if size > mean]
    assert mean < 20 or sum(beyond) / len(beyond) == pytest.approx(mean, rel=0.05)


@FEW
@given(
    st.integers(2, 5),
    st.sampled_from(["round_robin", "uniform", "dirichlet"]),
    st.integers(1, 200),
    st.integers(0, 200),
    st.integers(0, 2**32),
)
def test_without_a_cap_there_are_so_many_batches_and_each_is_in_range(
    count: int, strategy: str, low: int, more: int, seed: int
) -> None:
    table = draw(count, seed, packets=[low, low + more], batches=64, strategy=strategy, no_repeat=True)
    assert 63 <= len(table) <= 64
    assert all(low <= batch.packets <= low + more for batch in table)
    # Also where the table begins again.
    assert all(one.path != other.path for one, other in pairwise([*table, table[0]]))


def test_neighbours_on_one_path_are_one_batch() -> None:
    table = draw(2, packets=[50, 50], strategy="uniform", batches=512)
    assert all(one.path != other.path for one, other in pairwise(table))
    assert {batch.packets % 50 for batch in table} == {0}
    assert sum(batch.packets for batch in table) == 50 * 512
    assert 200 < len(table) < 312
    assert draw(1, packets=[50, 50], batches=512) == [Batch(0, 50 * 512)]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_round_robin_goes_round_also_where_the_table_begins_again(count: int) -> None:
    table = draw(count, packets=[5, 9], batches=64)
    assert [batch.path for batch in table] == list(range(count)) * (64 // count) + list(range(64 % count))[:-1] * (
        64 % count != 1
    ) or all((other.path - one.path) % count == 1 for one, other in pairwise(table))
    assert table[-1].path != table[0].path


SIZES = st.one_of(
    st.builds(lambda low, more: {"packets": [low, low + more]}, st.integers(1, 120), st.integers(0, 60)),
    st.builds(lambda mean: {"packets_mean": mean}, st.floats(1, 60)),
)
STRATEGIES = st.sampled_from(
    [
        {"strategy": "round_robin"},
        {"strategy": "uniform"},
        {"strategy": "dirichlet"},
        {"strategy": "dirichlet", "alpha": 0.01},
    ]
)
SLACK = st.floats(0.01, 0.95)
"""Where between even shares and everything a cap is."""
BEFORE = st.lists(st.integers(0, 400), min_size=5, max_size=5)


@settings(FEW, max_examples=50)
@given(
    st.integers(2, 6), SLACK, SIZES, STRATEGIES, st.booleans(), st.sampled_from([16, 64, 128]), st.integers(0, 2**32)
)
def test_the_cap_holds_at_every_packet_from_the_500th_on_however_often_the_table_is_used(
    count: int,
    slack: float,
    sizes: dict[str, Any],
    strategy: dict[str, Any],
    no_repeat: bool,
    batches: int,
    seed: int,
) -> None:
    cap = 1 / count + slack * (1 - 1 / count)
    table = draw(count, seed, **sizes, **strategy, no_repeat=no_repeat, batches=batches, max_share=cap)
    above = most_above(table, cap, [0.0] * count)
    assert above <= 1e-6
    assert all(batch.packets >= 1 for batch in table)
    assert len(table) <= LARGEST


@settings(FEW, max_examples=40)
@given(
    st.integers(2, 5),
    SLACK,
    SIZES,
    STRATEGIES,
    st.lists(st.integers(0, 400), min_size=5, max_size=5),
    st.integers(0, 99),
)
def test_the_cap_holds_for_a_table_that_is_drawn_in_the_middle_of_a_session(
    count: int, slack: float, sizes: dict[str, Any], strategy: dict[str, Any], before: list[int], seed: int
) -> None:
    cap = 1 / count + slack * (1 - 1 / count)
    carried = [min(packets, cap * FLOOR / count) for packets in before[:count]]
    table = draw(count, seed, carried, **sizes, **strategy, batches=64, max_share=cap)
    above = most_above(table, cap, carried)
    assert above <= 1e-6


def test_below_the_500th_packet_chance_is_free() -> None:
    tables = [draw(2, seed, packets=[50, 70], strategy="uniform", max_share=0.6, batches=64) for seed in range(9)]
    assert max(most_above(table, 0.6, [0.0, 0.0], 200) for table in tables) > 0


def test_batches_are_cut_short_only_while_there_is_no_room_for_them() -> None:
    table = draw(2, packets=[600, 700], batches=64, max_share=0.6, no_repeat=True)
    assert table[0].packets == 300
    assert sum(batch.packets < 600 for batch in table) < 16
    assert all(600 <= batch.packets <= 700 for batch in table[20:-1])
    table = draw(2, packets=[50, 70], max_share=0.6, no_repeat=True)
    assert all(50 <= batch.packets <= 70 for batch in table)


def test_a_table_too_short_to_make_up_for_its_beginning_is_drawn_on() -> None:
    short = draw(3, packets=[60, 60], batches=16, max_share=0.35, no_repeat=True)
    assert 16 < len(short) < 500
    assert most_above(short, 0.35, [0.0] * 3) <= 0


def test_a_short_table_begins_so_that_it_can_end_in_time() -> None:
    tables = [draw(2, seed, packets=[1, 1], strategy="uniform", batches=64, max_share=0.51) for seed in range(5)]
    assert [sum(batch.packets for batch in table) for table in tables] == [64] * 5


def test_a_cap_that_asks_for_even_shares_has_them_but_for_a_batch() -> None:
    table = draw(2, packets=[50, 70], strategy="uniform", max_share=0.5)
    share = share_of(0, table)
    assert share == pytest.approx(0.5, abs=0.0006)
    assert 50 * 1024 <= sum(batch.packets for batch in table) <= 70 * 1024


@pytest.mark.parametrize("packets", [[50, 70], [1, 3]])
def test_a_path_that_was_away_gets_no_table_of_its_own(packets: list[int]) -> None:
    """Used again and again, a table that makes up for the past would be above the cap before long."""
    table = draw(2, 1, [100_000.0, 0.0], packets=packets, strategy="uniform", max_share=0.6)
    share = share_of(1, table)
    assert 0.4 <= share <= 0.6


def test_a_path_that_was_away_is_used_first() -> None:
    table = draw(2, 1, [1000.0, 0.0], packets=[50, 70], strategy="uniform", max_share=0.6)
    assert table[0] == Batch(1, 300) or table[0].packets > 200
    assert table[0].path == 1


def test_paths_that_are_down_get_no_batches() -> None:
    assert {batch.path for batch in draw(4, eligible=[1, 3], packets=[5, 9], strategy="uniform")} == {1, 3}
    assert draw(3, eligible=[2], packets=[9, 9], max_share=0.4, batches=16) == [Batch(2, 144)]
    table = draw(3, eligible=[0, 2], packets=[50, 70], max_share=0.4)
    assert share_of(0, table) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sizes", [{"packets": [50, 70]}, {"packets": [1, 3]}, {"packets_mean": 20}], ids=str)
def test_weights_come_out_over_100_000_packets(sizes: dict[str, Any], seed: int) -> None:
    table = draw(2, seed, **sizes, strategy="weighted", weights=[7, 3])
    assert share_of(0, table, 100_000) == pytest.approx(0.7, abs=0.01)
    capped = draw(2, seed, **sizes, strategy="weighted", weights=[7, 3], max_share=0.7)
    assert share_of(0, capped, 100_000) == pytest.approx(0.7, abs=0.01)


def test_the_same_seed_draws_the_same_table() -> None:
    tables = [draw(3, seed, packets=[50, 70], strategy="dirichlet") for seed in (1, 1, 2)]
    assert tables[0] == tables[1] != tables[2]


def test_a_table_never_counts_further_than_nft() -> None:
    most = LARGEST_TABLE // 16
    table = draw(2, packets=[most, most], batches=16, max_share=0.51)
    assert sum(batch.packets for batch in table) <= LARGEST_TABLE


MARKS = ["0x11", "0x22"]


def test_each_packet_gets_the_mark_of_its_batch() -> None:
    assert body([Batch(1, 50), Batch(0, 1), Batch(1, 3)], MARKS, "192.0.2.20", 51820) == (
        "\n\tchain output {\n"
        "\t\ttype route hook output priority mangle - 10; policy accept;\n"
        "\t\tip daddr 192.0.2.20 udp dport 51820 meta mark set "
        "numgen inc mod 54 map { 0-49 : 0x22, 50-50 : 0x11, 51-53 : 0x22 }\n"
        "\t}\n"
    )


def test_on_one_path_all_packets_get_its_mark() -> None:
    assert "meta mark set 0x22\n" in body([Batch(1, 50)], MARKS, "192.0.2.20", 51820)


def test_a_table_is_loaded_in_one_transaction_and_removed_whether_it_stands_or_not() -> None:
    """Removal needs no look beforehand, which may fail: the table is made, if it is not there, and removed."""
    system = FakeSystem({"nft": ""})
    load(system, "\n\tchain output {\n\t}\n")
    assert system.stdins["nft -f -"] == nft.render(TABLE, "\n\tchain output {\n\t}\n")
    unload(system)
    assert system.stdins["nft -f -"] == f"table inet {TABLE}\ndelete table inet {TABLE}\n"
    assert system.ran == ["nft -f -"] * 2


def test_what_nft_refuses_is_told() -> None:
    refusing = FakeSystem({"nft": Outcome(1, "", "too busy\n"), "nft list": ""})
    with pytest.raises(WgMigrateError, match="too busy"):
        load(refusing, "x")
    with pytest.raises(WgMigrateError, match=r"^the table of batches cannot be removed: too busy$"):
        unload(refusing)
