"""From traces to numbers: shares, switches, bursts, rates over time and around switches. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from observe.report.packets import Floats, Integers
from observe.report.traces import NO_PATH, Trace

SILENCE = 1.0
"""Seconds without a packet after which traffic counts as something new: longer than a page waits for a server."""


@dataclass(frozen=True)
class Total:
    """What went by one path, or by all."""

    packets_up: int
    packets_down: int
    bytes_up: int
    bytes_down: int

    def share(self, whole: Total) -> dict[str, float | None]:
        """Return the share of each number in the whole's, 0 to 1, and None where that is nothing."""
        return {key: value / vars(whole)[key] if vars(whole)[key] else None for key, value in vars(self).items()}


@dataclass(frozen=True)
class Switches:
    """The switches of a trace, n of them.

    `times` is when the first packet went up by the new path, `gaps` the seconds since the last one by the old, so that
    the switch itself was at most so much earlier.
    """

    times: Floats
    gaps: Floats
    before: Integers
    after: Integers

    def __len__(self) -> int:
        """Return how many they are."""
        return len(self.times)


@dataclass(frozen=True)
class Bursts:
    """What went up between two switches, both of them seen, n of them.

    `packets` up, `seconds` from switch to switch; `blur` is how much earlier than it was seen the less certain of the
    two switches may have been made, and `silences` the longest time without a packet in between, both in seconds.
    """

    path: Integers
    packets: Integers
    seconds: Floats
    blur: Floats
    silences: Floats

    def __len__(self) -> int:
        """Return how many they are."""
        return len(self.path)


@dataclass(frozen=True)
class Series:
    """Counts in bins of time; `edges` in seconds (n + 1), the others a bin each (n)."""

    edges: Floats
    packets_up: Integers
    packets_down: Integers
    bytes_up: Integers
    bytes_down: Integers

    @property
    def width(self) -> float:
        """Return the seconds of a bin."""
        return float(self.edges[1] - self.edges[0])


def total(trace: Trace) -> Total:
    """Return all that a trace holds."""
    up, down = trace.up, ~trace.up
    return Total(int(up.sum()), int(down.sum()), int(trace.sizes[up].sum()), int(trace.sizes[down].sum()))


def by_path(trace: Trace, paths: int) -> list[Total]:
    """Return what went by each path."""
    return [total(trace.take(trace.path == number)) for number in range(paths)]


def switches(trace: Trace) -> Switches:
    """Return the switches: where a packet goes up by another path than the one before it."""
    upward = trace.take(trace.up & (trace.path != NO_PATH))
    at = np.flatnonzero(np.diff(upward.path)) + 1
    return Switches(
        upward.times[at], upward.times[at] - upward.times[at - 1], upward.path[at - 1].copy(), upward.path[at].copy()
    )


def bursts(trace: Trace) -> Bursts:
    """Return the bursts up; not the first and the last, of which only a part was captured."""
    upward = trace.take(trace.up & (trace.path != NO_PATH))
    starts = np.flatnonzero(np.diff(upward.path)) + 1
    gaps = np.diff(upward.times)
    spans = list(itertools.pairwise(starts.tolist()))
    return Bursts(
        upward.path[starts[:-1]],
        np.diff(starts),
        np.diff(upward.times[starts]),
        np.array([max(gaps[begin - 1], gaps[end - 1]) for begin, end in spans], np.float64),
        np.array([gaps[begin : end - 1].max(initial=0.0) for begin, end in spans], np.float64),
    )


def series(trace: Trace, edges: Floats) -> Series:
    """Return a trace's packets and bytes in bins of time."""
    columns = []
    for weights in (None, trace.sizes):
        for which in (trace.up, ~trace.up):
            amount = None if weights is None else weights[which]
            columns.append(np.histogram(trace.times[which], edges, weights=amount)[0].astype(np.int64))
    return Series(edges, *columns)


def bins(begin: float, end: float, most: int) -> Floats:
    """Return the edges of at most so many bins that hold both ends, each 1 ms, 2, 5, 10 ms, and so on."""
    steps = (scale * 10.0**power for power in range(-3, 8) for scale in (1, 2, 5))
    step = next(step for step in steps if (end - begin) / step < most - 1)
    edges: Floats = begin + np.arange(int((end - begin) / step) + 2) * step
    return edges


def busiest(trace: Trace) -> tuple[float, float]:
    """Return when the most bytes went without a silence in between: its first and last packet, in seconds."""
    starts = np.concatenate(([0], np.flatnonzero(np.diff(trace.times) >= SILENCE) + 1))
    sums = np.add.reduceat(trace.sizes, starts)
    at = int(np.argmax(sums))
    last = int(starts[at + 1]) - 1 if at + 1 < len(starts) else len(trace) - 1
    return float(trace.times[starts[at]]), float(trace.times[last])


@dataclass(frozen=True)
class Around:
    """What happened around switches, laid over one another: per bin of time since the switch, over all of them.

    `edges` in seconds (n + 1), the others a bin each (n): median and quartiles; NaN where a bin holds nothing.
    """

    edges: Floats
    low: Floats
    middle: Floats
    high: Floats
    count: int


def rate_around(times: Floats, sizes: Integers, moments: Floats, edges: Floats) -> Around:
    """Return the rate in bytes a second around moments; of those moments whose whole surroundings were captured."""
    covered = (
        moments[(moments + edges[0] >= times[0]) & (moments + edges[-1] <= times[-1])] if len(times) else moments[:0]
    )
    running = np.concatenate(([0], np.cumsum(sizes)))
    counts = running[np.searchsorted(times, covered[:, None] + edges[None, :])]
    rates = np.diff(counts, axis=1) / np.diff(edges)
    return _around(edges, [rates[:, column] for column in range(len(edges) - 1)], len(covered))


def values_around(times: Floats, values: Floats, moments: Floats, edges: Floats) -> Around:
    """Return single values, such as round-trip times, around moments: each one counts for the nearest moment."""
    nearest = np.searchsorted((moments[1:] + moments[:-1]) / 2, times) if len(moments) else np.zeros(0, np.int64)
    since = times - moments[nearest] if len(moments) else np.zeros(0)
    kept = values if len(moments) else np.zeros(0)
    return _around(edges, [kept[(since >= a) & (since < b)] for a, b in itertools.pairwise(edges)], len(moments))


def _around(edges: Floats, columns: Sequence[Floats], count: int) -> Around:
    quartiles = np.array([np.percentile(column, [25, 50, 75]) if len(column) else [np.nan] * 3 for column in columns])
    return Around(edges, quartiles[:, 0], quartiles[:, 1], quartiles[:, 2], count)
