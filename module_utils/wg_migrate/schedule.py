"""When to switch, and to which path. Pure: time comes in as an argument."""

from __future__ import annotations

import math
from collections.abc import Collection


class Deadlines:
    """Deadlines one interval apart on the monotonic clock, which do not drift with the time that a switch takes."""

    def __init__(self, interval: float, now: float) -> None:
        self.interval = interval
        self.next = now + interval

    def advance(self, now: float) -> int:
        """Go on to the first deadline after `now`; return how many were missed on the way.

        Missed deadlines are not made up for: after a suspended hour there is no burst of switches.
        """
        missed = max(0, math.floor((now - self.next) / self.interval))
        self.next += (missed + 1) * self.interval
        return missed

    def change(self, interval: float, now: float) -> None:
        """Take another interval from now on."""
        self.interval = interval
        self.next = now + interval


def round_robin(names: list[str], active: str, live: Collection[str]) -> str | None:
    """Return the path after the active one, in order, that has a live session; None where no other has."""
    start = names.index(active) if active in names else -1
    for step in range(1, len(names) + 1):
        candidate = names[(start + step) % len(names)]
        if candidate != active and candidate in live:
            return candidate
    return None
