"""What the schedule asked for, and how far the bursts kept to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from wg_migrate.errors import WgMigrateError
from wg_migrate.schedule import Schedule, parse

from observe.report.measure import Bursts
from observe.report.packets import Bools, Floats

PACKETS, SECONDS = "packets", "seconds"
TOLERANCE = 0.1
"""Of a period: how much later than it was made a switch may be seen, where the burst is to be judged."""
_PAUSE = 0.5
"""Of a period: in a longer pause a switch and the one back may hide."""
_STRATEGIES_WITHOUT_REPEATS = ("round_robin",)


@dataclass(frozen=True)
class Asked:
    """The lengths of a burst that a schedule asks for, from `low` to `high`, in `unit`; or their `mean`, exponential.

    `may_repeat`: the same path may be drawn twice running, so that two or more lengths are one burst.
    """

    unit: str
    words: str
    low: float | None
    high: float | None
    mean: float | None
    may_repeat: bool


@dataclass(frozen=True)
class Kept:
    """The bursts beside what was asked.

    `lengths` are those of the bursts that can be judged, in the unit asked for; `left_out` more cannot: the traffic
    paused in them or at their ends, so that a switch was not seen when it was made. `within` counts those of a
    length asked for, `multiple` those that are several such lengths, and the rest is neither. Both are None for a mean.
    """

    lengths: Floats
    left_out: int
    within: int | None
    multiple: int | None


def asked(document: Mapping[str, Any] | None, paths: int) -> Asked | None:
    """Return what a schedule asks for; None where there is none, or one that this version does not know."""
    try:
        return _asked(parse(document), paths) if document is not None else None
    except WgMigrateError:
        return None


def _asked(schedule: Schedule, paths: int) -> Asked:
    may_repeat = paths > 1 and not schedule.no_repeat and schedule.strategy not in _STRATEGIES_WITHOUT_REPEATS
    how = f"{schedule.strategy.replace('_', ' ')}{', never the same path twice' if schedule.no_repeat else ''}"
    if schedule.packets:
        low, high = schedule.packets
        # A cap cuts batches short, the last of a table too.
        return Asked(PACKETS, f"batches of {low} to {high} packets, {how}", low, high, None, may_repeat)
    if schedule.packets_mean is not None:
        words = f"batches of {schedule.packets_mean:g} packets on average, {how}"
        return Asked(PACKETS, words, None, None, schedule.packets_mean, may_repeat)
    period, jitter = schedule.period or 0.0, schedule.jitter
    words = f"every {period:g} s{f' ± {jitter * 100:.3g} %' if jitter else ''}, {how}"
    return Asked(SECONDS, words, period * (1 - jitter), period * (1 + jitter), None, may_repeat)


def kept(bursts: Bursts, wanted: Asked) -> Kept:
    """Compare bursts with what was asked for."""
    if wanted.unit == PACKETS:
        lengths: Floats = bursts.packets.astype(np.float64)
        judged = np.ones(len(lengths), bool)
        slack = 0.0
    else:
        lengths = bursts.seconds
        period = ((wanted.low or 0.0) + (wanted.high or 0.0)) / 2
        slack = TOLERANCE * period
        judged = (bursts.blur <= slack) & (bursts.silences <= _PAUSE * period)
    lengths = lengths[judged]
    left_out = int((~judged).sum())
    if wanted.low is None or wanted.high is None:
        return Kept(lengths, left_out, None, None)
    within = _between(lengths, wanted.low, wanted.high, slack)
    # As few lengths running as reach so far, where that is more than one; then they must not be too long either.
    running = np.maximum(2, np.ceil((lengths - slack) / wanted.high))
    multiple = wanted.may_repeat & ~within & _between(lengths, running * wanted.low, running * wanted.high, slack)
    return Kept(lengths, left_out, int(within.sum()), int(multiple.sum()))


def _between(lengths: Floats, low: float | Floats, high: float | Floats, slack: float) -> Bools:
    found: Bools = (lengths >= low - slack) & (lengths <= high + slack)
    return found
