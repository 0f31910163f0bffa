"""The interval between two switches: read once here, for the playbooks, the modules, the command and the loop alike."""

from __future__ import annotations

import math

from .errors import WgMigrateError

SHORTEST = 0.001
LONGEST = 86400.0


def read_interval(value: object) -> float:
    """Return an interval in seconds from whatever a person wrote: a number, or text that is one.

    Raises WgMigrateError for anything that is not a number from 0.001 to 86400.
    """
    wanted = f"write a number of seconds from {SHORTEST:g} to {LONGEST:g}, for example 0.1"
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise WgMigrateError(f"interval {value!r} is not a number: {wanted}")
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        raise WgMigrateError(f"interval {value!r} is not a number: {wanted}") from None
    if math.isnan(seconds) or not SHORTEST <= seconds <= LONGEST:
        raise WgMigrateError(f"interval {value} is out of range: {wanted}")
    return seconds
