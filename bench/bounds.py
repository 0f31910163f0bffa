"""What each figure must be, whether it is, and the table that says so. Pure: nothing here measures."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class BenchError(Exception):
    """Something could not be measured; the message says what and why."""


@dataclass(frozen=True)
class Bound:
    """How large (`at_most`) or small a figure may be, and what is counted."""

    limit: float
    at_most: bool
    unit: str

    def holds(self, value: float) -> bool:
        """Tell whether a value keeps the bound; the limit itself does, and a value that is no number does not."""
        return value <= self.limit if self.at_most else value >= self.limit

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.limit:g}"


@dataclass(frozen=True)
class Figure:
    """A measured value, usually a median, and what each repeat gave; `details` is what else is worth keeping."""

    value: float
    repeats: Sequence[float]
    details: Mapping[str, Any] = field(default_factory=dict)


def _ratio(limit: float) -> Bound:
    return Bound(limit, at_most=False, unit="ratio")


def _most(limit: float, unit: str) -> Bound:
    return Bound(limit, at_most=True, unit=unit)


MODES = ("100ms", "1ms", "batch60")
"""How wg0 migrates, as the keys name it."""

BOUNDS: Mapping[str, Bound] = {
    "switch_cost_ratio": _ratio(100),
    "period_error_100ms": _most(0.01, "share"),
    "period_error_1ms": _most(0.02, "share"),
    **{f"ping_loss_excess_{mode}": _most(0.001, "share") for mode in MODES},
    "tcp_up_ratio_100ms": _ratio(0.97),
    "tcp_down_ratio_100ms": _ratio(0.97),
    "tcp_up_ratio_batch60": _ratio(0.95),
    "tcp_down_ratio_batch60": _ratio(0.95),
    "tcp_up_ratio_100ms_unshaped": _ratio(0.85),
    "tcp_down_ratio_100ms_unshaped": _ratio(0.85),
    "tcp_up_ratio_batch60_unshaped": _ratio(0.85),
    "tcp_down_ratio_batch60_unshaped": _ratio(0.85),
    "page_load_ratio_100ms": _most(1.15, "ratio"),
    "page_load_ratio_batch60": _most(1.15, "ratio"),
    "fragments": _most(0, "packets"),
    "split_error_weighted_70_30": _most(0.01, "share"),
    "max_share_violations": _most(0, "sessions"),
    "failover_seconds": _most(0.5, "s"),
    "loop_cpu_percent_100ms": _most(0.5, "% of a core"),
    "loop_cpu_percent_1ms": _most(8, "% of a core"),
    "leaks": _most(0, "packets"),
}
"""Every figure of a run, in the order of the table."""


def of_repeats(repeats: Sequence[float], details: Mapping[str, Any] | None = None) -> Figure:
    """Return the figure that is the median of its repeats. Raises BenchError where there are none."""
    if not repeats:
        raise BenchError("no repeat gave a value")
    return Figure(statistics.median(repeats), list(repeats), details or {})


def order_of_pair(number: int) -> tuple[str, str]:
    """Return who is measured first in pair NUMBER (from 0): they alternate, so that a drift of the machine cancels."""
    return ("static", "migrating") if number % 2 == 0 else ("migrating", "static")


def verdicts(figures: Mapping[str, Figure]) -> dict[str, dict[str, Any]]:
    """Return for each figure its bound and whether it holds, as plain data."""
    return {
        key: {"bound": str(BOUNDS[key]), "unit": BOUNDS[key].unit, "pass": BOUNDS[key].holds(figures[key].value)}
        for key in BOUNDS
        if key in figures
    }


def original_table(found: Mapping[str, Any]) -> str:
    """Return what the original loop did as a person reads it; nothing where it was not measured."""
    rows = [f"  {name:30} {short(value)}" for name, value in found.items() if isinstance(value, int | float)]
    return "\n".join(["\n", "the original's loop at 0.1 s", *rows]) if rows else ""


_ROW = "{:32} {:>10} {:>9}  {:7} {:>3}  {}"


def table(figures: Mapping[str, Figure], errors: Mapping[str, str]) -> str:
    """Return the figures as a person reads them: value, bound, verdict, number of repeats and their range."""
    lines = [_ROW.format("figure", "value", "bound", "", "n", "repeats")]
    for key, bound in BOUNDS.items():
        if key in figures:
            figure = figures[key]
            span = f"{short(min(figure.repeats))} to {short(max(figure.repeats))}" if len(figure.repeats) > 1 else ""
            verdict = "ok" if bound.holds(figure.value) else "MISSED"
            lines.append(_ROW.format(key, short(figure.value), str(bound), verdict, len(figure.repeats), span))
        elif key in errors:
            lines.append(_ROW.format(key, "-", str(bound), "NONE", 0, errors[key].splitlines()[0][:60]))
    return "\n".join(line.rstrip() for line in lines)


def short(value: float) -> str:
    """Return a number with four significant digits at most."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
