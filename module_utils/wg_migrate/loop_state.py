"""The loop as a service: running or not, now and at boot, and with which schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import config, control, schedule_file
from .config import Config
from .errors import WgMigrateError
from .installed_code import fingerprint
from .schedule import WHEN, Schedule, fit, parse, plain
from .system import System
from .tunnel_apply import LOOP_UNIT
from .tunnel_want import known_paths

WRITE = f"write {schedule_file.PATH}"
REMOVE = f"remove {schedule_file.PATH}"
TELL = "tell the running loop its schedule"
ENABLE = f"enable {LOOP_UNIT}"
START = f"start {LOOP_UNIT}"
STOP = f"stop {LOOP_UNIT}"
DISABLE = f"disable {LOOP_UNIT}"


@dataclass(frozen=True)
class LoopState:
    """Whether the loop runs and starts at boot, and its schedules: in the file, and of the running loop."""

    active: bool
    enabled: bool
    written: Schedule | None
    running: Schedule | None

    def readable(self) -> dict[str, Any]:
        """Return the state as plain data, for results and diffs."""
        return _readable(self.active, self.enabled, self.running if self.active else self.written)


@dataclass(frozen=True)
class Wanted:
    """With a stopped loop, `schedule` None keeps the one that is written."""

    state: str
    schedule: Schedule | None

    def readable(self) -> dict[str, Any]:
        """Return the state as plain data, for results and diffs."""
        started = self.state == "started"
        return _readable(started, started, self.schedule)


def _readable(active: bool, at_boot: bool, schedule: Schedule | None) -> dict[str, Any]:
    # A stopped loop has no schedule that would tell anything; the one in the file stays.
    state = "started" if active else "stopped"
    return {"state": state, "at_boot": at_boot, "schedule": plain(schedule) if active and schedule else None}


def wanted(system: System, state: str, interval: object, document: Mapping[str, Any] | None) -> Wanted:
    """Return what was asked for: `document` is a schedule, `interval` its period where it does not say when.

    Raises WgMigrateError for a schedule that is none, or does not fit the paths of this client.
    """
    if interval is None and document is None:
        return Wanted(state, None)
    words = dict(document or {})
    if interval is not None and not any(words.get(key) is not None for key in WHEN):
        words["period"] = interval
    schedule = parse(words)
    if system.exists(config.PATH):
        fit(schedule, [path.name for path in known_paths(config.load(system))])
    return Wanted(state, schedule)


def read(system: System) -> LoopState:
    """Return the loop's state on this host."""
    active = system.attempt(["systemctl", "--quiet", "is-active", LOOP_UNIT]).status == 0
    enabled = system.attempt(["systemctl", "--quiet", "is-enabled", LOOP_UNIT]).status == 0
    try:
        written: Schedule | None = schedule_file.load(system)
    except WgMigrateError:
        written = None  # missing, or unreadable: written anew
    return LoopState(active, enabled, written, _running() if active else None)


def _running() -> Schedule | None:
    try:
        return parse(control.ask({"command": "status"}).get("schedule"))
    except WgMigrateError:
        return None  # it has just started, or hangs: it is told anyway


def plan_restart(system: System, wanted: Config) -> list[list[str]]:
    """Return the commands after which a running loop runs the code that is installed, and goes by this configuration.

    None after `tunnel.up` where that has made a device: it then has started the loop anew.
    """
    try:
        running = control.ask({"command": "status"})
    except WgMigrateError:
        return []
    current = (running.get("code"), running.get("basis")) == (fingerprint(system), wanted.basis)
    return [] if current else [["systemctl", "restart", LOOP_UNIT]]


def plan(have: LoopState, want: Wanted) -> list[str]:
    """Return what is to be done, in order."""
    steps = []
    if want.state == "started":
        if have.active and have.running != want.schedule:
            steps.append(TELL)  # first: if the loop refuses it, the old one stays in the file, too
        if have.written != want.schedule:
            steps.append(WRITE)
        if not have.enabled:
            steps.append(ENABLE)
        if not have.active:
            steps.append(START)
        return steps
    if have.active:
        steps.append(STOP)
    if have.enabled:
        steps.append(DISABLE)
    if want.state == "absent" and have.written is not None:
        steps.append(REMOVE)
    return steps


def apply(system: System, steps: list[str], want: Wanted) -> None:
    """Carry out the steps of a plan."""
    for step in steps:
        if step == WRITE:
            assert want.schedule is not None
            system.write(schedule_file.PATH, schedule_file.dump(want.schedule), 0o600)
        elif step == REMOVE:
            system.remove(schedule_file.PATH)
        elif step == TELL:
            assert want.schedule is not None
            control.ask({"command": "schedule", "schedule": plain(want.schedule)})
        else:
            system.run(["systemctl", *step.split()])
