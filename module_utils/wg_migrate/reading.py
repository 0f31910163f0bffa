"""Numbers and paths as people write them: read once here, for playbooks, modules, the command and the loop alike.

And whatever was written, as a message may repeat it.
"""

from __future__ import annotations

from .errors import WgMigrateError

SHORTEST = 0.001
LONGEST = 86400.0
_LONGEST_PATH, _LONGEST_NAME = 1000, 255
"""Characters that are enough for a path, and bytes that a file's name may have."""
_MOST_SHOWN = 100
"""Characters: what a person can still take in, and an answer of the control socket has room for."""


def read_interval(value: object) -> float:
    """Return the interval between two switches, in seconds. Raises WgMigrateError unless it is from 0.001 to 86400."""
    return read_number("interval", value, SHORTEST, LONGEST, "0.1", "number of seconds")


def read_number(name: str, value: object, low: float, high: float, example: str, kind: str = "number") -> float:
    """Return a number from whatever a person wrote for it: a number, or text that is one.

    Raises WgMigrateError, with what to write instead, for anything that is not one from `low` to `high`.
    """
    wanted = f"write a {kind} from {low:.16g} to {high:.16g}, for example {example}"
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise WgMigrateError(f"{name} {shown(value)} is not a number: {wanted}")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise WgMigrateError(f"{name} {shown(value)} is not a number: {wanted}") from None
    if not low <= number <= high:  # false for NaN too
        raise WgMigrateError(f"{name} {shortened(str(value))} is out of range: {wanted}")
    return number


def read_path(name: str, value: object) -> str:
    """Return a path from what a person wrote for it. Raises WgMigrateError unless it is whole and names one place."""
    text = value if isinstance(value, str) else ""
    parts = text.split("/")
    whole = text.startswith("/") and text.isprintable() and text.strip("/") != "" and len(text) <= _LONGEST_PATH
    if not whole or {".", ".."} & set(parts) or max(len(part.encode()) for part in parts) > _LONGEST_NAME:
        raise WgMigrateError(f"{name} {shown(value)} is no path: write a whole one, for example /etc/wireguard")
    return text


def shown(value: object) -> str:
    """Return a value as a message repeats it: one line, however long or deep it is."""
    try:
        return shortened(repr(value))
    except (ValueError, RecursionError):  # thousands of digits, or lists in lists
        return f"a {type(value).__name__} without end"


def shortened(text: str) -> str:
    """Return a text as a message repeats it without quotes: one line, the rest of a long one left out."""
    printable = text if text.isprintable() else repr(text)[1:-1]
    return printable if len(printable) <= _MOST_SHOWN else f"{printable[:_MOST_SHOWN]}..."
