"""Ask for the tunnel to be rebuilt: the loop may not make devices, so it leaves a file that systemd watches for.

`wg-migrate-repair.path` sees the file, and its service takes it away and runs `wg-migrate up`.
"""

from __future__ import annotations

from .spacing import Spacing
from .system import System

REQUEST = "/run/wg-migrate/repair"


class Repair:
    """Asks at most once a second, and more and more seldom while it does not help."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._spacing = Spacing()

    def ask(self, now: float) -> bool:
        """Ask, unless that was done shortly before; return whether it was asked. `now` is monotonic, in seconds."""
        if now < self._spacing.next:
            return False
        self._spacing.tried(now)
        self._system.write(REQUEST, "")
        return True
