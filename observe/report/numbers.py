"""The findings as plain data, for --json: what the pictures show, and no more, so that it stays small."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from observe.report.findings import Findings
from observe.report.measure import Bursts, Switches
from observe.report.roundtrips import RoundTrips
from observe.report.traces import View

MOST_LISTED = 10_000
"""Switches, bursts and leaks that are listed one by one; of more, the first so many, and a count tells of all."""
_DIGITS = 6
"""Behind the point: a microsecond."""


def numbers(found: Findings) -> dict[str, Any]:
    """Return all figures. Times are seconds since the capture began, sizes bytes; docs/report.md describes the keys."""
    return {
        "capture": {
            "started": found.capture.started,
            "seconds": found.capture.seconds,
            "command": list(found.capture.command) if found.capture.command else None,
            "client": found.capture.client,
            "paths": [path.name for path in found.capture.network.paths],
        },
        "points": [
            {
                "name": each.point.name,
                "role": each.point.role,
                "packets": each.count,
                "of_the_client": {layer: len(view.trace) for layer, view in each.views.items()},
                "dropped": each.point.dropped,
                "clock_offset": each.point.clock_offset,
                "problems": list(each.problems),
            }
            for each in found.evidence
        ],
        **{
            name: _plain(getattr(found, name))
            for name in ("glance", "shares", "observers", "switches", "bursts", "across", "leaks")
        },
        "missing": found.missing,
    }


def _plain(value: Any) -> Any:
    """Return dataclasses, arrays and what is in them as lists, objects and numbers; None for what is no number."""
    if isinstance(value, View):
        return {"point": value.point, "role": value.role, "layer": value.layer, "packets": len(value.trace)}
    if isinstance(value, RoundTrips):
        return {"kind": value.kind, "count": len(value), "median": _plain(float(np.median(value.seconds)))}
    if isinstance(value, (Switches, Bursts)):
        return {"count": len(value)} | _plain(vars(value))
    if dataclasses.is_dataclass(value):
        return _plain(vars(value))
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        return [_plain(each) for each in value[:MOST_LISTED].tolist()]
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return _number(value) if isinstance(value, float) else value


def _number(value: float) -> float | None:
    return round(value, _DIGITS) if math.isfinite(value) else None
