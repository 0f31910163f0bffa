"""The original demo's loop beside ours: what it costs, and in a tunnel of its own what it leaks, loses and carries."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from typing import Any

from bench.bounds import order_of_pair, short
from bench.machines import CLIENT, LOOP_UNIT, Machines
from bench.traffic import PINGS, WEB_ADDRESS, Plan, lost, rate, say
from bench.wire import capturing

# Arguments: two devices, a table, a period (s), a number of switches, a file for the number made. The three lines from
# `ip` to `sleep` are the original's.
LOOP = """
from=$1 to=$2 table=$3 period=$4 switches=$5 report=${6-/dev/null} made=0
trap 'echo "$made" >"$report"; exit 0' TERM
while [ "$made" -lt "$switches" ]; do
    ip route delete default dev "$from" table "$table"
    ip route add default dev "$to" table "$table"
    sleep "$period"
    next=$from from=$to made=$((made + 1))
    to=$next
done
"""
PERIOD = 0.1
UNIT = "wgm-bench-original"
SCRIPT, REPORT = "/run/wgm-bench-original.sh", "/run/wgm-bench-switches"
ENDLESS = 10**9
SETTLE = 3.0
"""Seconds until the sessions of the rebuilt tunnel are there."""


def original(machines: Machines, plan: Plan) -> dict[str, Any]:
    """Return what the original loop does in 0.1 s steps, beside the same tunnel without it.

    Counts of packets, switches and shares from 0 to 1; throughput in Mbit/s, and as a ratio to standing still.
    """
    with _rebuilt(machines) as paths:
        rounds = [_round(machines, plan, paths, repeat) for repeat in range(plan.times(3))]
    kinds = ("static", "migrating")
    result: dict[str, Any] = {
        f"ping_loss_{kind}": statistics.median(each[kind]["ping_loss"] for each in rounds) for kind in kinds
    }
    for direction in ("up", "down"):
        ratios = [each["migrating"][direction] / each["static"][direction] for each in rounds]
        result[f"tcp_{direction}_ratio_unshaped"] = statistics.median(ratios)
    moving = [each["migrating"] for each in rounds]
    result["period_error_100ms"] = statistics.median((each["asked"] - each["made"]) / each["asked"] for each in moving)
    result["leaks"] = sum(each["leaks"] for each in moving)
    result["leaks_static"] = sum(each["static"]["leaks"] for each in rounds)
    return {**result, "rounds": rounds}


def _round(machines: Machines, plan: Plan, paths: list[str], repeat: int) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for kind in order_of_pair(repeat):
        with capturing(machines) as capture:
            with _looping(machines, paths) if kind == "migrating" else contextlib.nullcontext():
                begin = time.monotonic()
                mine = {"ping_loss": lost(machines, plan.count(PINGS))}
                for direction in ("up", "down"):
                    mine[direction] = rate(machines, plan.seconds(3), direction)
                asked = (time.monotonic() - begin) / PERIOD
            mine["leaks"], _ = capture.stop()
        if kind == "migrating":
            mine["asked"], mine["made"] = round(asked), int(machines.run(CLIENT, "cat", REPORT))
        found[kind] = mine
        say(f"original, {kind}: " + ", ".join(f"{name} {short(value)}" for name, value in mine.items()))
    return found


@contextlib.contextmanager
def _rebuilt(machines: Machines) -> Iterator[list[str]]:
    """Have the original's tunnel in the place of ours while the block runs; lend the names of its paths."""
    try:
        machines.stand_still()
        machines.run(CLIENT, "wg-migrate", "down")
        paths: list[str] = machines.script(CLIENT, "original", "up", WEB_ADDRESS)
        time.sleep(SETTLE)
        yield paths
    finally:
        clean(machines)
        machines.run(CLIENT, "systemctl", "restart", "wg-migrate")
        machines.run(CLIENT, "systemctl", "start", LOOP_UNIT)
        machines.wait_until_healthy()


@contextlib.contextmanager
def _looping(machines: Machines, paths: list[str]) -> Iterator[None]:
    """Have the original's loop run while the block runs; afterwards REPORT has the number of its switches."""
    # The tunnel is on the first path; a loop that was stopped between its two commands has left it on none.
    machines.run(CLIENT, "ip", "route", "replace", "default", "dev", paths[0], "table", "100")
    words = (*paths, "100", str(PERIOD), str(ENDLESS), REPORT)
    # As a file: in a command line systemd would put its own variables in the place of the loop's.
    machines.run(CLIENT, "tee", SCRIPT, given=LOOP)
    machines.run(CLIENT, "systemd-run", "--collect", f"--unit={UNIT}", "bash", SCRIPT, *words)
    try:
        yield
    finally:
        machines.run(CLIENT, "systemctl", "stop", UNIT)
        machines.run(CLIENT, "ip", "route", "replace", "default", "dev", paths[0], "table", "100")


def clean(machines: Machines) -> None:
    """Remove what the original's tunnel and loop may have left on the client."""
    machines.run(CLIENT, "systemctl", "stop", UNIT, check=False)
    machines.run(CLIENT, "rm", "-f", SCRIPT, REPORT)
    machines.script(CLIENT, "original", "down")
