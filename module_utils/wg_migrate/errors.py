"""The one exception that a person is meant to read."""

from __future__ import annotations


class WgMigrateError(Exception):
    """Something is refused or failed; the message says what was wrong and what to write or do instead."""
