"""Batches of packets without a process: a table of random batches that nftables walks through, packet by packet.

`numgen inc` counts the packets that the socket of wg0 sends, a map turns the number into the mark of a path, and a rule
of namespace wgnet turns the mark into the path's own routing table (tunnel_want).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from . import nft
from .choice import FLOOR, Chooser
from .errors import WgMigrateError
from .schedule import Schedule
from .system import System

TABLE = "wg_migrate_batches"
LARGEST = 8192
"""Batches of a table."""
_TOO_LITTLE = 1e-6
"""Where the cap is as good as even shares, no batch is short enough to keep it at every packet."""


@dataclass(frozen=True)
class Batch:
    """So many packets in a row on one path, which is given by its number."""

    path: int
    packets: int


def draw_size(schedule: Schedule, rng: random.Random) -> int:
    """Return the size of the next batch, in packets."""
    if schedule.packets:
        return rng.randint(*schedule.packets)
    assert schedule.packets_mean is not None
    if schedule.packets_mean <= 1:
        return 1
    # Rounded up, an exponential variable is a geometric one, whose mean is 1 / (1 - exp(-rate)).
    return max(1, math.ceil(rng.expovariate(-math.log1p(-1 / schedule.packets_mean))))


def draw_batches(
    schedule: Schedule, chooser: Chooser, eligible: list[int], rng: random.Random, before: Sequence[float]
) -> list[Batch]:
    """Return the batches of a session, drawn one after the other; neighbours on the same path become one.

    `before` are the packets that each path has carried in this session already, `eligible` the paths that are up, one
    at least. The cap on a path's share holds at every packet from FLOOR on, also when the table is used again and
    again: batches are cut short for it, and where so many are too few to make up for how the table begins, there are
    more of them.
    """
    shares = _Shares(schedule, before, chooser.cap(eligible), chooser.usable(eligible))
    batches: list[Batch] = []
    active: int | None = None
    for number in range(LARGEST):
        if number >= schedule.batches and shares.settled():
            break
        left = schedule.batches - number
        rooms, longest = shares.rooms(closing=left <= schedule.batches / 2)
        size = draw_size(schedule, rng)
        if 1 <= longest < size:
            size = int(longest)
        path = chooser.choose(active, eligible, before, size, [room - size for room in rooms], left)
        assert path is not None
        last = number >= schedule.batches - 1 and shares.settled()
        if last and chooser.alternates and len(batches) > 2 and path == batches[0].path:
            break  # the table begins with this path again
        shares.add(path, size)
        if path == active:
            batches[-1] = Batch(path, batches[-1].packets + size)
        else:
            batches.append(Batch(path, size))
        active = path
    return batches


class _Shares:
    """What the paths carry in a table that is being drawn, and how much more each may carry.

    Let c be the cap, n the packets of the table so far, k those on a path, and s by how many packets it is above the
    cap from before (below: negative). Then s + k <= c * n shall hold from FLOOR on, however often the table is used.
    Before FLOOR, s + k - c * n may be positive; the most that it was is the path's excess. Where k <= c * n - excess
    holds at the table's end, it holds in every later round, too.
    """

    def __init__(self, schedule: Schedule, before: Sequence[float], cap: float, paths: Sequence[int]) -> None:
        self._cap = cap
        self._paths = paths
        self._capping = cap < 1 and cap - 1 / len(paths) >= _TOO_LITTLE
        self._carried = [0.0] * len(before)
        # A table makes up for no more than a session may begin with: it lasts, and sooner or later the session's shares
        # are those of the table.
        most = FLOOR * cap * (1 - cap)
        self._above = [max(-most, min(most, each - cap * sum(before))) for each in before]
        self._excess = [max(0.0, each) for each in self._above]
        # The excess is at most c * (1 - c) of the packets that go free. A short table makes up for few of them.
        size = sum(schedule.packets) / 2 if schedule.packets else schedule.packets_mean or 0.0
        slack = schedule.batches * size * (cap - 1 / len(paths))
        self._free = min(max(0.0, FLOOR - sum(before)), slack / max(1e-9, 4 * cap * (1 - cap)))

    def rooms(self, closing: bool) -> tuple[list[float], float]:
        """Return how many packets more each path may carry in a row, and the most that one may.

        `closing` tells that the table's end is near: as long as a path has room for that, the others have none.
        """
        if self._cap >= 1:
            return [math.inf] * len(self._carried), math.inf
        rooms = self._rooms(self._excess, 0.0) if closing else []
        longest = max(rooms[path] for path in self._paths) if rooms else 0.0
        if longest < 1:
            rooms = self._rooms(self._above, self._free)
            longest = max(rooms[path] for path in self._paths)
        return rooms, longest if self._capping else math.inf

    def _rooms(self, above: Sequence[float], free: float) -> list[float]:
        """Return how many packets more each path may carry before it has `above` less than the cap allows."""
        cap, total = self._cap, sum(self._carried)
        taken = [carried + each for carried, each in zip(self._carried, above)]
        return [max(cap * free - each, (cap * total - each) / (1 - cap)) for each in taken]

    def add(self, path: int, size: int) -> None:
        """Put a batch on a path."""
        self._carried[path] += size
        above = self._above[path] + self._carried[path] - self._cap * sum(self._carried)
        self._excess[path] = max(self._excess[path], above)

    def settled(self) -> bool:
        """Tell whether the table may end here and begin again."""
        most = self._cap * sum(self._carried)
        return not self._capping or all(
            carried <= most - excess for carried, excess in zip(self._carried, self._excess)
        )


def body(batches: Sequence[Batch], marks: Sequence[str], exit_address: str, exit_port: int) -> str:
    """Return the body of the nft table: each packet of wg0 gets the mark of its batch's path.

    The chain stands before the one that marks what is not marked yet (firewall.outer_rules).
    """
    ranges, start = [], 0
    for batch in batches:
        ranges.append(f"{start}-{start + batch.packets - 1} : {marks[batch.path]}")
        start += batch.packets
    walk = f"numgen inc mod {start} map {{ {', '.join(ranges)} }}"
    value = walk if len(batches) > 1 else marks[batches[0].path]
    word = "ip6" if ":" in exit_address else "ip"
    return f"""
	chain output {{
		type route hook output priority mangle - 10; policy accept;
		{word} daddr {exit_address} udp dport {exit_port} meta mark set {value}
	}}
"""


def load(system: System, text: str) -> None:
    """Put the table with this body in place, at once; the namespace is the one that we are in.

    Raises WgMigrateError with what nft says where it refuses; what stood before then still stands.
    """
    system.run(["nft", "-f", "-"], stdin=nft.render(TABLE, text))


def unload(system: System) -> None:
    """Remove the table, if it stands: packets then go by the main route."""
    outcome = system.attempt(["nft", "-f", "-"], stdin=f"table inet {TABLE}\ndelete table inet {TABLE}\n")
    if outcome.status != 0:
        raise WgMigrateError(f"the table of batches cannot be removed: {outcome.stderr.strip()}")
