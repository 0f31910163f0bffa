from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wg_migrate.choice import FLOOR, Chooser, draw_weights
from wg_migrate.errors import WgMigrateError
from wg_migrate.randomness import Replay
from wg_migrate.schedule import parse

FEW = settings(derandomize=True, max_examples=40, deadline=None)
IDLE = [0.0] * 6


def chooser(count: int, seed: int = 1, **document: Any) -> Chooser:
    return Chooser(parse(document), [f"wgnet{number}" for number in range(1, count + 1)], Replay(seed))


def run(chosen: Chooser, eligible: list[int], count: int, active: int | None = None) -> list[int]:
    """Return so many choices, one after the other, of a loop that carries nothing."""
    paths = []
    for _ in range(count):
        active = chosen.choose(active, eligible, IDLE)
        assert active is not None
        paths.append(active)
    return paths


def shares(paths: list[int]) -> dict[int, float]:
    return {path: number / len(paths) for path, number in sorted(Counter(paths).items())}


@pytest.mark.parametrize(
    ("active", "eligible", "following"),
    [
        (0, [0, 1, 2], 1),
        (2, [0, 1, 2], 0),
        (None, [0, 1, 2], 0),
        (None, [1, 2], 1),
        (0, [0, 2], 2),
        (1, [0, 2], 2),
        (2, [0, 1], 0),
        (0, [0], 0),
        (1, [0], 0),
        (1, [], None),
    ],
)
def test_round_robin_takes_the_next_path_that_is_up(
    active: int | None, eligible: list[int], following: int | None
) -> None:
    assert chooser(3, strategy="round_robin").choose(active, eligible, IDLE) == following


@pytest.mark.parametrize("strategy", ["round_robin", "uniform", "dirichlet"])
def test_without_any_path_there_is_nothing_to_choose(strategy: str) -> None:
    assert chooser(0, strategy=strategy, max_share=0.6).choose(None, [], []) is None


def test_uniform_takes_each_path_as_often_whatever_was_before() -> None:
    paths = run(chooser(3, strategy="uniform"), [0, 1, 2], 6000)
    assert shares(paths) == pytest.approx(dict.fromkeys(range(3), 1 / 3), abs=0.02)
    after = Counter(pairwise(paths))
    assert [after[0, path] / 2000 for path in range(3)] == pytest.approx([1 / 3] * 3, abs=0.04)


@pytest.mark.parametrize(
    "document",
    [
        {"strategy": "uniform"},
        {"strategy": "weighted", "weights": [1, 2, 3]},
        {"strategy": "dirichlet", "max_share": 0.6},
    ],
    ids=str,
)
def test_no_repeat_never_takes_the_last_path_unless_it_is_alone(document: dict[str, Any]) -> None:
    chosen = chooser(3, **document, no_repeat=True)
    paths = run(chosen, [0, 1, 2], 500)
    assert all(one != other for one, other in pairwise(paths))
    assert set(paths) == {0, 1, 2}
    assert run(chosen, [1], 3, active=1) == [1, 1, 1]
    assert any(one == other for one, other in pairwise(run(chooser(3, **document), [0, 1, 2], 500)))


@pytest.mark.parametrize("weights", [[7, 3], {"wgnet2": 0.3, "wgnet1": 0.7}], ids=str)
def test_weights_come_out(weights: Any) -> None:
    for seed in range(5):
        paths = run(chooser(2, seed, strategy="weighted", weights=weights), [0, 1], 1000)
        # Chance alone would miss 0.01 half of the time.
        assert shares(paths)[0] == pytest.approx(0.7, abs=0.01)
        assert shares(paths[:100])[0] == pytest.approx(0.7, abs=0.08)


def test_weighted_choices_are_random_nevertheless() -> None:
    runs = {tuple(run(chooser(2, seed, strategy="weighted", weights=[1, 1]), [0, 1], 12)) for seed in range(200)}
    assert len(runs) > 150
    paths = run(chooser(2, strategy="weighted", weights=[1, 1]), [0, 1], 4000)
    assert 0.4 < sum(one == other for one, other in pairwise(paths)) / 4000 < 0.5


def test_bytes_count_for_the_weights_where_batches_have_sizes() -> None:
    chosen, carried = chooser(2, strategy="weighted", weights=[7, 3]), [0.0, 0.0]
    for number in range(2000):
        size = 1.0 + number % 9 * 10
        path = chosen.choose(None, [0, 1], carried, size)
        assert path is not None
        carried[path] += size
    assert carried[0] / sum(carried) == pytest.approx(0.7, abs=0.01)


def test_the_last_draws_of_a_table_settle_the_weights() -> None:
    for seed in range(20):
        chosen = chooser(2, seed, strategy="weighted", weights=[7, 3])
        paths = [chosen.choose(None, [0, 1], IDLE, 60.0, None, left) for left in range(100, 0, -1)]
        assert paths.count(0) == pytest.approx(70, abs=2)


def test_weights_come_out_among_the_paths_that_are_left_and_no_debt_is_paid_back() -> None:
    chosen = chooser(3, strategy="weighted", weights=[5, 3, 2])
    run(chosen, [0, 1, 2], 500)
    assert shares(run(chosen, [1, 2], 500)) == pytest.approx({1: 0.6, 2: 0.4}, abs=0.02)
    # The path that was away is not preferred when it is back.
    assert shares(run(chosen, [0, 1, 2], 200)) == pytest.approx({0: 0.5, 1: 0.3, 2: 0.2}, abs=0.06)


def test_a_path_of_weight_0_is_used_only_where_no_other_is_up() -> None:
    chosen = chooser(3, strategy="weighted", weights=[1, 1, 0], max_share=0.6)
    carried = [300.0, 300.0, 0.0]
    assert chosen.cap([0, 1, 2]) == 0.6
    assert {chosen.choose(None, [0, 1, 2], carried, 60) for _ in range(50)} == {0, 1}
    assert chosen.choose(0, [2], carried) == 2
    # Not even where the others are above the cap:
    assert chosen.choose(None, [0, 1, 2], [300.0, 310.0, 0.0], 300) == 0
    chosen = chooser(3, strategy="weighted", weights=[1, 0, 0])
    assert set(run(chosen, [1, 2], 50)) == {1, 2}


def test_a_session_has_weights_of_its_own_only_with_dirichlet() -> None:
    drawn = []
    chosen = chooser(3, strategy="dirichlet")
    for _ in range(4):
        drawn.append(tuple(chosen.weights))
        chosen.new_session()
    assert len(set(drawn)) == 4
    assert all(sum(weights) == pytest.approx(1) for weights in drawn)
    chosen = chooser(3, strategy="weighted", weights=[2, 1, 1])
    chosen.new_session()
    assert chosen.weights == [0.5, 0.25, 0.25]


def test_a_sessions_weights_come_out_on_average() -> None:
    chosen = chooser(3, strategy="dirichlet")
    paths = run(chosen, [0, 1, 2], 5000)
    assert [shares(paths)[path] for path in range(3)] == pytest.approx(chosen.weights, abs=0.03)


@FEW
@given(st.integers(1, 8), st.floats(0.001, 1e4), st.floats(0, 1), st.integers(0, 2**32))
def test_drawn_weights_sum_up_to_1_and_keep_the_cap(count: int, alpha: float, above: float, seed: int) -> None:
    most = 1 / count + above * (1 - 1 / count)
    weights = draw_weights(Replay(seed), alpha, count, most)
    assert len(weights) == count
    assert math.fsum(weights) == pytest.approx(1)
    assert 0 <= min(weights) <= max(weights) <= most + 1e-9


def test_drawn_weights_are_spread_as_dirichlets_are() -> None:
    """With 2 paths and alpha 1, the larger share averages 0.75, and is above 0.6 in 80 % of the sessions."""
    rng = Replay(2)
    largest = [max(draw_weights(rng, 1, 2, 1)) for _ in range(3000)]
    assert sum(largest) / 3000 == pytest.approx(0.75, abs=0.01)
    assert sum(each > 0.6 for each in largest) / 3000 == pytest.approx(0.8, abs=0.02)
    assert max(draw_weights(rng, 1e4, 2, 1)) < 0.55
    assert sum(max(draw_weights(rng, 0.01, 2, 1)) > 0.99 for _ in range(200)) > 180


def test_weights_below_a_cap_are_as_dirichlets_that_happen_to_be_below_it() -> None:
    rng = Replay(3)
    first = [draw_weights(rng, 1, 2, 0.6)[0] for _ in range(2000)]
    # Given that it lies from 0.4 to 0.6, it is uniform there; nothing piles up at the cap.
    assert sum(each < 0.45 for each in first) / 2000 == pytest.approx(0.25, abs=0.03)
    assert sum(each > 0.599 for each in first) < 30


def test_weights_that_never_fit_are_drawn_together() -> None:
    weights = draw_weights(Replay(1), 0.01, 4, 0.3)
    assert max(weights) == pytest.approx(0.3)
    assert min(weights) > 0.2


@FEW
@given(
    st.integers(2, 6),
    st.floats(0.02, 0.9),
    st.sampled_from(["round_robin", "uniform", "dirichlet"]),
    st.booleans(),
    st.lists(st.integers(0, 150), min_size=5, max_size=40),
    st.integers(0, 2**32),
)
def test_with_periods_a_path_passes_the_cap_by_one_period_at_most(
    count: int, above: float, strategy: str, no_repeat: bool, loads: list[int], seed: int
) -> None:
    """Nobody knows beforehand how much a period will carry."""
    cap = 1 / count + above * (1 - 1 / count)
    chosen = chooser(count, seed, strategy=strategy, no_repeat=no_repeat, max_share=cap)
    carried, active = [0.0] * count, None
    for load in loads * 5:
        active = chosen.choose(active, list(range(count)), carried)
        assert active is not None
        assert carried[active] <= cap * max(sum(carried), FLOOR) + 1e-6
        carried[active] += load


def test_small_sessions_are_free_of_the_cap() -> None:
    chosen = chooser(2, strategy="uniform", max_share=0.6)
    assert {chosen.choose(None, [0, 1], [300.0, 0.0]) for _ in range(50)} == {0, 1}
    assert {chosen.choose(None, [0, 1], [301.0, 0.0]) for _ in range(50)} == {1}
    assert {chosen.choose(None, [0, 1], [250.0, 0.0], 51.0) for _ in range(50)} == {1}
    assert {chosen.choose(None, [0, 1], [600.0, 400.0]) for _ in range(50)} == {0, 1}
    assert {chosen.choose(None, [0, 1], [600.0, 400.0], 1.0) for _ in range(50)} == {1}


def test_the_cap_comes_before_no_repeat() -> None:
    chosen = chooser(3, strategy="uniform", max_share=0.4, no_repeat=True)
    assert chosen.choose(2, [0, 1, 2], [450.0, 450.0, 100.0]) == 2


def test_fewer_paths_than_the_cap_needs_share_evenly() -> None:
    chosen = chooser(3, strategy="uniform", max_share=0.4)
    assert chosen.cap([0, 1, 2]) == 0.4
    assert chosen.cap([0, 1]) == 0.5
    assert {chosen.choose(None, [0, 1], [510.0, 490.0, 0.0]) for _ in range(50)} == {1}
    assert {chosen.choose(None, [0], [900.0, 50.0, 50.0]) for _ in range(5)} == {0}


def test_where_no_path_is_below_the_cap_the_one_with_most_room_is_taken() -> None:
    chosen = chooser(2, strategy="uniform", max_share=0.5)
    assert {chosen.choose(None, [0, 1], [500.0, 510.0], 90.0) for _ in range(20)} == {0}
    assert {chosen.choose(None, [0, 1], [0.0, 0.0], 90.0, [-5.0, -3.0]) for _ in range(20)} == {1}


def test_the_same_seed_draws_the_same() -> None:
    document = {"strategy": "dirichlet", "max_share": 0.7}
    runs = [run(chooser(3, seed, **document), [0, 1, 2], 100) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_a_schedule_that_does_not_fit_the_paths_is_refused() -> None:
    with pytest.raises(WgMigrateError, match=r"write 0\.5 or more"):
        chooser(2, max_share=0.4)
