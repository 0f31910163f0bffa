"""To which path to switch. Pure: what is up and what was carried comes in, randomness is a generator's.

Sources of the strategies: round robin, uniform, weighted random and batched weighted random (weights from a Dirichlet
distribution for each page load) are those that TrafficSliver measured (De la Cadena et al., CCS 2020).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from .schedule import Schedule, fit

FLOOR = 500.0
"""Packets from which on a session's shares are held to the cap: of ten packets, ten may well be on one path."""
_HORIZON = 16
"""Over how many draws strategy weighted evens out what chance has done to the weights."""
_TRIES = 200
"""How often the weights of a session are drawn before they are made to fit the cap."""


class Chooser:
    """Draws one path after another, by their numbers in the order of `names`. Raises WgMigrateError: see fit."""

    def __init__(self, schedule: Schedule, names: Sequence[str], rng: random.Random) -> None:
        self._schedule = schedule
        self._given = fit(schedule, names)
        self._rng = rng
        self._drawn = [0.0] * len(names)
        self._among: list[int] = []
        self._takes_turns = schedule.strategy == "round_robin" and schedule.max_share >= 1
        self.weights = self._given
        self.new_session()

    def new_session(self) -> None:
        """Draw the weights of a new session, where the strategy has such."""
        if self._schedule.strategy == "dirichlet" and self._given:
            count = len(self._given)
            self.weights = draw_weights(self._rng, self._schedule.alpha, count, self._schedule.max_share)

    def choose(
        self,
        active: int | None,
        eligible: list[int],
        carried: Sequence[float],
        size: float = 0.0,
        rooms: Sequence[float] | None = None,
        left: float = math.inf,
    ) -> int | None:
        """Return the next path, or None where none is eligible.

        `carried` are the packets that each path has carried in this session, `size` those that the next one is about
        to carry (0: unknown). `rooms`, where given, is for each path how far below the cap it would stay; `left` tells
        how many draws there are still, this one among them.
        """
        if not eligible:
            return None
        if self._takes_turns:
            return _in_turn(active, eligible)
        usable = self.usable(eligible)
        if usable != self._among:
            self._among = usable
            self._drawn = [0.0] * len(self._drawn)
        candidates = usable
        if self.alternates and len(usable) > 1:
            candidates = [path for path in usable if path != active]
        if self._schedule.max_share < 1:
            if rooms is None:
                most = self.cap(eligible) * max(sum(carried) + size, FLOOR) - size
                rooms = [most - packets for packets in carried]
            # The cap comes before no_repeat: with three paths or more the last one may be all that is below it.
            below = [path for path in candidates if rooms[path] >= 0]
            candidates = below or [max(usable, key=rooms.__getitem__)]
        path = candidates[0] if len(candidates) == 1 else self._draw(active, candidates, size or 1.0, left)
        self._drawn[path] += size or 1.0
        return path

    @property
    def alternates(self) -> bool:
        """Tell whether the path that was used last is left out."""
        return self._schedule.no_repeat or self._schedule.strategy == "round_robin"

    def usable(self, eligible: Sequence[int]) -> list[int]:
        """Return the eligible paths without those of weight 0, unless all of them are."""
        if self._schedule.strategy == "weighted":
            weighty = [path for path in eligible if self._given[path] > 0]
            return weighty or list(eligible)
        return list(eligible)

    def cap(self, eligible: Sequence[int]) -> float:
        """Return the share that a path may carry; where fewer are up than max_share needs, they share evenly."""
        return max(self._schedule.max_share, 1 / len(self.usable(eligible)))

    def _draw(self, active: int | None, candidates: list[int], size: float, left: float) -> int:
        strategy = self._schedule.strategy
        if strategy == "round_robin":
            return _in_turn(active, candidates)
        if strategy == "uniform":
            return candidates[int(self._rng.random() * len(candidates))]
        weights = [self.weights[path] for path in candidates]
        if strategy == "weighted":
            # As from an urn: a path that chance has favoured becomes less likely, so that the weights come out exact.
            total = sum(self._drawn) + max(1, min(_HORIZON, left)) * size
            among = sum(self.weights[path] for path in self._among) or 1.0
            owed = [max(0.0, self.weights[path] / among * total - self._drawn[path]) for path in candidates]
            weights = owed if sum(owed) > 0 else weights
        if sum(weights) <= 0:  # all that is up has weight 0
            weights = [1.0] * len(candidates)
        return self._rng.choices(candidates, weights)[0]


def _in_turn(active: int | None, candidates: Sequence[int]) -> int:
    """Return the candidate after the active path, in their order."""
    if active is not None:
        for path in candidates:
            if path > active:
                return path
    return candidates[0]


def draw_weights(rng: random.Random, alpha: float, count: int, most: float) -> list[float]:
    """Return weights from Dirichlet(alpha, ..., alpha), given that none is above `most`.

    Drawn again until they are; where that hardly ever happens, drawn towards equal weights as far as needed.
    """
    weights = [1 / count] * count
    for _ in range(_TRIES):
        gammas = [rng.gammavariate(alpha, 1.0) for _ in range(count)]
        total = sum(gammas)
        if total > 0:  # with a small alpha all of them may be too small for a float
            weights = [gamma / total for gamma in gammas]
            if max(weights) <= most:
                return weights
    largest, even = max(weights), 1 / count
    if largest <= most:
        return weights
    shrink = max(0.0, (most - even) / (largest - even))
    return [even + (weight - even) * shrink for weight in weights]
