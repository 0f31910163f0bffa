"""How far a host's clock is from the controller's: asked over the connection, as NTP does. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

ENOUGH = 8
"""Questions after which the quickest answer is quick enough: the others waited for a processor or a queue."""


@dataclass(frozen=True)
class Sample:
    """One question: when the controller sent it and had the answer, by its clock, and what the host's said; ns."""

    sent: int
    received: int
    host: int

    @property
    def round_trip(self) -> int:
        """Nanoseconds."""
        return self.received - self.sent


@dataclass(frozen=True)
class Offset:
    """The host's clock minus the controller's, and by how much that may be wrong; nanoseconds."""

    nanoseconds: int
    error: int


def estimate(samples: Iterable[Sample]) -> Offset:
    """Return the offset by the quickest answer: the host's clock was read at some time between question and answer.

    Answers of a negative time, when the controller's clock was set back meanwhile, tell nothing. Raises ValueError
    where no other is left.
    """
    best = min((sample for sample in samples if sample.round_trip >= 0), key=lambda sample: sample.round_trip)
    return Offset(best.host - (best.sent + best.received) // 2, (best.round_trip + 1) // 2)
