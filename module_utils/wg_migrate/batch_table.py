"""The table of batches that nftables walks through now: loaded, removed, and how far it has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from . import batches
from .batches import Batch
from .system import System
from .walk import Walk


class BatchTable:
    """`marks` are the paths' marks, in their order; the exit's address and port tell wg0's packets from others."""

    def __init__(self, system: System, marks: Sequence[str], exit_address: str, exit_port: int) -> None:
        self._system = system
        self._marks = list(marks)
        self._exit = (exit_address, exit_port)
        self._walk = Walk([], 0)
        self._passed: Counter[int] = Counter()
        self._may_stand = True  # one that a killed loop has left

    def load(self, drawn: Sequence[Batch]) -> None:
        """Put these batches in place of those before, at once.

        Raises WgMigrateError with what nft says where it refuses; what stood before then still stands.
        """
        batches.load(self._system, batches.body(drawn, self._marks, *self._exit))
        self._may_stand = True

    def unload(self) -> None:
        """Remove the table: packets then go by the main route. Raises WgMigrateError where that fails."""
        if self._may_stand:
            batches.unload(self._system)
            self._may_stand = False

    def begin(self, drawn: Sequence[Batch], sent: int) -> None:
        """Count from here on: these batches stand now, and so many packets had been sent by then."""
        self._passed += self._walk.passed(sent)
        self._walk = Walk(drawn, sent)

    def passed(self, sent: int) -> Counter[int]:
        """Return how many batches have begun on each path by now, after the first one of each table."""
        return self._passed + self._walk.passed(sent)
