"""What a running loop counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Figures:
    """`lateness` in seconds, of the `timed` switches, made at deadlines; `missed` deadlines were not made up for."""

    switches: int = 0
    timed: int = 0
    missed: int = 0
    switches_failed: int = 0
    nudges: int = 0
    nudges_failed: int = 0
    repairs: int = 0
    lateness_sum: float = 0.0
    lateness_worst: float = 0.0
