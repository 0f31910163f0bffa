"""When to try again what may not help: soon at first, and more and more seldom."""

from __future__ import annotations

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_CALM = 120.0
"""Seconds. Each pause is twice the one before; after so long a time without a try the next counts as the first."""


class Spacing:
    """Times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self._pause = _FIRST_PAUSE
        self._last: float | None = None

    @property
    def next(self) -> float:
        """When the next try may be."""
        return 0.0 if self._last is None else self._last + self._pause

    def tried(self, now: float) -> None:
        """Take note of a try."""
        if self._last is not None:
            self._pause = _FIRST_PAUSE if now > self._last + _CALM else min(_LONGEST_PAUSE, 2 * self._pause)
        self._last = now
