"""Where a schedule's randomness comes from."""

from __future__ import annotations

import random


class Replay(random.Random):
    """The same draws for the same seed, for tests and benchmarks: whoever knows the seed can tell every switch."""


def generator(seed: int | None) -> random.Random:
    """Return the system's CSPRNG, or with a seed a generator that replays."""
    return random.SystemRandom() if seed is None else Replay(seed)
