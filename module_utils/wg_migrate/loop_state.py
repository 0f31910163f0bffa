"""The loop as a service: running or not, now and at boot, and with which interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import control, schedule_file
from .errors import WgMigrateError
from .installed_code import fingerprint
from .interval import read_interval
from .system import System
from .tunnel_apply import LOOP_UNIT

WRITE = f"write {schedule_file.PATH}"
REMOVE = f"remove {schedule_file.PATH}"
TELL = "tell the running loop its interval"
ENABLE = f"enable {LOOP_UNIT}"
START = f"start {LOOP_UNIT}"
STOP = f"stop {LOOP_UNIT}"
DISABLE = f"disable {LOOP_UNIT}"


@dataclass(frozen=True)
class LoopState:
    """Whether the loop runs and starts at boot, and its intervals in seconds: in the file, and of the running loop."""

    active: bool
    enabled: bool
    written: float | None
    running: float | None

    def readable(self) -> dict[str, Any]:
        """Return the state as plain data, for results and diffs."""
        interval = self.running if self.active else self.written
        return {"state": "started" if self.active else "stopped", "at_boot": self.enabled, "interval": interval}


@dataclass(frozen=True)
class Wanted:
    """`interval` is in seconds; with a stopped loop, None keeps the one that is written."""

    state: str
    interval: float | None

    def readable(self) -> dict[str, Any]:
        """Return the state as plain data, for results and diffs."""
        started = self.state == "started"
        return {"state": "started" if started else "stopped", "at_boot": started, "interval": self.interval}


def wanted(state: str, interval: object) -> Wanted:
    """Return what was asked for. Raises WgMigrateError for an interval that is none."""
    return Wanted(state, None if interval is None else read_interval(interval))


def read(system: System) -> LoopState:
    """Return the loop's state on this host."""
    active = system.attempt(["systemctl", "--quiet", "is-active", LOOP_UNIT]).status == 0
    enabled = system.attempt(["systemctl", "--quiet", "is-enabled", LOOP_UNIT]).status == 0
    try:
        written: float | None = schedule_file.load(system)
    except WgMigrateError:
        written = None  # missing, or unreadable: written anew
    return LoopState(active, enabled, written, _running() if active else None)


def _running() -> float | None:
    try:
        return float(control.ask({"command": "status"})["interval"])
    except WgMigrateError:
        return None  # it has just started, or hangs: it is told anyway


def plan_new_code(system: System) -> list[list[str]]:
    """Return the commands after which a running loop runs the code that is installed."""
    try:
        code = control.ask({"command": "status"}).get("code")
    except WgMigrateError:
        return []
    return [] if code == fingerprint(system) else [["systemctl", "restart", LOOP_UNIT]]


def plan(have: LoopState, want: Wanted) -> list[str]:
    """Return what is to be done, in order."""
    steps = []
    if want.state == "started":
        if have.written != want.interval:
            steps.append(WRITE)
        if not have.enabled:
            steps.append(ENABLE)
        if not have.active:
            steps.append(START)
        elif have.running != want.interval:
            steps.append(TELL)
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
            assert want.interval is not None
            system.write(schedule_file.PATH, schedule_file.dump(want.interval))
        elif step == REMOVE:
            system.remove(schedule_file.PATH)
        elif step == TELL:
            control.ask({"command": "interval", "interval": want.interval})
        else:
            system.run(["systemctl", *step.split()])
