"""The schedule that the loop starts with, at boot too: written by the module migration."""

from __future__ import annotations

import json

from .errors import WgMigrateError
from .interval import read_interval
from .system import System

PATH = "/etc/wg-migrate/schedule.json"


def load(system: System) -> float:
    """Return the interval in seconds. Raises WgMigrateError where the file is missing or no schedule."""
    text = system.read(PATH)
    if text is None:
        raise WgMigrateError(f"{PATH} is not there: start the loop with playbooks/migrate.yml")
    try:
        document = json.loads(text)
        return read_interval(document["interval"])
    except (ValueError, KeyError, TypeError):
        raise WgMigrateError(f'{PATH} is no schedule: write {{"interval": 0.1}}') from None


def dump(interval: float) -> str:
    """Return a schedule as the text of its file."""
    return json.dumps({"interval": interval}) + "\n"
