"""systemd units: which commands bring one to the wanted state."""

from __future__ import annotations

from .system import System


def plan_enabled(system: System, unit: str) -> list[list[str]]:
    """Return the commands after which the unit runs now and at every boot."""
    enable = [] if _is(system, "enabled", unit) else [["systemctl", "enable", "--quiet", unit]]
    return [*enable, *plan_active(system, unit)]


def plan_active(system: System, unit: str) -> list[list[str]]:
    """Return the commands after which the unit runs now."""
    return [] if _is(system, "active", unit) else [["systemctl", "start", unit]]


def plan_disabled(system: System, unit: str) -> list[list[str]]:
    """Return the commands after which the unit neither runs nor will at a boot."""
    commands = []
    if _is(system, "active", unit) or _is(system, "failed", unit):
        commands.append(["systemctl", "stop", unit])
    if _is(system, "enabled", unit):
        commands.append(["systemctl", "disable", "--quiet", unit])
    return commands


def apply(system: System, commands: list[list[str]]) -> None:
    """Run the commands of a plan."""
    for command in commands:
        system.run(command)


def run_later(system: System, name: str, seconds: int, argv: list[str]) -> None:
    """Have a command run in so many seconds, whatever becomes of this process, and none of this name before."""
    cancel(system, name)
    timer = [f"--unit={name}", f"--on-active={seconds}", "--timer-property=AccuracySec=100ms", "--collect"]
    system.run(["systemd-run", "--quiet", *timer, *argv])


def cancel(system: System, name: str) -> None:
    """Have what `run_later` was told not run, if it has not yet."""
    system.attempt(["systemctl", "stop", f"{name}.timer"])


def _is(system: System, state: str, unit: str) -> bool:
    return system.attempt(["systemctl", "--quiet", f"is-{state}", unit]).status == 0
