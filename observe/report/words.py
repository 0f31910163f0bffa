"""Figures in words, as the page has them."""

from __future__ import annotations

from observe.report.measure import Total


def size(count: float) -> str:
    """Return a number of bytes as a person reads it."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def cells(total: Total) -> list[str]:
    """Return a total as cells of a table: packets up and down, bytes up and down."""
    return [f"{total.packets_up}", f"{total.packets_down}", size(total.bytes_up), size(total.bytes_down)]


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share of 0 to 1 in percent, `?` where it is not known."""
    return "?" if share is None else f"{share * 100:.{digits}f} %"


def rate(count: int | None, seconds: float) -> str:
    """Return how many that are a second, `?` where it is not known."""
    return f"{count / seconds:.3g}" if count is not None and seconds > 0 else "?"


def span(seconds: float) -> str:
    """Return a length of time."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
