from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wg_migrate.errors import WgMigrateError
from wg_migrate.randomness import Replay, generator
from wg_migrate.schedule import DEFAULT_PERIOD, LARGEST_TABLE, Health, Schedule, fit, parse, plain

NAMES = ["wgnet1", "wgnet2", "wgnet3"]
FEW = settings(derandomize=True, max_examples=60, deadline=None)


def refusal(document: object) -> str:
    with pytest.raises(WgMigrateError) as caught:
        parse(document)
    return str(caught.value)


def misfit(document: dict[str, Any], names: list[str]) -> str:
    with pytest.raises(WgMigrateError) as caught:
        fit(parse(document), names)
    return str(caught.value)


def test_an_empty_document_switches_ten_times_a_second_around() -> None:
    assert parse({}) == Schedule(period=DEFAULT_PERIOD, strategy="round_robin")
    assert DEFAULT_PERIOD == 0.1
    assert parse({"period": None, "weights": None, "health": None}) == parse({})


@pytest.mark.parametrize(
    ("document", "read"),
    [
        ({"period": "5", "jitter": "0.2"}, Schedule(period=5.0, jitter=0.2)),
        ({"packets": [50, "70"]}, Schedule(packets=(50, 70))),
        ({"packets": (50, 50.0)}, Schedule(packets=(50, 50))),
        ({"packets": [1, LARGEST_TABLE // 16], "batches": 16}, Schedule(packets=(1, 2**28 - 1), batches=16)),
        ({"packets_mean": 20, "batches": "16"}, Schedule(packets_mean=20.0, batches=16)),
        ({"packets_mean": 1e6, "batches": 2147}, Schedule(packets_mean=1e6, batches=2147)),
        ({"strategy": "weighted", "weights": [7, 3]}, Schedule(0.1, strategy="weighted", weights=(7.0, 3.0))),
        (
            {"strategy": "weighted", "weights": {"a": "0", "b": 3}},
            Schedule(0.1, strategy="weighted", weights={"a": 0.0, "b": 3.0}),
        ),
        ({"strategy": "dirichlet", "alpha": 0.001}, Schedule(0.1, strategy="dirichlet", alpha=0.001)),
        ({"no_repeat": True, "max_share": 0.6}, Schedule(0.1, no_repeat=True, max_share=0.6)),
        ({"session": 0, "seed": 0}, Schedule(0.1, session=0.0, seed=0)),
        ({"session": 0.1, "seed": 2**53 - 1}, Schedule(0.1, session=0.1, seed=2**53 - 1)),
        ({"health": {"busy": 0.05, "idle": 5}}, Schedule(0.1, health=Health(busy=0.05, idle=5.0))),
        ({"health": {"silence": "0.5", "trial": 60}}, Schedule(0.1, health=Health(silence=0.5, trial=60.0))),
        ({"period": 1, "jitter": 0, "max_share": 1, "health": {}}, Schedule(period=1.0)),
        ({"period": 1, "jitter": 1}, Schedule(period=1.0, jitter=1.0)),
    ],
    ids=str,
)
def test_a_document_is_read(document: dict[str, Any], read: Schedule) -> None:
    assert parse(document) == read


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (5, 'the schedule is no object: write one such as {"period": 0.1}'),
        ([], 'the schedule is no object: write one such as {"period": 0.1}'),
        (None, 'the schedule is no object: write one such as {"period": 0.1}'),
        ({"interval": 1, "batch": 2}, "the schedule has no batch, interval: it has period, jitter, packets, "),
        ({"period": 0}, "write a number of seconds from 0.001 to 86400, for example 0.1"),
        ({"period": 1, "packets": [5, 7]}, "the schedule has period and packets: write one of them"),
        ({"packets": [5, 7], "packets_mean": 6}, "the schedule has packets and packets_mean: write one of them"),
        ({"jitter": 1.01}, "jitter 1.01 is out of range: write a number from 0 to 1, for example 0.2"),
        ({"jitter": -0.01}, "jitter -0.01 is out of range: write a number from 0 to 1"),
        ({"jitter": math.nan}, "jitter nan is out of range: write a number from 0 to 1"),
        ({"jitter": "nan"}, "jitter nan is out of range: write a number from 0 to 1"),
        ({"jitter": True}, "jitter True is not a number: write a number from 0 to 1"),
        ({"jitter": "some"}, "jitter 'some' is not a number: write a number from 0 to 1"),
        ({"jitter": [0.1]}, "jitter [0.1] is not a number: write a number from 0 to 1"),
        ({"jitter": 10**400}, "is not a number: write a number from 0 to 1"),
        ({"packets": 60}, "packets 60 is no pair of numbers: write the least and the most, as [50, 70]"),
        ({"packets": "50"}, "packets '50' is no pair of numbers: write the least and the most"),
        ({"packets": [50]}, "packets [50] is no pair of numbers: write the least and the most"),
        ({"packets": [50, 60, 70]}, "packets [50, 60, 70] is no pair of numbers"),
        ({"packets": [70, 50]}, "packets [70, 50] begins with the larger number: write [50, 70]"),
        ({"packets": [0, 50]}, "packets 0 is out of range: write a number from 1 to 4294967295, for example 50"),
        ({"packets": [1.5, 50]}, "packets 1.5 is no whole number: write one from 1 to 4294967295"),
        ({"packets": [True, 50]}, "packets True is not a number: write a number from 1"),
        (
            {"packets": [1, 2**28], "batches": 16},
            (
                "16 batches of up to 268435456 packets are a table too long for nft, "
                "which counts to 4294967295: write fewer batches, or packets of at most 268435455"
            ),
        ),
        (
            {"packets_mean": 1e6, "batches": 2148},
            (
                "2148 batches of up to 2000000 packets are a table too long for nft, "
                "which counts to 4294967295: write fewer batches, or packets_mean of at most 999759"
            ),
        ),
        ({"packets_mean": 0.99}, "packets_mean 0.99 is out of range: write a number from 1 to 1000000, for example 20"),
        ({"packets_mean": 20, "batches": 15}, "batches 15 is out of range: write a number from 16 to 8192"),
        ({"packets_mean": 20, "batches": 8193}, "batches 8193 is out of range: write a number from 16 to 8192"),
        ({"packets_mean": 20, "batches": 16.5}, "batches 16.5 is no whole number: write one from 16 to 8192"),
        ({"strategy": "random"}, "strategy 'random' is unknown: write round_robin, uniform, weighted or dirichlet"),
        ({"strategy": ["uniform"]}, "strategy ['uniform'] is unknown: write round_robin, "),
        (
            {"strategy": "weighted"},
            "strategy weighted has no weights: write them in the order of the paths, as [0.7, 0.",
        ),
        ({"strategy": "weighted", "weights": []}, "weights [] are all zero: write at least one above 0, as [0.7, 0.3]"),
        ({"strategy": "weighted", "weights": [0, 0]}, "weights [0, 0] are all zero: write at least one above 0"),
        ({"strategy": "weighted", "weights": {"a": 0}}, "weights {'a': 0} are all zero: write at least one above 0"),
        (
            {"strategy": "weighted", "weights": [1, -1]},
            "weights -1 is out of range: write a number from 0 to 1000000000",
        ),
        ({"strategy": "weighted", "weights": [1, None]}, "weights None is not a number: write a number from 0"),
        ({"strategy": "weighted", "weights": {"a": "x"}}, "the weight of a 'x' is not a number: write a number from 0"),
        ({"strategy": "weighted", "weights": "7:3"}, "weights '7:3' are no list: write them in the order of the paths"),
        ({"strategy": "dirichlet", "alpha": 0}, "alpha 0 is too small: write 0.001 or more, for example 1"),
        ({"strategy": "dirichlet", "alpha": 0.0009}, "alpha 0.0009 is too small: write 0.001 or more"),
        ({"strategy": "dirichlet", "alpha": -1}, "alpha -1 is out of range: write a number from 0 to 1000000"),
        ({"strategy": "dirichlet", "alpha": math.inf}, "alpha inf is out of range: write a number from 0 to 1000000"),
        ({"no_repeat": "yes"}, "no_repeat 'yes' is neither true nor false: write one of them"),
        ({"no_repeat": 1}, "no_repeat 1 is neither true nor false: write one of them"),
        ({"max_share": 1.1}, "max_share 1.1 is out of range: write a number from 0 to 1, for example 0.6"),
        ({"session": -1}, "session -1 is out of range: write a number from 0 to 86400, for example 60"),
        ({"session": 0.09}, "session 0.09 is too short: write 0.1 or more, or 0 for sessions that end when told"),
        ({"session": 86401}, "session 86401 is out of range: write a number from 0 to 86400"),
        ({"seed": 1.5}, "seed 1.5 is no whole number: write one from 0 to 9007199254740991"),
        ({"seed": -1}, "seed -1 is out of range: write a number from 0 to 9007199254740991, for example 1"),
        ({"seed": 2**53 + 1}, "seed 9007199254740993 is out of range: write a number from 0 to 9007199254740991"),
        ({"seed": "dice"}, "seed 'dice' is not a number: write a number from 0"),
        ({"jitter": 0.1, "packets": [5, 7]}, "jitter goes with a period: write that too, or leave jitter out"),
        (
            {"period": 1, "batches": 64},
            "batches goes with packets or packets_mean: write that too, or leave batches out",
        ),
        ({"weights": [1, 2]}, "weights goes with strategy weighted: write that too, or leave weights out"),
        ({"strategy": "uniform", "alpha": 1}, "alpha goes with strategy dirichlet: write that too, or leave alpha out"),
        ({"health": 0.1}, 'health is no object: write one such as {"busy": 0.1}'),
        ({"health": {"fast": 1}}, "health has no fast: it has busy, idle, silence, trial"),
        ({"health": {"busy": 0.01}}, "busy 0.01 is out of range: write a number from 0.02 to 10, for example 0.1"),
        ({"health": {"busy": 10.1}}, "busy 10.1 is out of range: write a number from 0.02 to 10, for example 0.1"),
        ({"health": {"idle": 61}}, "idle 61 is out of range: write a number from 0.02 to 60, for example 1"),
        (
            {"health": {"silence": 0.04}},
            "silence 0.04 is out of range: write a number from 0.05 to 60, for example 0.18",
        ),
        ({"health": {"trial": 61}}, "trial 61 is out of range: write a number from 0 to 60, for example 2"),
        ({"health": {"trial": False}}, "trial False is not a number: write a number from 0 to 60"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_is_wrong_is_refused_with_what_to_write_instead(document: object, says: str) -> None:
    assert says in refusal(document)


WEIGHTS = st.lists(st.floats(0, 1e9), min_size=1, max_size=6).filter(any)
WHEN = st.one_of(
    st.fixed_dictionaries({}, optional={"period": st.floats(0.001, 86400), "jitter": st.floats(0, 1)}),
    st.fixed_dictionaries(
        {"packets": st.tuples(st.integers(1, 500), st.integers(0, 500)).map(lambda pair: [pair[0], sum(pair)])},
        optional={"batches": st.integers(16, 8192)},
    ),
    st.fixed_dictionaries({"packets_mean": st.floats(1, 1e4)}, optional={"batches": st.integers(16, 8192)}),
)
WHERE = st.one_of(
    st.sampled_from([{}, {"strategy": "round_robin"}, {"strategy": "uniform"}]),
    st.fixed_dictionaries({"strategy": st.just("dirichlet")}, optional={"alpha": st.floats(0.001, 1e6)}),
    st.builds(lambda weights: {"strategy": "weighted", "weights": weights}, WEIGHTS),
    st.builds(
        lambda weights: {"strategy": "weighted", "weights": {f"wgnet{n}": each for n, each in enumerate(weights)}},
        WEIGHTS,
    ),
)
REST: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "no_repeat": st.booleans(),
        "max_share": st.floats(0, 1),
        "session": st.one_of(st.just(0), st.floats(0.1, 86400)),
        "seed": st.integers(0, 2**53 - 1),
        "health": st.fixed_dictionaries({}, optional={"busy": st.floats(0.02, 10), "trial": st.floats(0, 60)}),
    },
)


@FEW
@given(WHEN, WHERE, REST)
def test_documents_survive_being_read_and_written(
    when: dict[str, Any], where: dict[str, Any], rest: dict[str, Any]
) -> None:
    schedule = parse({**when, **where, **rest})
    document = plain(schedule)
    assert parse(json.loads(json.dumps(document))) == schedule
    assert plain(parse(document)) == document
    for key, value in {**when, **where, **rest}.items():
        assert document[key] == value or (key == "health" and value.items() <= document[key].items())


def test_a_document_written_out_says_all_that_holds_and_no_more() -> None:
    assert plain(parse({})) == {
        "period": 0.1,
        "jitter": 0.0,
        "strategy": "round_robin",
        "no_repeat": False,
        "max_share": 1.0,
        "session": 60.0,
        "health": {"busy": 0.1, "idle": 1.0, "silence": 0.18, "trial": 2.0},
    }
    assert plain(parse({"packets": [5, 7], "strategy": "dirichlet"})).keys() >= {"packets", "batches", "alpha"}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@FEW
@given(st.dictionaries(st.sampled_from(list(Schedule.__dataclass_fields__)), ANYTHING, max_size=4))
def test_anything_is_a_schedule_or_refused(document: dict[str, Any]) -> None:
    try:
        schedule = parse(document)
    except WgMigrateError as error:
        refused = str(error)
        schedule = parse({})
    else:
        refused = "write nothing else"
    assert "write" in refused or "it has" in refused
    assert plain(parse(plain(schedule))) == plain(schedule)


@pytest.mark.parametrize("weights", [[7, 0, 3], {"wgnet3": 3, "wgnet1": 7, "wgnet2": 0}], ids=str)
def test_weights_are_in_the_order_of_the_paths_and_sum_up_to_1(weights: list[float] | Mapping[str, float]) -> None:
    assert fit(parse({"strategy": "weighted", "weights": weights}), NAMES) == [0.7, 0.0, 0.3]


def test_without_weights_all_are_equal() -> None:
    assert fit(parse({"strategy": "dirichlet"}), NAMES) == [1 / 3] * 3


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (
            {"strategy": "weighted", "weights": [7, 3]},
            ("2 weights are given, and there are 3 paths (wgnet1, wgnet2, wgnet3): write one for each"),
        ),
        (
            {"strategy": "weighted", "weights": {"wgnet1": 1, "wgnet4": 1, "wgnet2": 1}},
            (
                "weights are given for wgnet1, wgnet"
                "4, wgnet2, and there are 3 paths (wgnet1, wgnet2, wgnet3): write one for each"
            ),
        ),
        (
            {"strategy": "weighted", "weights": {"wgnet1": 1, "wgnet2": 1}},
            "weights are given for wgnet1, wgnet2, and there",
        ),
        ({"max_share": 0.333}, "max_share 0.333 cannot be kept by 3 paths: write 0.334 or more"),
        ({"max_share": 0}, "max_share 0 cannot be kept by 3 paths: write 0.334 or more"),
        (
            {"strategy": "weighted", "weights": [7, 2, 1], "max_share": 0.6},
            ("wgnet1 has a weight of 7 in 10, and max_share is 0.6: write a smaller weight or a larger max_share"),
        ),
        ({"strategy": "weighted", "weights": [7e-10, 2e-10, 1e-10], "max_share": 0.6}, "wgnet1 has a weight of 7e-10"),
    ],
    ids=str,
)
def test_what_does_not_fit_the_paths_is_refused(document: dict[str, Any], says: str) -> None:
    assert says in misfit(document, NAMES)


@pytest.mark.parametrize("count", range(1, 50))
def test_the_share_that_is_proposed_can_be_kept(count: int) -> None:
    names = [str(number) for number in range(count)]
    said = misfit({"max_share": 0.5 / count}, names)
    fit(parse({"max_share": said.split("write ")[1].split()[0]}), names)
    fit(parse({"max_share": 1 / count}), names)


def test_a_weight_may_be_just_the_cap() -> None:
    assert fit(parse({"strategy": "weighted", "weights": [6, 4, 0], "max_share": 0.6}), NAMES) == [0.6, 0.4, 0.0]


@pytest.mark.parametrize("document", [{}, {"max_share": 0.6}, {"strategy": "dirichlet"}], ids=str)
def test_without_any_path_there_is_nothing_to_fit(document: dict[str, Any]) -> None:
    assert fit(parse(document), []) == []


def test_randomness_is_the_systems_unless_a_seed_replays_it() -> None:
    assert isinstance(generator(None), random.SystemRandom)
    assert isinstance(generator(0), Replay)
    assert generator(7).getstate() == Replay(7).getstate() != generator(8).getstate()
    assert not isinstance(generator(7), random.SystemRandom)
