"""Where a run stands: hosts by phases, counts, failures. Only records change it, so a replay shows the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from wgm.record import RESULTS, Record


@dataclass
class Cell:
    """What a host has done in a phase. `task` is what it does there now; `stopped` says why it ended early."""

    done: int = 0
    changed: int = 0
    task: str = ""
    stopped: str = ""


@dataclass
class Failure:
    """What failed, in which task, and on which hosts with the same words."""

    kind: str
    play: str
    task: str
    text: str
    hosts: list[str] = field(default_factory=list)


@dataclass
class State:
    """A run. `phases` are the plays of its playbook, `now` the number of the one that runs, -1 before the first.

    `total` is how many results the last such run had, None where there was none. `results` counts those of this one.
    `status` is None until it has ended.
    """

    phases: list[str]
    total: int | None = None
    now: int = -1
    seconds: float = 0.0
    results: int = 0
    changed: int = 0
    hosts: dict[str, dict[int, Cell]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    output: list[str] = field(default_factory=list)
    status: int | None = None

    def take(self, record: Record) -> None:
        """Take what happened into account."""
        self.seconds = max(self.seconds, record.at)
        if record.kind == "play":
            self._begin(record.play)
        elif record.kind == "start":
            cell = self._cell(record.host)
            cell.task, cell.stopped = record.task, ""  # who goes on after a failure was rescued
        elif record.kind in RESULTS:
            self._end_task(record)
        elif record.kind == "outcome":
            self.outcomes[record.host] = record.text
        elif record.kind == "error":
            self.errors.append(record.text)
        elif record.kind == "output":
            self.output.append(record.text)

    def end(self, status: int, seconds: float) -> None:
        """Take into account that the run has ended, with this exit status after so many seconds."""
        self.status, self.seconds = status, seconds

    def _begin(self, play: str) -> None:
        self.now += 1
        if self.now == len(self.phases):
            self.phases.append(play)
        self.phases[self.now] = play

    def _cell(self, host: str) -> Cell:
        return self.hosts.setdefault(host, {}).setdefault(max(self.now, 0), Cell())

    def _end_task(self, record: Record) -> None:
        cell = self._cell(record.host)
        cell.done += 1
        cell.task = ""
        self.results += 1
        if record.kind == "changed":
            cell.changed += 1
            self.changed += 1
        elif record.kind in ("failed", "unreachable"):
            cell.stopped = record.kind
            self._fail(record)

    def _fail(self, record: Record) -> None:
        known = (record.kind, record.play, record.task, record.text)
        for failure in self.failures:
            if (failure.kind, failure.play, failure.task, failure.text) == known:
                break
        else:
            failure = Failure(*known)
            self.failures.append(failure)
        failure.hosts.append(record.host)

    def lasting(self) -> Sequence[Failure]:
        """Return the failures that count, not those that the playbook itself deals with, as its hosts go on.

        At the end Ansible tells each host's outcome: one that was not reached where that was ignored, and failed in the
        next task, has failed.
        """
        return [each for each in self.failures if any(self._lasts(each, host) for host in each.hosts)]

    def _lasts(self, failure: Failure, host: str) -> bool:
        if host in self.outcomes:
            return self.outcomes[host] == failure.kind
        return any(cell.stopped == failure.kind for cell in self.hosts[host].values())
