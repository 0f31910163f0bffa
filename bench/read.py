"""Reading what tools print: fping, iperf3, tcpdump, the kernel's counters. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from bench.bounds import BenchError


def ping_loss(said: str, sent: int) -> float:
    """Return the share of SENT pings without an answer, 0 to 1, from what `fping -q -c` prints.

    Raises BenchError where fping did not send as many as it was asked to.
    """
    found = re.search(r"xmt/rcv/%loss = (\d+)/(\d+)/", said)
    if not found or int(found[1]) != sent:
        raise BenchError(f"fping did not send {sent} pings: {said.strip()[-300:]}")
    return 1 - int(found[2]) / sent


def throughput(said: str) -> float:
    """Return the Mbit/s that the receiver got, by `iperf3 -J`. Raises BenchError where it failed."""
    try:
        result: dict[str, Any] = json.loads(said)
        if "error" in result:
            raise BenchError(f"iperf3: {result['error']}")
        return float(result["end"]["sum_received"]["bits_per_second"]) / 1e6
    except (ValueError, KeyError, TypeError):
        raise BenchError(f"iperf3 gave no result: {said.strip()[-300:]}") from None


def fragments_created(snmp: str, snmp6: str) -> int:
    """Return the fragments that a namespace has made, from its /proc/net/snmp and /proc/net/snmp6.

    Raises BenchError where the counters are not there.
    """
    headers, values = (line.split()[1:] for line in snmp.splitlines() if line.startswith("Ip:"))
    four = dict(zip(headers, values, strict=True)).get("FragCreates")
    six = re.search(r"^Ip6FragCreates\s+(\d+)$", snmp6, re.MULTILINE)
    if four is None:
        raise BenchError("/proc/net/snmp has no FragCreates")
    return int(four) + (int(six[1]) if six else 0)  # a machine may have no IPv6


def dropped_by_kernel(summary: str) -> int:
    """Return how many packets tcpdump missed, from its last words. Raises BenchError where it does not say."""
    found = re.search(r"^(\d+) packets? dropped by kernel", summary, re.MULTILINE)
    if not found:
        raise BenchError(f"tcpdump did not say what it missed: {summary.strip()[-300:]}")
    return int(found[1])


def sent_by_device(said: str) -> dict[str, int]:
    """Return the packets that each device has sent, from what `ip -json -statistics link show` prints."""
    return {link["ifname"]: int(link["stats64"]["tx"]["packets"]) for link in json.loads(said)}


def shares(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, float]:
    """Return each name's share of what was added between two readings, 0 to 1; all 0 where nothing was."""
    added = {name: after[name] - before.get(name, 0) for name in after}
    total = sum(added.values())
    return {name: count / total if total else 0.0 for name, count in added.items()}


def worst_distance(counts: Mapping[str, int], weights: Mapping[str, float]) -> float:
    """Return how far the share of the worst path is from its weight, 0 to 1. Raises BenchError where nothing is."""
    total = sum(counts.values())
    if not total:
        raise BenchError("no packet of the session was counted")
    return max(abs(counts[name] / total - weight) for name, weight in weights.items())
