"""Ask for the tunnel to be rebuilt: the loop may not make devices, so it leaves a file that systemd watches for.

`wg-migrate-repair.path` sees the file, and its service takes it away and runs `wg-migrate up`.
"""

from __future__ import annotations

from .system import System

REQUEST = "/run/wg-migrate/repair"
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_CALM = 120.0


class Repair:
    """Asks at most once a second, and more and more seldom while it does not help."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._pause = _FIRST_PAUSE
        self._last: float | None = None

    def ask(self, now: float) -> bool:
        """Ask, unless that was done shortly before; return whether it was asked. `now` is monotonic, in seconds."""
        if self._last is not None:
            if now < self._last + self._pause:
                return False
            self._pause = _FIRST_PAUSE if now > self._last + _CALM else min(_LONGEST_PAUSE, 2 * self._pause)
        self._last = now
        self._system.write(REQUEST, "")
        return True
