"""A schedule: when to switch, and to which path. One document for role variables, module, control socket and file.

The document is an object with these keys, all of them optional:

    period        seconds between two switches, 0.001 to 86400; 0.1 where nothing says when
    jitter        0 to 1: each period is drawn anew from period * (1 - jitter) to period * (1 + jitter)
    packets       [low, high]: instead of a period, batches of so many packets, the size drawn anew for each
    packets_mean  instead of a period, batches of exponential size with this mean, at least 1
    batches       how many batches are drawn at a time, 16 to 8192; the table is used again from its start
    strategy      round_robin, uniform, weighted, or dirichlet
    weights       for weighted: a list in the order of the paths, or an object with a weight for each path
    alpha         for dirichlet: each session's weights are drawn from Dirichlet(alpha, ..., alpha)
    no_repeat     true: never the path that was used last, where another is up
    max_share     1/N to 1: no path carries more than this share of a session's packets, from the 500th packet on;
                  batches are cut short where they would break this
    session       seconds after which a session ends, 0.1 to 86400; 0: only when told (`wg-migrate new-session`)
    seed          an integer: replays the same draws, for tests; without it they come from the system's CSPRNG
    health        how the paths are watched: see Health
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

from .errors import WgMigrateError
from .reading import read_interval, read_number, shortened, shown

DEFAULT_PERIOD = 0.1
STRATEGIES = ("round_robin", "uniform", "weighted", "dirichlet")
LARGEST_TABLE = 2**32 - 1
"""Packets that a table of batches may count to: `numgen` is a number of 32 bits (nft(8))."""
WHEN = ("period", "packets", "packets_mean")
_ROUNDING = 1e-9

Weights = Union[tuple[float, ...], Mapping[str, float]]


@dataclass(frozen=True)
class Health:
    """How the paths are watched, in seconds.

    Each path is probed every `busy` while traffic flows, every `idle` otherwise. It is down when nothing has come back
    for `silence` after a probe, and up again after it has answered for `trial` (twice as long after each relapse, 60 at
    most).
    """

    busy: float = 0.1
    idle: float = 1.0
    silence: float = 0.18
    trial: float = 2.0


@dataclass(frozen=True)
class Schedule:
    """A schedule that was read: exactly one of `period`, `packets` and `packets_mean` is set."""

    period: float | None = None
    jitter: float = 0.0
    packets: tuple[int, int] | None = None
    packets_mean: float | None = None
    batches: int = 1024
    strategy: str = "round_robin"
    weights: Weights = ()
    alpha: float = 1.0
    no_repeat: bool = False
    max_share: float = 1.0
    session: float = 60.0
    seed: int | None = None
    health: Health = field(default_factory=Health)


def parse(document: object) -> Schedule:
    """Return the schedule that a document describes.

    Raises WgMigrateError, with what to write instead, for anything unknown, out of range or contradictory.
    """
    values = _read(document, _READERS, "the schedule", '{"period": 0.1}')
    when = [key for key in WHEN if key in values]
    if len(when) > 1:
        raise WgMigrateError(f"the schedule has {' and '.join(when)}: write one of them")
    if not when:
        values["period"] = DEFAULT_PERIOD
    schedule = Schedule(**values)
    _refuse_idle_words(values, schedule)
    if schedule.strategy == "weighted" and not schedule.weights:
        raise WgMigrateError("strategy weighted has no weights: write them in the order of the paths, as [0.7, 0.3]")
    _refuse_long_table(schedule)
    return schedule


def fit(schedule: Schedule, names: Sequence[str]) -> list[float]:
    """Return the weight of each path, in the order of `names`; they sum up to 1.

    Raises WgMigrateError where the schedule does not fit these paths.
    """
    count = len(names)
    if count and schedule.max_share * count < 1 - _ROUNDING:
        raise WgMigrateError(
            f"max_share {schedule.max_share:g} cannot be kept by {count} paths: write {math.ceil(1e3 / count) / 1e3:g} "
            "or more"
        )
    if schedule.strategy != "weighted":
        return [1 / count] * count if count else []
    weights = _in_order(schedule.weights, names)
    total = sum(weights)
    for name, weight in zip(names, weights):
        if weight / total > schedule.max_share + _ROUNDING:
            raise WgMigrateError(
                f"{name} has a weight of {weight:g} in {total:g}, and max_share is {schedule.max_share:g}: write a "
                "smaller weight or a larger max_share"
            )
    return [weight / total for weight in weights]


def plain(schedule: Schedule) -> dict[str, Any]:
    """Return the document of a schedule, all that holds written out; `parse` reads the same from it."""
    document = dataclasses.asdict(schedule)
    if isinstance(schedule.weights, tuple):
        document["weights"] = list(schedule.weights)
    if schedule.packets:
        document["packets"] = list(schedule.packets)
    idle = {key for key, applies in _APPLIES.items() if not applies(schedule)}
    return {key: value for key, value in document.items() if value is not None and key not in idle}


_APPLIES: dict[str, Callable[[Schedule], bool]] = {
    "jitter": lambda schedule: schedule.period is not None,
    "batches": lambda schedule: schedule.period is None,
    "weights": lambda schedule: schedule.strategy == "weighted",
    "alpha": lambda schedule: schedule.strategy == "dirichlet",
}
"""Keys that only some schedules have."""
_NEEDS = {
    "jitter": "a period",
    "batches": "packets or packets_mean",
    "weights": "strategy weighted",
    "alpha": "strategy dirichlet",
}


def _refuse_idle_words(values: Mapping[str, Any], schedule: Schedule) -> None:
    """Refuse a key that would have no effect: whoever wrote it expects one."""
    for key, applies in _APPLIES.items():
        if key in values and not applies(schedule):
            raise WgMigrateError(f"{key} goes with {_NEEDS[key]}: write that too, or leave {key} out")


def _refuse_long_table(schedule: Schedule) -> None:
    if schedule.packets:
        key, largest = "packets", schedule.packets[1]
    else:
        # The sum of so many exponential batches is never twice what is expected where that is as much as this.
        key, largest = "packets_mean", math.ceil(2 * (schedule.packets_mean or 0))
    if largest * schedule.batches > LARGEST_TABLE:
        most = LARGEST_TABLE // schedule.batches
        raise WgMigrateError(
            f"{schedule.batches} batches of up to {largest} packets are a table too long for nft, which counts to "
            f"{LARGEST_TABLE}: write fewer batches, or {key} of at most {most if schedule.packets else most // 2}"
        )


def _in_order(weights: Weights, names: Sequence[str]) -> list[float]:
    expected = f"there are {len(names)} paths ({', '.join(names)})"
    if isinstance(weights, Mapping):
        if set(weights) != set(names):
            given = shortened(", ".join(weights))
            raise WgMigrateError(f"weights are given for {given}, and {expected}: write one for each")
        return [weights[name] for name in names]
    if len(weights) != len(names):
        raise WgMigrateError(f"{len(weights)} weights are given, and {expected}: write one for each")
    return list(weights)


def _read(
    document: object, readers: Mapping[str, Callable[[str, object], Any]], what: str, example: str
) -> dict[str, Any]:
    if not isinstance(document, Mapping):
        raise WgMigrateError(f"{what} is no object: write one such as {example}")
    unknown = [str(key) for key in document if key not in readers]
    if unknown:
        raise WgMigrateError(f"{what} has no {shortened(', '.join(sorted(unknown)))}: it has {', '.join(readers)}")
    return {key: readers[key](key, value) for key, value in document.items() if value is not None}


def _number(low: float, high: float, example: str) -> Callable[[str, object], float]:
    return lambda key, value: read_number(key, value, low, high, example)


def _integer(low: int, high: int, example: str) -> Callable[[str, object], int]:
    read_number = _number(low, high, example)

    def read(key: str, value: object) -> int:
        number = read_number(key, value)
        if number != int(number):
            raise WgMigrateError(f"{key} {number:.16g} is no whole number: write one from {low} to {high}")
        return int(number)

    return read


def _strategy(key: str, value: object) -> str:
    if value not in STRATEGIES:
        raise WgMigrateError(f"{key} {shown(value)} is unknown: write {', '.join(STRATEGIES[:-1])} or {STRATEGIES[-1]}")
    return str(value)


def _flag(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise WgMigrateError(f"{key} {shown(value)} is neither true nor false: write one of them")
    return value


def _sequence(value: object) -> list[object] | None:
    return list(value) if isinstance(value, (list, tuple)) else None


def _packets(key: str, value: object) -> tuple[int, int]:
    bounds = _sequence(value)
    if bounds is None or len(bounds) != 2:
        raise WgMigrateError(f"{key} {shown(value)} is no pair of numbers: write the least and the most, as [50, 70]")
    read = _integer(1, LARGEST_TABLE, "50")
    low, high = (read(key, bound) for bound in bounds)
    if low > high:
        raise WgMigrateError(f"{key} [{low}, {high}] begins with the larger number: write [{high}, {low}]")
    return low, high


def _weights(key: str, value: object) -> Weights:
    read = _number(0, 1e9, "0.7")
    listed = _sequence(value)
    weights: Weights
    if listed is not None:
        numbers = [read(key, weight) for weight in listed]
        weights = tuple(numbers)
    elif isinstance(value, Mapping):
        weights = {str(name): read(f"the weight of {shortened(str(name))}", weight) for name, weight in value.items()}
        numbers = list(weights.values())
    else:
        raise WgMigrateError(f"{key} {shown(value)} are no list: write them in the order of the paths, as [0.7, 0.3]")
    if not any(number > 0 for number in numbers):
        raise WgMigrateError(f"{key} {shown(value)} are all zero: write at least one above 0, as [0.7, 0.3]")
    return weights


def _alpha(key: str, value: object) -> float:
    alpha = _number(0, 1e6, "1")(key, value)
    if alpha < 1e-3:
        raise WgMigrateError(f"{key} {alpha:g} is too small: write 0.001 or more, for example 1")
    return alpha


def _health(key: str, value: object) -> Health:
    return Health(**_read(value, _HEALTH_READERS, key, '{"busy": 0.1}'))


def _session(key: str, value: object) -> float:
    seconds = _number(0, 86400, "60")(key, value)
    if 0 < seconds < 0.1:  # a table of batches may take that long to load
        raise WgMigrateError(f"{key} {seconds:g} is too short: write 0.1 or more, or 0 for sessions that end when told")
    return seconds


_HEALTH_READERS: dict[str, Callable[[str, object], Any]] = {
    "busy": _number(0.02, 10, "0.1"),
    "idle": _number(0.02, 60, "1"),
    "silence": _number(0.05, 60, "0.18"),
    "trial": _number(0, 60, "2"),
}
_READERS: dict[str, Callable[[str, object], Any]] = {
    "period": lambda _key, value: read_interval(value),
    "jitter": _number(0, 1, "0.2"),
    "packets": _packets,
    "packets_mean": _number(1, 1e6, "20"),
    "batches": _integer(16, 8192, "1024"),
    "strategy": _strategy,
    "weights": _weights,
    "alpha": _alpha,
    "no_repeat": _flag,
    "max_share": _number(0, 1, "0.6"),
    "session": _session,
    "seed": _integer(0, 2**53 - 1, "1"),
    "health": _health,
}
