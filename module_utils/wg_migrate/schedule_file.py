"""The schedule that the loop starts with, at boot too: written by the module migration."""

from __future__ import annotations

import json

from .errors import WgMigrateError
from .schedule import Schedule, parse, plain
from .system import System

PATH = "/etc/wg-migrate/schedule.json"


def load(system: System) -> Schedule:
    """Return the schedule.

    Raises WgMigrateError, which leaves the file's name out, where it is missing or holds no schedule.
    """
    try:
        text = system.read(PATH)
        if text is None:
            raise WgMigrateError("it is not there: start the loop with playbooks/migrate.yml")
        document = json.loads(text)
        if isinstance(document, dict) and set(document) == {"interval"}:
            document = {"period": document["interval"]}  # as the first version wrote it
        return parse(document)
    except (ValueError, RecursionError):
        raise WgMigrateError('it is not JSON: write an object such as {"period": 0.1}') from None


def dump(schedule: Schedule) -> str:
    """Return a schedule as the text of its file."""
    return json.dumps(plain(schedule)) + "\n"
