"""A schedule with anything in it, by the file, the control socket or a module: a refused one changes nothing."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from fake_system import FakeSystem
from hostile import as_read, deep, everywhere, fuzz, raw, refusal, spoilt, texts, values
from hypothesis import given
from hypothesis import strategies as st
from loop_rig import Rig
from wg_migrate import schedule_file
from wg_migrate.schedule import WHEN, Schedule, fit, parse, plain

KEYS = ["period", "jitter", "packets", "packets_mean", "batches", "strategy", "weights", "alpha", "no_repeat"]
KEYS += ["max_share", "session", "seed", "health"]
SAMPLES: list[dict[str, Any]] = [
    {"period": 0.1, "jitter": 0.2, "strategy": "uniform", "no_repeat": True, "max_share": 0.6, "session": 60},
    {"packets": [50, 70], "batches": 64, "strategy": "weighted", "weights": [2, 1], "seed": 1},
    {"packets_mean": 20, "strategy": "dirichlet", "alpha": 0.5, "health": {"busy": 0.1, "silence": 0.2}},
    {"period": "0.5", "strategy": "weighted", "weights": {"wgnet1": 1, "wgnet2": 2.5}, "health": {"trial": 0}},
]
documents = st.one_of(
    st.sampled_from(SAMPLES).flatmap(spoilt), st.dictionaries(st.sampled_from(KEYS), values, max_size=3), values
)


def numbers(value: object) -> list[float]:
    """Return all numbers in a plain schedule."""
    if isinstance(value, dict):
        return [number for each in value.values() for number in numbers(each)]
    if isinstance(value, list):
        return [number for each in value for number in numbers(each)]
    return [value] if isinstance(value, (int, float)) else []


def check(schedule: Schedule) -> None:
    """Check that a schedule says when, in numbers that a clock and nft know, and is written as it was read."""
    assert [key for key in WHEN if getattr(schedule, key) is not None] != []
    assert schedule.period is None or 0.001 <= schedule.period <= 86400
    assert all(math.isfinite(number) and number >= 0 for number in numbers(plain(schedule)))
    assert schedule.packets is None or schedule.packets[1] * schedule.batches < 2**32
    assert parse(json.loads(json.dumps(plain(schedule)))) == schedule
    weights: list[float] = []
    refusal(lambda: weights.extend(fit(schedule, ["wgnet1", "wgnet2"])))
    assert not weights or sum(weights) == pytest.approx(1)


def accept(document: object) -> None:
    check(parse(document))


@pytest.mark.parametrize("document", SAMPLES, ids=str)
def test_each_thing_that_is_wrong_is_refused_or_a_schedule(document: dict[str, Any]) -> None:
    for wrong in everywhere(document):
        refusal(accept, wrong)


@given(documents)
@fuzz(60)
def test_a_document_is_refused_or_a_schedule(document: object) -> None:
    refusal(accept, document)


def test_what_is_too_deep_or_too_long_to_be_repeated_is_refused() -> None:
    lists: list[Any] = []
    for _ in range(20000):
        lists = [lists]
    for value in (lists, {"x": lists}, 10**5000, "9" * 5000):
        for key in KEYS:
            assert refusal(parse, {key: value}), key


class File(FakeSystem):
    """A host with bytes where the schedule's file is."""

    def __init__(self, text: bytes) -> None:
        super().__init__()
        self._text = text

    def read(self, path: str) -> str | None:
        return as_read(self._text) if path == schedule_file.PATH else None


@given(
    st.one_of(
        deep.map(str.encode),
        raw,
        values.map(lambda value: json.dumps(value).encode()),
        texts.map(json.dumps).map(str.encode),
    )
)
@fuzz(80)
def test_a_file_of_any_bytes_is_refused_or_a_schedule(text: bytes) -> None:
    refusal(lambda: check(schedule_file.load(File(text))))


RUNNING: list[dict[str, Any]] = [{"period": 0.1}, {"packets": [5, 7], "batches": 16, "seed": 1}]


def still(rig: Rig) -> dict[str, Any]:
    """Return all of a loop's state that nobody but a schedule changes, while no time passes."""
    return {"status": rig.status(), "table": rig.nft.table, "loads": rig.nft.loads, "sent": len(rig.switch.sent)}


@pytest.fixture(scope="module", params=RUNNING, ids=str)
def rig(request: pytest.FixtureRequest) -> Rig:
    return Rig(request.param)


@given(document=documents)
@fuzz(60)
def test_a_running_loop_stays_as_it_is_where_a_schedule_is_refused(rig: Rig, document: Any) -> None:
    before = still(rig)
    if refusal(lambda: rig.loop.handle({"command": "schedule", "schedule": document}, rig.now)):
        assert still(rig) == before
    else:  # back to where the next case begins
        taken = rig.status()["schedule"]
        assert taken == plain(parse(document))
        rig.run(0.05)
        rig.take(**before["status"]["schedule"])
        assert rig.status()["schedule"] == before["status"]["schedule"]


MISFITS: list[dict[str, Any]] = [
    {"strategy": "weighted", "weights": [1, 2, 3]},
    {"packets": [5, 7], "strategy": "weighted", "weights": {"wgnet1": 1, "\n": 1}},
    {"period": 2, "max_share": 0.4},
]


@pytest.mark.parametrize("document", MISFITS, ids=str)
def test_a_running_loop_stays_as_it_is_where_a_schedule_does_not_fit_its_paths(rig: Rig, document: Any) -> None:
    before = still(rig)
    assert refusal(rig.loop.handle, {"command": "schedule", "schedule": document}, rig.now)
    assert still(rig) == before


def test_the_samples_are_schedules() -> None:
    """Else the fuzz tests would try only what is refused."""
    for document in SAMPLES:
        check(parse(document))
