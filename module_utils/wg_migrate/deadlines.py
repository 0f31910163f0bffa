"""When to switch: deadlines on the monotonic clock. Pure: time comes in as an argument."""

from __future__ import annotations

import math
import random

MADE_UP = 10
MADE_UP_SECONDS = 0.1
"""How many late switches are made up for, or those of how many seconds if these are more: so long a busy machine may
keep a process waiting. After a longer halt there is no burst, the rest counts as missed."""


class Deadlines:
    """Deadlines a period apart, each period drawn anew, which do not drift with the time that a switch takes.

    `due` is when the next switch should be, `next` when it is to be made: later than `due` only while late switches
    are made up for, which are at least half a drawn period apart.
    """

    def __init__(self, period: float, jitter: float, rng: random.Random, now: float) -> None:
        self.period = period
        self._jitter = jitter
        self._made_up = max(MADE_UP * period, MADE_UP_SECONDS)
        self._rng = rng
        self.due = now + self._draw()
        self.next = self.due

    def advance(self, now: float) -> int:
        """Go on to the next deadline, a switch being made `now`; return how many were missed on the way."""
        period = self._draw()
        self.due += period
        missed = 0
        if self.due < now - self._made_up:
            missed = math.ceil((now - self.due) / self.period)
            self.due += missed * self.period
        self.next = max(self.due, now + period / 2)
        return missed

    def _draw(self) -> float:
        if not self._jitter:
            return self.period
        return self.period * (1 + self._jitter * self._rng.uniform(-1, 1))
