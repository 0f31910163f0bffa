"""The one exception that a person is meant to read, and how a module tells it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Callable


class WgMigrateError(Exception):
    """Something is refused or failed; the message says what was wrong and what to write or do instead."""


@contextlib.contextmanager
def told_by(tell: Callable[[str], object]) -> Iterator[None]:
    """End the block by telling what was refused, or what the system would not do; `tell` does not return."""
    try:
        yield
    except WgMigrateError as error:
        tell(str(error))
    except OSError as error:
        tell(f"{error.filename or 'the system'}: {error.strerror or error}")
