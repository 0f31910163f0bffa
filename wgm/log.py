"""A log of each run: a line of JSON each for what was asked, what happened, how it ended; for its owner only."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from wg_migrate.errors import WgMigrateError

from wgm.commands import COMMANDS, ROOT
from wgm.record import RESULTS, Record

PLACE = ROOT / "build" / "wgm"


@dataclass(frozen=True)
class Asked:
    """What was asked for. `words` are the command line's, `began` is in seconds since 1970; `total` is State's."""

    words: tuple[str, ...]
    command: str
    playbook: str
    phases: tuple[str, ...]
    inventory: tuple[str, ...]
    limit: str | None
    options: tuple[str, ...]
    began: float
    total: int | None = None

    def work(self) -> tuple[object, ...]:
        """Return what two runs have in common that did the same work on the same hosts."""
        return self.playbook, self.inventory, self.limit, self.options


@dataclass(frozen=True)
class Run:
    """A run from a log; `status` and `seconds` are None where it was cut off."""

    asked: Asked
    records: tuple[Record, ...]
    status: int | None
    seconds: float | None


class Log:
    """The log of a run that goes on; what is written is in its file at once."""

    def __init__(self, asked: Asked, place: Path = PLACE) -> None:
        """Begin the file. Raises WgMigrateError where it cannot be made."""
        moment = time.strftime("%Y-%m-%dT%H-%M-%S", time.localtime(asked.began))
        self.path = place / f"{moment}-{asked.command.replace(' ', '-')}-{os.getpid()}.jsonl"
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            problem = f"no log can be written in {place}: {error.strerror}; make that a directory of yours"
            raise WgMigrateError(problem) from None
        self._file: TextIO = os.fdopen(descriptor, "w")
        self._write({"asked": asdict(asked)})

    def write(self, record: Record) -> None:
        """Add what happened."""
        self._write({key: value for key, value in asdict(record).items() if value != ""})

    def end(self, status: int, seconds: float) -> None:
        """Say how the run ended."""
        self._write({"status": status, "seconds": round(seconds, 3)})

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def read(path: Path) -> Run:
    """Return the run that a log tells of. Raises WgMigrateError for what is no log of a run."""
    try:
        first, *lines = [json.loads(line) for line in path.read_text().splitlines()]
        asked: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in first["asked"].items()
        }
        last = lines.pop() if lines and "status" in lines[-1] else {}
        if asked["command"] not in COMMANDS:
            raise ValueError(asked["command"])
        records = tuple(Record(**{**line, "at": float(line["at"])}) for line in lines)
        return Run(Asked(**asked), records, last.get("status"), last.get("seconds"))
    except OSError as error:
        raise WgMigrateError(f"the log {path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise WgMigrateError(f"{path} is no log of a run: write one of those in {PLACE}") from None


def logs(place: Path = PLACE) -> list[Path]:
    """Return the logs, the newest first."""
    return sorted(place.glob("*.jsonl"), reverse=True)


def last(place: Path = PLACE) -> Path:
    """Return the newest log. Raises WgMigrateError where there is none."""
    for path in logs(place):
        return path
    raise WgMigrateError(f"there is no log of a run in {place} yet")


def total(asked: Asked, place: Path = PLACE) -> int | None:
    """Return how many results the last run like this had that went well to its end, None where there was none."""
    for run in _readable(place):
        if run.status == 0 and run.asked.work() == asked.work():
            return sum(record.kind in RESULTS for record in run.records)
    return None


def _readable(place: Path) -> Iterator[Run]:
    for path in logs(place):
        with contextlib.suppress(WgMigrateError):
            yield read(path)
