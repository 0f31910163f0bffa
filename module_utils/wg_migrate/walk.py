"""How far nftables has walked through a table of batches, by the packets that were sent."""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Sequence

from .batches import Batch


class Walk:
    """The table that stands now, and how many packets had been sent when it was put there."""

    def __init__(self, batches: Sequence[Batch], sent_before: int) -> None:
        self.batches = list(batches)
        self._sent_before = sent_before
        self._ends = list(itertools.accumulate(batch.packets for batch in batches))

    def passed(self, sent: int) -> Counter[int]:
        """Return how often the packets sent by then have changed over to each path, by the path's number."""
        walked = sent - self._sent_before
        if len(self.batches) < 2 or walked < 1:
            return Counter()
        rounds, last = divmod(walked - 1, self._ends[-1])
        begun = bisect.bisect_right(self._ends, last) + 1
        counted = Counter(batch.path for batch in self.batches[1:begun])
        for path, number in Counter(batch.path for batch in self.batches[1:]).items():
            counted[path] += rounds * number
        if self.batches[0].path != self.batches[-1].path:
            counted[self.batches[0].path] += rounds
        return counted
