"""How long a browser inside the tunnel takes for a page, while the tunnel migrates and while it stands still."""

from __future__ import annotations

import statistics

from bench.bounds import BenchError, Figure, order_of_pair
from bench.machines import Machines
from bench.traffic import Plan, measured_pairs
from lab.certificates import NAME
from open_website.driver import LAB, open_page
from open_website.page import PageError

URL = f"https://{NAME}/"
RESOURCES = 30
LOADS = 10
"""In a row, each in a fresh browser: before the tunnel is switched over to the other kind."""


def load_once() -> float:
    """Return the seconds that the page took. Raises BenchError where it, or a part of it, did not come by HTTP/3."""
    try:
        found = open_page(LAB, URL)
    except PageError as error:
        raise BenchError(f"{URL} did not load: {error}") from None
    if (found.protocol, found.protocols) != ("h3", {"h3": RESOURCES}):
        raise BenchError(f"{URL} came by {found.protocol}, its resources by {found.protocols}: not {RESOURCES} by h3")
    return found.seconds


def page(machines: Machines, plan: Plan, mode: str) -> dict[str, Figure]:
    """Measure the median time of 50 loads while migrating by that of 50 with the static tunnel; none may fail."""
    key, times, runs = f"page_load_ratio_{mode}", plan.times(5), list[list[float]]()

    def measure() -> float:
        runs.append([load_once() for _ in range(plan.count(LOADS, mode))])
        return statistics.median(runs[-1])

    pairs = measured_pairs(machines, key, mode, times, measure)
    order = [kind for number in range(times) for kind in order_of_pair(number)]
    seconds: dict[str, list[float]] = {"static": [], "migrating": []}
    for kind, run in zip(order, runs, strict=True):
        seconds[kind] += run
    ratio = statistics.median(seconds["migrating"]) / statistics.median(seconds["static"])
    return {key: Figure(ratio, [pair["migrating"] / pair["static"] for pair in pairs], {"seconds": seconds})}
