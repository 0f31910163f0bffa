"""A run: the measurements one after the other, under one capture, and everything as it was afterwards."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bench.bounds import BOUNDS, MODES, BenchError, Figure, verdicts
from bench.failover import failover
from bench.loop import loop, switch_cost
from bench.machines import CLIENT, Machines
from bench.original import original
from bench.page import page
from bench.remote.original_cost import NAMESPACE as SCRATCH_NAMESPACE
from bench.sessions import sessions, split
from bench.traffic import SCHEDULES, Plan, ping, say, tcp
from bench.wire import Capture, all_fragments_created, bridge_port, capturing, mend, unshape

Measure = Callable[[Machines, Plan], dict[str, Figure]]
ORIGINAL = "original"
"""The part of a run that has no figure of its own."""
ON_THE_WIRE = ("fragments", "leaks")
"""Counted over all runs."""


@dataclass
class Results:
    """What a run found: figures and, by the same keys, why one could not be measured."""

    figures: dict[str, Figure] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    original: dict[str, Any] = field(default_factory=dict)


def measurements() -> list[tuple[tuple[str, ...], Measure]]:
    """Return the measurements in their order, each with the keys of what it gives."""
    listed: list[tuple[tuple[str, ...], Measure]] = [(("switch_cost_ratio",), switch_cost)]
    listed += [
        ((f"period_error_{mode}", f"loop_cpu_percent_{mode}"), partial(loop, mode=mode)) for mode in ("100ms", "1ms")
    ]
    listed += [((f"ping_loss_excess_{mode}",), partial(ping, mode=mode)) for mode in MODES]
    for limited, suffix in ((True, ""), (False, "_unshaped")):
        for mode in ("100ms", "batch60"):
            for direction in ("up", "down"):
                measure = partial(tcp, mode=mode, direction=direction, limited=limited)
                listed.append(((f"tcp_{direction}_ratio_{mode}{suffix}",), measure))
    listed += [((f"page_load_ratio_{mode}",), partial(page, mode=mode)) for mode in ("100ms", "batch60")]
    listed.append((("split_error_weighted_70_30",), split))
    listed.append((("max_share_violations",), sessions))
    listed.append((("failover_seconds",), failover))
    return listed


def run(machines: Machines, plan: Plan, wanted: set[str]) -> Results:
    """Measure what is wanted: keys of BOUNDS, and ORIGINAL."""
    results = Results()
    with restored(machines):
        machines.wait_until_healthy()
        chosen = [(keys, measure) for keys, measure in measurements() if wanted & set(keys)]
        with _watched(machines, results):
            for keys, measure in chosen:
                with _reported(results, keys):
                    results.figures.update(measure(machines, plan))
        # Its rebuilt tunnel leaks and cuts packets up, and has a capture of its own.
        if ORIGINAL in wanted:
            with _reported(results, (ORIGINAL,)):
                results.original = original(machines, plan)
    results.figures = {key: figure for key, figure in results.figures.items() if key in wanted}
    results.errors = {key: why for key, why in results.errors.items() if key in wanted}
    return results


@contextmanager
def _reported(results: Results, keys: tuple[str, ...]) -> Iterator[None]:
    """Note for these keys what kept the block from measuring them, and go on."""
    begin = time.monotonic()
    try:
        yield
    except (BenchError, subprocess.SubprocessError, OSError, LookupError, ValueError, TypeError) as error:
        # What comes from a machine may be anything: that is no reason to lose what the others said.
        why = str(error) if isinstance(error, BenchError) else repr(error)
        results.errors.update(dict.fromkeys(keys, why))
        say(f"{', '.join(keys)}: NOT MEASURED: {why}")
    else:
        say(f"{', '.join(keys)}: {time.monotonic() - begin:.0f} s")


@contextmanager
def _watched(machines: Machines, results: Results) -> Iterator[None]:
    """Count over the whole block what leaks and what is cut up. Raises BenchError where that cannot be seen."""
    with capturing(machines) as capture:
        created = all_fragments_created(machines)
        yield
        with _reported(results, ON_THE_WIRE):
            _count(capture, all_fragments_created(machines) - created, results)


def _count(capture: Capture, created: int, results: Results) -> None:
    leaks, fragments = capture.stop()
    results.figures["leaks"] = Figure(leaks, [leaks])
    seen = {"on_the_wire": fragments, "created_by_the_machines": created}
    results.figures["fragments"] = Figure(max(seen.values()), [max(seen.values())], seen)


@contextmanager
def restored(machines: Machines) -> Iterator[None]:
    """Take away what an earlier run that was killed may have left; after the block, what this one has."""
    port = bridge_port(CLIENT)
    _restore(machines, port)
    try:
        yield
    finally:
        say("everything as it was")
        _restore(machines, port)


def _restore(machines: Machines, port: str) -> None:
    unshape(machines, port)
    for proxy in machines.proxies.values():
        mend(machines, proxy)
    machines.run(CLIENT, "ip", "netns", "delete", SCRATCH_NAMESPACE, check=False)
    machines.migrate(SCHEDULES["100ms"])


def facts(machines: Machines) -> dict[str, Any]:
    """Return what the figures depend on: processors, kernel, WireGuard, TCP."""
    return {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "kernel": platform.release(),
        "wireguard": machines.status()["implementation"],
        "tcp_congestion_control": machines.run(CLIENT, "sysctl", "-n", "net.ipv4.tcp_congestion_control").strip(),
    }


def document(results: Results, machine: Mapping[str, Any], quick: bool, seconds: float) -> dict[str, Any]:
    """Return what build/bench.json holds: the figures by their keys, and how they came about."""
    figures = results.figures
    return {
        **{key: figures[key].value for key in BOUNDS if key in figures},
        "bounds": verdicts(figures),
        "repeats": {key: list(figures[key].repeats) for key in BOUNDS if key in figures},
        "details": {key: dict(figures[key].details) for key in BOUNDS if key in figures},
        "original": results.original,
        "errors": results.errors,
        "machine": dict(machine),
        "quick": quick,
        "seconds": round(seconds, 1),
    }
