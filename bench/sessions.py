"""How a session's packets are split over the paths."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from bench.bounds import BenchError, Figure, of_repeats, short
from bench.machines import CLIENT, Machines, script_words
from bench.read import worst_distance
from bench.traffic import THROUGH, WEB_ADDRESS, Plan, say

MAX_SHARE = 0.6
UNTIL_TOLD = {"session": 0}
"""Sessions end only by `wg-migrate new-session`: what a path carried is read when a session is over, not after it."""


@dataclass(frozen=True)
class Session:
    """How many packets a session had, and how many of them each path carried."""

    sent: int
    carried: dict[str, int]


def split(machines: Machines, plan: Plan) -> dict[str, Figure]:
    """Measure how far the paths' shares of 100,000 packets are from their weights."""
    weights = dict(zip(machines.proxies, (0.7, 0.3), strict=True))
    machines.migrate({"packets": [50, 70], "strategy": "weighted", "weights": list(weights.values()), **UNTIL_TOLD})
    packets, repeats = plan.count(100_000), plan.times(3)
    found = _sessions(machines, repeats, packets, packets)
    errors = [worst_distance(each.carried, weights) for each in found]
    say(f"split 70:30 of {packets} packets, {repeats} times: off by {', '.join(map(short, errors))}")
    return {"split_error_weighted_70_30": of_repeats(errors, {"sessions": [asdict(each) for each in found]})}


def sessions(machines: Machines, plan: Plan) -> dict[str, Figure]:
    """Count the sessions in which a path carried more than its cap."""
    machines.migrate({"packets": [50, 70], "strategy": "dirichlet", "alpha": 1, "max_share": MAX_SHARE, **UNTIL_TOLD})
    found = _sessions(machines, plan.count(200), 500, 2000)
    largest = [max(each.carried.values()) / sum(each.carried.values()) for each in found]
    over = sum(share > MAX_SHARE for share in largest)
    say(f"{len(found)} sessions: {over} over the cap of {MAX_SHARE:g}, the largest share {max(largest):.4f}")
    details = {"largest_share_of_each_session": [round(share, 4) for share in largest]}
    return {"max_share_violations": Figure(over, [over], details)}


def _sessions(machines: Machines, number: int, least: int, most: int) -> list[Session]:
    """Have sessions with LEAST to MOST packets each. Raises BenchError where packets were not counted."""
    words = script_words("sessions", WEB_ADDRESS, number, least, most)
    limit = 60 + number * (2 + most / 2000)
    found = [Session(**each) for each in json.loads(machines.run(CLIENT, *THROUGH, *words, seconds=limit))]
    for each in found:
        if sum(each.carried.values()) < each.sent:
            raise BenchError(f"of {each.sent} packets only {each.carried} were counted")
    return found
