"""Pings and TCP through the tunnel, static and migrating in turn, and what all measurements share."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bench.bounds import BenchError, Figure, of_repeats, order_of_pair, short
from bench.machines import CLIENT, WEB, Machines, Schedule
from bench.read import ping_loss, shares, throughput
from bench.wire import shaped
from lab.topology import machine

SCHEDULES: Mapping[str, Schedule] = {
    "100ms": {"period": 0.1},
    "1ms": {"period": 0.001},
    "batch60": {"packets": [50, 70], "strategy": "uniform"},
}
WEB_ADDRESS = machine(WEB).address4
THROUGH = ("wg-migrate", "exec", "--")
PINGS, PING_GAP_MS, PING_TIMEOUT_MS = 2000, 5, 2000
STATIC_LEAST, MIGRATING_LEAST = 0.95, 0.2
"""Of the packets of a run the share of the busiest path when the tunnel is static, and of the idlest when it migrates:
otherwise the run was not what it is called."""


@dataclass(frozen=True)
class Plan:
    """How often each thing is measured, and for how long; a quick run is to see that everything works."""

    quick: bool

    def times(self, full: int) -> int:
        """Return how many repeats there are of what a full run does FULL times."""
        return 1 if self.quick else full

    def seconds(self, full: float) -> float:
        """Return how long to measure what a full run measures for FULL seconds."""
        return min(full, 3.0) if self.quick else full

    def count(self, full: int, mode: str = "") -> int:
        """Return how many of something there are of which a full run has FULL, by a schedule of that MODE.

        Each batch draws its path. Of a tenth, which is three batches, one run in four would leave a path out.
        """
        return full // 10 if self.quick and "packets" not in SCHEDULES.get(mode, {}) else full


def say(text: str) -> None:
    """Tell how far things are."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def _set_tunnel(machines: Machines, kind: str, schedule: Schedule) -> None:
    if kind == "static":
        machines.stand_still()
    else:
        machines.migrate(schedule)


@contextlib.contextmanager
def _as_named(machines: Machines, kind: str) -> Iterator[None]:
    """Let the block send through the tunnel. Raises BenchError where it did not do what its name says meanwhile."""
    before = machines.sent_by_path()
    yield
    found = shares(before, machines.sent_by_path())
    if kind == "static" and max(found.values()) < STATIC_LEAST:
        raise BenchError(f"the static tunnel used several paths: {found}")
    if kind == "migrating" and min(found.values()) < MIGRATING_LEAST:
        raise BenchError(f"the migrating tunnel did not use all paths: {found}")


def measured_pairs(
    machines: Machines, name: str, mode: str, number: int, measure: Callable[[], float]
) -> list[dict[str, float]]:
    """Measure pairs of a static and a migrating tunnel, back to back."""
    pairs = []
    for repeat in range(number):
        pair = {}
        for kind in order_of_pair(repeat):
            _set_tunnel(machines, kind, SCHEDULES[mode])
            with _as_named(machines, kind):
                pair[kind] = measure()
        say(f"{name} {repeat + 1}/{number}: " + ", ".join(f"{kind} {short(value)}" for kind, value in pair.items()))
        pairs.append(pair)
    return pairs


def ping(machines: Machines, plan: Plan, mode: str) -> dict[str, Figure]:
    """Measure the loss of pings while migrating, less that of the static tunnel."""
    key, sent = f"ping_loss_excess_{mode}", plan.count(PINGS, mode)
    pairs = measured_pairs(machines, key, mode, plan.times(3), lambda: lost(machines, sent, *THROUGH))
    return {key: of_repeats([pair["migrating"] - pair["static"] for pair in pairs], {"pairs": pairs, "pings": sent})}


def lost(machines: Machines, sent: int, *through: str) -> float:
    """Return the share of pings to the web without an answer, 0 to 1."""
    # By itself fping would wait no longer for an answer than -p, and send 10 ms apart (-i) whatever -p says.
    gap, patience = str(PING_GAP_MS), str(PING_TIMEOUT_MS)
    words = ("fping", "-q", "-c", str(sent), "-i", "1", "-p", gap, "-t", patience, WEB_ADDRESS)
    return ping_loss(machines.run(CLIENT, *through, *words, check=False), sent)


def tcp(machines: Machines, plan: Plan, mode: str, direction: str, limited: bool) -> dict[str, Figure]:
    """Measure the throughput while migrating by the static tunnel's, `up` or `down`, by a limited uplink or not."""
    key = f"tcp_{direction}_ratio_{mode}" + ("" if limited else "_unshaped")
    repeats, seconds = (plan.times(5), plan.seconds(4)) if limited else (plan.times(9), plan.seconds(3))
    with shaped(machines) if limited else contextlib.nullcontext():
        pairs = measured_pairs(machines, key, mode, repeats, lambda: rate(machines, seconds, direction, *THROUGH))
    return {key: of_repeats([pair["migrating"] / pair["static"] for pair in pairs], {"pairs_mbit_per_second": pairs})}


def rate(machines: Machines, seconds: float, direction: str, *through: str) -> float:
    """Return the Mbit/s of TCP, as its receiver counts them, after a second to find its pace."""
    reverse = ("-R",) if direction == "down" else ()
    words = ("iperf3", "-J", "-c", WEB_ADDRESS, "-O", "1", "-t", f"{seconds:g}", *reverse)
    said = machines.run(CLIENT, *through, *words, seconds=seconds + 30, check=False)
    if "server is busy" in said:  # it is still with the test before
        time.sleep(1)
        said = machines.run(CLIENT, *through, *words, seconds=seconds + 30, check=False)
    return throughput(said)
