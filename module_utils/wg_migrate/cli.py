"""The on-host command `wg-migrate`: the same code as the Ansible modules, by another door."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from . import control, loop, tunnel
from .config import APPLICATION_NAMESPACE, load
from .errors import WgMigrateError
from .interval import read_interval
from .report import report
from .system import System

_ROW = "{:8} {:16} {:8} {:>10} {:>12} {:>12} {:>14} {:>14}"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status: 0 done, 1 refused or failed (with one sentence), 2 not understood."""
    options = _parser().parse_args(arguments)
    if os.geteuid() != 0:
        return _fail("this needs root: run it with sudo")
    try:
        options.run(options, System())
    except WgMigrateError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename or 'the system'}: {error.strerror or error}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="wg-migrate", description="The client's end of a migrating double tunnel.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="make the tunnel as the configuration says").set_defaults(run=_up)
    commands.add_parser("down", help="take the tunnel down").set_defaults(run=_down)
    commands.add_parser("run", help="run the migration loop (the service does this)").set_defaults(run=_run)
    status = commands.add_parser("status", help="tell what tunnel and loop are doing")
    status.add_argument("--json", action="store_true", help="as JSON")
    status.set_defaults(run=_status)
    interval = commands.add_parser("interval", help="change the running loop's interval, until it is started again")
    interval.add_argument("seconds", help="from 0.001 to 86400")
    interval.set_defaults(run=_interval)
    execute = commands.add_parser("exec", help="run a command where its traffic goes through the tunnel")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="the command and its arguments")
    execute.set_defaults(run=_exec)
    return parser


def _up(_options: argparse.Namespace, system: System) -> None:
    for action in tunnel.up(system, load(system)).actions:
        print(action)


def _down(_options: argparse.Namespace, system: System) -> None:
    for action in tunnel.down(system).actions:
        print(action)


def _run(_options: argparse.Namespace, system: System) -> None:
    loop.run(system)


def _interval(options: argparse.Namespace, _system: System) -> None:
    control.ask({"command": "interval", "interval": read_interval(options.seconds)})


def _exec(options: argparse.Namespace, system: System) -> None:
    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not argv:
        raise WgMigrateError("there is no command: write, for example, wg-migrate exec -- curl https://example.org")
    if load(system).scope == "namespace":
        # `ip netns exec` also puts /etc/netns/comps/resolv.conf in place of /etc/resolv.conf.
        argv = ["ip", "netns", "exec", APPLICATION_NAMESPACE, *argv]
    os.execvp(argv[0], argv)


def _status(options: argparse.Namespace, system: System) -> None:
    state = report(system)
    print(json.dumps(state, indent=2) if options.json else _table(state))


def _table(state: dict[str, Any]) -> str:
    up = "up" if state["up"] else "NOT up: run 'systemctl restart wg-migrate'"
    lines = [
        f"scope {state['scope']}, {state['implementation']} WireGuard, exit {state['exit']}, tunnel {up}",
        _loop_line(state),
        _ROW.format("path", "proxy", "session", "handshake", "packets up", "down", "bytes up", "down"),
    ]
    for name, path in state["paths"].items():
        age = path.get("handshake_age")
        handshake = "never" if age is None else f"{age:.0f} s ago"
        counters = [path.get(key, 0) for key in ("packets_up", "packets_down", "bytes_up", "bytes_down")]
        lines.append(_ROW.format(name, path["proxy"], "live" if path["live"] else "none", handshake, *counters))
    return "\n".join(lines)


def _loop_line(state: dict[str, Any]) -> str:
    loop_state = state["loop"]
    if not loop_state:
        return f"loop stopped, all traffic on {state['active']}"
    mean, worst = loop_state["lateness_mean"] * 1000, loop_state["lateness_worst"] * 1000
    return (
        f"loop running, every {loop_state['interval']:g} s, {loop_state['switches']} switches, "
        f"{loop_state['switches_missed']} missed, late by {mean:.2f} ms on average and {worst:.2f} ms at worst"
    )


def _fail(message: str) -> int:
    print(f"wg-migrate: {message}", file=sys.stderr)
    return 1
