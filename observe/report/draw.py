"""The pictures, from findings to SVG. What they say is measured elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from observe.report.asked import SECONDS, TOLERANCE, Asked
from observe.report.capture import Capture
from observe.report.findings import Across, Bursts, Glance, Observer, Part, Shares
from observe.report.leaks import Leaks
from observe.report.measure import Around, Series, Switches, Total
from observe.report.packets import Floats, Integers
from observe.report.style import (
    ALARM,
    FAINT,
    INK,
    PALE,
    drawing,
    figure,
    key,
    say_directions,
    sign,
    svg,
    two_ways,
)

MOST_MARKS = 60
"""Switches that are drawn one by one; more of them would be a grey area."""
_MEGABITS = 8e-6
_MOST_LINES = 1500


def glance(found: Glance, capture: Capture) -> bytes:
    """Draw one stretch of traffic: the whole, and below it, at the same scale, what each proxy saw of it."""
    with drawing():
        made, grid = figure(1 + len(found.parts), 1, [1.8, *[1.3] * len(found.parts)], sharex=True, sharey=True)
        rows = [row[0] for row in grid]
        factor = 1e3 if found.end - found.begin < 1 else 1.0
        edges = (found.whole[0].edges - found.begin) * factor
        numbers = range(len(found.whole)) if len(found.whole) > 1 else [-1]
        _stacked(rows[0], edges, [_rates(series) for series in found.whole], list(numbers))
        rows[0].set_title(f"The whole: all that {capture.client} sends and gets")
        for axes, part in zip(rows[1:], found.parts, strict=True):
            _part(axes, edges, part, found, capture)
        if len(found.switches) <= MOST_MARKS:
            for axes in rows:
                for time in found.switches.times:
                    axes.axvline((time - found.begin) * factor, color=FAINT, linewidth=0.5, linestyle=(0, (1, 2)))
        for axes in rows:
            two_ways(axes, "Mbit/s")
            say_directions(axes)
        rows[-1].set_xlabel("milliseconds" if factor > 1 else "seconds")
        rows[-1].set_xlim(0, edges[-1])
        return svg(made)


def _part(axes: Axes, edges: Floats, part: Part, found: Glance, capture: Capture) -> None:
    """Draw what one proxy saw, upon a pale shape of the whole."""
    name = capture.network.paths[part.path].proxy.name
    for side in (0, 1):
        axes.stairs(sum(_rates(series)[side] for series in found.whole), edges, fill=True, color=PALE)
    if part.series is None or part.seen is None:
        axes.set_title(f"Proxy {name}: not known, for there is no capture of it")
        return
    _stacked(axes, edges, [_rates(part.series)], [part.path])
    whole = amount(found.sent)
    share = f"{amount(part.seen) / whole * 100:.0f} % of the bytes" if whole else "nothing"
    axes.set_title(f"All that proxy {name} sees: {share} (pale: what it does not see)")


def amount(total: Total) -> int:
    """Return the bytes up and down."""
    return total.bytes_up + total.bytes_down


def _rates(series: Series) -> tuple[Floats, Floats]:
    """Return the rates up, and down as negative ones, in Mbit/s."""
    return series.bytes_up * _MEGABITS / series.width, -series.bytes_down * _MEGABITS / series.width


def _stacked(axes: Axes, edges: Floats, parts: Sequence[tuple[Floats, Floats]], numbers: Sequence[int]) -> None:
    """Draw the rates of paths as steps, one upon the other."""
    for side in (0, 1):
        base = np.zeros(len(edges) - 1)
        for part, number in zip(parts, numbers, strict=True):
            top, style = base + part[side], sign(number)
            axes.stairs(
                top, edges, baseline=base, fill=True, facecolor=style.colour, edgecolor=INK, hatch=style.hatch, lw=0
            )
            base = top


def observers(found: Sequence[Observer], switches: Switches | None, capture: Capture) -> bytes:
    """Draw what each point saw over the whole time: packets and bytes, per path, with the switches marked."""
    with drawing():
        made, grid = figure(len(found), 2, [1.55] * len(found), sharex=True, sharey="col")
        edges = found[0].series[0].edges
        for row, each in zip(grid, found, strict=True):
            packets = [(one.packets_up / one.width, -one.packets_down / one.width) for one in each.series]
            _stacked(row[0], edges, packets, each.paths)
            _stacked(row[1], edges, [_rates(series) for series in each.series], each.paths)
            row[0].set_title(f"{each.view.point} ({each.view.role}, {each.view.layer} layer)")
            two_ways(row[0], "packets/s")
            two_ways(row[1], "Mbit/s")
            for axes in row:
                say_directions(axes)
                if switches is not None and len(switches) <= MOST_MARKS:
                    _mark(axes, switches)
        for axes in grid[-1]:
            axes.set_xlabel("seconds since the capture began")
            axes.set_xlim(edges[0], edges[-1])
        numbers = sorted({number for each in found for number in each.paths})
        key(made, [(number, capture.network.paths[number].name if number >= 0 else "all") for number in numbers])
        return svg(made)


def _mark(axes: Axes, switches: Switches) -> None:
    """Mark the switches at the lower edge, each in the sign of the path that it leads to."""
    for number in np.unique(switches.after).tolist():
        times, style = switches.times[switches.after == number], sign(number)
        axes.plot(
            times, np.zeros(len(times)), style.marker, ms=2.4, color=style.colour, markeredgecolor=INK,
            markeredgewidth=0.3, transform=axes.get_xaxis_transform(), clip_on=False,
        )  # fmt: skip


def shares(found: Shares, capture: Capture) -> bytes:
    """Draw each path's share of packets and bytes, up and down."""
    rows = ("packets_up", "packets_down", "bytes_up", "bytes_down")
    with drawing():
        made, grid = figure(1, 1, [0.45 + 0.38 * len(rows)])
        axes = grid[0][0]
        for place, row in enumerate(rows):
            left = 0.0
            for number, path in enumerate(capture.network.paths):
                share = found.paths[number].share(found.whole)[row] or 0.0
                _bar(axes, place, left, share, number, path.name)
                left += share
        axes.set_yticks(range(len(rows)), [row.replace("_", " ") for row in rows])
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)
        return svg(made)


def _bar(axes: Axes, place: int, left: float, share: float, number: int, name: str) -> None:
    style = sign(number)
    axes.barh(place, share, left=left, height=0.7, color=style.colour, edgecolor=INK, hatch=style.hatch, linewidth=0.5)
    if share > 0.1:  # narrower ones have no room for words; the table has them
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.6}
        words = f"{name}  {share * 100:.1f} %"
        axes.text(left + share / 2, place, words, ha="center", va="center", fontsize=8, bbox=box)


def bursts(found: Bursts) -> bytes:
    """Draw how long the bursts were, beside what the schedule asked for."""
    asked = found.asked
    in_seconds = asked is not None and asked.unit == SECONDS
    lengths = found.kept.lengths if found.kept else found.bursts.packets.astype(np.float64)
    factor, unit = (1e3, "milliseconds") if in_seconds else (1.0, "packets")
    with drawing():
        made, grid = figure(1, 1, [2.3])
        axes = grid[0][0]
        low, high = _asked_for(axes, asked, factor) if asked else (np.inf, -np.inf)
        edges = _histogram_edges(lengths * factor, low, high, whole=not in_seconds)
        axes.hist(
            np.clip(lengths * factor, edges[0], edges[-1]), list(edges), color=sign(0).colour, edgecolor="white", lw=0.4
        )
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xlabel(f"length of a burst, {unit}")
        axes.set_ylabel("bursts")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        return svg(made)


def _asked_for(axes: Axes, asked: Asked, factor: float) -> tuple[float, float]:
    """Mark what was asked for and return from where to where it is."""
    if asked.low is None or asked.high is None:
        mean = asked.mean or 0.0
        axes.axvline(mean, color=ALARM, linestyle=(0, (5, 2)))
        axes.text(mean, 1.02, "asked for, on average", transform=axes.get_xaxis_transform(), ha="center")
        return mean, mean
    # The range as it is judged: a switch in time is seen up to so much late.
    slack = TOLERANCE * (asked.low + asked.high) / 2 if asked.unit == SECONDS else 0.5
    low, high = (asked.low - slack) * factor, (asked.high + slack) * factor
    axes.axvspan(low, high, facecolor="#f4f4f4", edgecolor=ALARM, hatch="///", linewidth=1, zorder=0, alpha=0.6)
    axes.text((low + high) / 2, 1.02, "asked for", transform=axes.get_xaxis_transform(), ha="center")
    return low, high


def _histogram_edges(values: Floats, low: float, high: float, whole: bool) -> Floats:
    """Return the bins that hold the values and what was asked for; the last also holds the longest few."""
    low, high = min(low, float(values.min())), max(high, float(np.percentile(values, 99)))
    margin = max(0.2 * (high - low), 0.02 * high)
    low, high = max(0.0, low - margin), high + margin
    step = max(1.0, np.ceil((high - low) / 80)) if whole else (high - low) / 80
    begin = np.floor(low) - 0.5 if whole else low
    return begin + np.arange(int((high - begin) / step) + 2) * step


def across(found: Across) -> bytes:
    """Draw throughput and round-trip time around the switches, laid over one another."""
    with drawing():
        made, grid = figure(1, 2 if found.round_trip else 1, [2.4], sharex=True)
        rates = grid[0][0]
        _band(rates, found.down, 0, "down", _MEGABITS)
        _band(rates, found.up, 1, "up", _MEGABITS)
        rates.set_title("Throughput")
        rates.set_ylabel("Mbit/s")
        if found.round_trip:
            _band(grid[0][1], found.round_trip, 2, "round trip", 1e3)
            grid[0][1].set_title("Round-trip time")
            grid[0][1].set_ylabel("milliseconds")
        for axes in grid[0]:
            axes.axvline(0, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
            axes.set_xlabel("milliseconds from the switch")
            axes.set_ylim(bottom=0)
            axes.set_xlim(found.down.edges[0] * 1e3, found.down.edges[-1] * 1e3)
            axes.margins(y=0.1)
        return svg(made)


def _band(axes: Axes, around: Around, number: int, label: str, factor: float) -> None:
    style = sign(number)
    middle = (around.edges[:-1] + around.edges[1:]) / 2 * 1e3
    known = ~np.isnan(around.middle)
    low, median, high = (values[known] * factor for values in (around.low, around.middle, around.high))
    axes.fill_between(middle[known], low, high, color=style.colour, alpha=0.25, linewidth=0)
    axes.plot(middle[known], median, color=style.colour, linestyle=style.line, marker=style.marker, ms=3, lw=1.2)
    if known.any():
        axes.annotate(
            label,
            (middle[known][-1], median[-1]),
            (4, 0),
            textcoords="offset points",
            va="center",
            annotation_clip=False,
        )


def leaked(found: Leaks, seconds: float) -> bytes:
    """Draw when packets leaked."""
    with drawing():
        made, grid = figure(1, 1, [1.0])
        axes = grid[0][0]
        few: Integers = np.linspace(0, len(found.times) - 1, min(len(found.times), _MOST_LINES)).astype(np.int64)
        axes.vlines(found.times[few], 0, 1, color=ALARM, linewidth=1.2)
        axes.set_yticks([])
        axes.grid(visible=False)
        axes.set_xlim(min(0.0, float(found.times.min())), max(seconds, float(found.times.max())))
        axes.set_xlabel("seconds since the capture began")
        axes.spines["left"].set_visible(False)
        return svg(made)
