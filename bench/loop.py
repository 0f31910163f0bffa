"""The loop by itself: the switches that it makes, and the CPU time that they cost, ours and the original's."""

from __future__ import annotations

import time

from bench.bounds import Figure, of_repeats
from bench.machines import CLIENT, LOOP_UNIT, Machines
from bench.original import LOOP
from bench.read import throughput
from bench.traffic import SCHEDULES, THROUGH, WEB_ADDRESS, Plan, say

LOAD = "20M"
"""Bits a second of the download beside the loop."""


def _watch_loop(machines: Machines, seconds: float, mode: str) -> dict[str, float]:
    period = SCHEDULES[mode]["period"]
    found: dict[str, float] = machines.script(CLIENT, "loop_meter", LOOP_UNIT, seconds, period, seconds=seconds + 30)
    return found


def loop(machines: Machines, plan: Plan, mode: str) -> dict[str, Figure]:
    """Measure the switches that an idle loop makes, and the CPU time it takes, idle and beside a download."""
    machines.migrate(SCHEDULES[mode])
    seconds = plan.seconds(10)
    windows: dict[str, list[dict[str, float]]] = {"idle": [], "busy": []}
    for repeat in range(plan.times(3)):
        windows["idle"].append(_watch_loop(machines, seconds, mode))
        words = ("iperf3", "-J", "-c", WEB_ADDRESS, "-R", "-b", LOAD, "-t", f"{seconds + 3:g}")
        with machines.start(CLIENT, *THROUGH, *words) as download:
            time.sleep(1)
            windows["busy"].append(_watch_loop(machines, seconds, mode))
            throughput(download.communicate(timeout=60)[0])  # or there was no load
        say(f"loop {mode} {repeat + 1}: " + ", ".join(f"{kind} {each[-1]}" for kind, each in windows.items()))
    errors = {kind: [(each["asked"] - each["made"]) / each["asked"] for each in windows[kind]] for kind in windows}
    used = {kind: [100 * each["cpu_seconds"] / each["seconds"] for each in windows[kind]] for kind in windows}
    cpu = max((of_repeats(values, {"windows": windows}) for values in used.values()), key=lambda figure: figure.value)
    return {
        f"period_error_{mode}": of_repeats(errors["idle"], {"beside_a_download": errors["busy"]}),
        f"loop_cpu_percent_{mode}": cpu,
    }


def switch_cost(machines: Machines, plan: Plan) -> dict[str, Figure]:
    """Measure the CPU time of a switch, of the original loop against ours, in turn."""
    machines.migrate(SCHEDULES["1ms"])
    seconds, switches, repeats = plan.seconds(5), plan.count(300), plan.times(5)
    rounds = []
    for repeat in range(repeats):
        window = _watch_loop(machines, seconds, "1ms")
        ours = window["cpu_seconds"] / window["made"]
        original = float(machines.script(CLIENT, "original_cost", LOOP, switches))
        say(f"switch cost {repeat + 1}/{repeats}: ours {ours * 1e6:.1f} us, original {original * 1e6:.0f} us")
        rounds.append({"ours": ours, "original": original})
    ratios = [each["original"] / each["ours"] for each in rounds]
    return {"switch_cost_ratio": of_repeats(ratios, {"cpu_seconds_per_switch": rounds})}
