"""Tell again and again what a host's tunnel carries: `figures.py SSH_CONNECTION DEVICE TABLE`, a JSON object a line.

DEVICE is its WireGuard device, or "" for none of interest; TABLE the nft table of ours that counts what it drops. Keys
stay where they are: of `wg` only what shows none is asked. Changes nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PERIOD = 1.0
COUNTERS = ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets")


def printed(*argv: str) -> str:
    """Return what a command prints; nothing where it fails or is not there."""
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def counters(device: str) -> dict[str, int] | None:
    """Return a device's counters, None where it is not there."""
    directory = Path("/sys/class/net", device, "statistics")
    try:
        return {name: int((directory / name).read_text()) for name in COUNTERS}
    except OSError:
        return None


def peers(device: str) -> dict[str, dict[str, Any]]:
    """Return the peers by public key: where each was heard from, and when it last shook hands (seconds since 1970)."""
    found: dict[str, dict[str, Any]] = {}
    for word, key in (("endpoints", "endpoint"), ("latest-handshakes", "handshake")):
        for line in printed("wg", "show", device, word).splitlines():
            peer, _, value = line.partition("\t")
            found.setdefault(peer, {})[key] = int(value) if value.isdigit() else value
    return found


def dropped(table: str) -> int | None:
    """Return how many packets the table's rules have dropped; None where there is no such table."""
    try:
        entries = json.loads(printed("nft", "-j", "list", "table", "inet", table))["nftables"]
    except (ValueError, KeyError):
        return None
    rules = [entry["rule"]["expr"] for entry in entries if "rule" in entry]
    drops = [rule for rule in rules if any("drop" in part for part in rule)]
    return sum(int(part["counter"]["packets"]) for rule in drops for part in rule if "counter" in part)


def main(device: str, table: str) -> None:
    """Print the figures until nobody reads them."""
    while True:
        figures: dict[str, Any] = {"time": time.time(), "dropped": dropped(table)}
        if device:
            figures.update(counters=counters(device), peers=peers(device))
        print(json.dumps(figures), flush=True)
        time.sleep(PERIOD)


if __name__ == "__main__":
    main(sys.argv[2], sys.argv[3])
