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
_BELOW_ALL = 2.0**40
"""More than any number of packets."""
_TOO_LITTLE = 1e-6
"""Where the cap is as good as even shares, no batch would be short enough to keep it at every packet."""


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
    again: where so many batches are too few to make up for how the table begins, there are more of them.
    """
    shares = _Shares(schedule, before, chooser.cap(eligible), chooser.usable(eligible))
    batches: list[Batch] = []
    active: int | None = None
    for number in range(LARGEST):
        if number >= schedule.batches and shares.settled():
            break
        size = shares.shorten(draw_size(schedule, rng))
        left = schedule.batches - number
        path = chooser.choose(active, eligible, before, size, shares.rooms(size, left <= schedule.batches / 2), left)
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
    """What the paths carry in a table that is being drawn, and how far that is below the cap.

    With cap c, b packets of a session before the table, all in all B, and p of its first n packets on a path, b + p <=
    c * (B + n) shall hold from FLOOR on, however often the table is used. Before FLOOR the left side may be larger. By
    as much as it is at most, the excess, p stays below c * n at the table's end: then all later rounds hold, too.
    """

    def __init__(self, schedule: Schedule, before: Sequence[float], cap: float, paths: Sequence[int]) -> None:
        self._cap = cap
        self._paths = paths
        self._before = list(before)
        self._own = [0.0] * len(before)
        # Of what a path has carried too much, a table makes up for no more than a session may begin with: it lasts, and
        # sooner or later the session's shares are those of the table.
        most = FLOOR * cap * (1 - cap)
        self._start = [max(-most, min(most, each - cap * sum(before))) for each in before]
        self._excess = [max(0.0, each) for each in self._start]
        self._slack = cap - 1 / len(paths)
        """By how much of the table's packets a path can be below the cap while all carry the same."""
        size = sum(schedule.packets) / 2 if schedule.packets else schedule.packets_mean or 0.0
        # The excess is at most c * (1 - c) of the packets that go free. A short table makes up for few.
        self._floor = max(0.0, FLOOR - sum(before))
        self._free = min(self._floor, schedule.batches * size * self._slack / max(1e-9, 4 * cap * (1 - cap)))

    def shorten(self, size: int) -> int:
        """Return the size of a batch, cut short where no path has so much room."""
        if self._cap >= 1 or self._slack < _TOO_LITTLE:
            return size
        every = self._all()
        longest = max(
            min(
                self._longest(sum(self._own), self._start[path] + self._own[path], self._floor),
                self._longest(sum(every), every[path], FLOOR),
            )
            for path in self._paths
        )
        return min(size, int(longest)) if longest >= 1 else size

    def rooms(self, size: int, closing: bool) -> list[float] | None:
        """Return how far below the cap each path stays with so many packets more; above it, a negative number.

        None stands for a cap that caps nothing.
        """
        if self._cap >= 1:
            return None
        own_most = self._most(self._own, size, 0.0 if closing else self._free)
        every = self._all()
        own_bound, all_bound = self._most(self._own, size, self._floor), self._most(every, size, FLOOR)
        rooms = []
        for own, start, excess, all_ in zip(self._own, self._start, self._excess, every):
            own_room = own_most - own - (excess if closing else start)
            all_room = all_bound - all_
            if min(own_room, all_room) >= 0:
                rooms.append(own_room)
            elif closing and own_room >= 0:
                rooms.append(all_room - _BELOW_ALL)  # what a session has too much of its table has not
            elif min(own_bound - own - start, all_room) >= 0:
                rooms.append(own_room - 2 * _BELOW_ALL)
            else:
                rooms.append((all_room if own_room >= 0 else own_room - _BELOW_ALL) - 3 * _BELOW_ALL)
        return rooms

    def add(self, path: int, size: int) -> None:
        """Put a batch on a path."""
        self._own[path] += size
        excess = self._start[path] + self._own[path] - self._cap * sum(self._own)
        self._excess[path] = max(self._excess[path], excess)

    def settled(self) -> bool:
        """Tell whether the table may end here and begin again; where nothing would help, it may."""
        if self._cap >= 1 or self._slack < _TOO_LITTLE:
            return True
        most = self._cap * sum(self._own)
        return all(own <= most - excess for own, excess in zip(self._own, self._excess))

    def _all(self) -> list[float]:
        return [before + own for before, own in zip(self._before, self._own)]

    def _most(self, carried: Sequence[float], size: int, free: float) -> float:
        return self._cap * max(sum(carried) + size, free) - size

    def _longest(self, total: float, carried: float, free: float) -> float:
        """Return how many packets more may go on a path that has carried so many of a total, where so many go free."""
        return max(self._cap * free - carried, (self._cap * total - carried) / (1 - self._cap))


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
    return f"""
	chain output {{
		type route hook output priority mangle - 10; policy accept;
		ip daddr {exit_address} udp dport {exit_port} meta mark set {value}
	}}
"""


def load(system: System, text: str) -> None:
    """Put the table with this body in place, at once; the namespace is the one that we are in.

    Raises WgMigrateError with what nft says where it refuses; what stood before then still stands.
    """
    system.run(["nft", "-f", "-"], stdin=nft.render(TABLE, text))


def unload(system: System) -> None:
    """Remove the table, if it stands: packets then go by the main route."""
    if system.attempt(["nft", "list", "table", "inet", TABLE]).status == 0:
        outcome = system.attempt(["nft", "delete", "table", "inet", TABLE])
        if outcome.status != 0:
            raise WgMigrateError(f"the table of batches cannot be removed: {outcome.stderr.strip()}")
