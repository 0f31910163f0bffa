"""How long a download is silent when a path dies."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from bench.bounds import BenchError, Figure, of_repeats
from bench.machines import CLIENT, WEB, Machines, script_words
from bench.traffic import SCHEDULES, THROUGH, WEB_ADDRESS, Plan, say
from bench.wire import cut_off

PORT, RATE = 5299, 20e6
"""Bits a second: moderate, so that a silence is of the network and not of a busy processor."""
SECONDS, CUT_AFTER = 6.0, 1.5


def failover(machines: Machines, plan: Plan) -> dict[str, Figure]:
    """Measure the longest silence of a download during which a path's proxy is cut off."""
    machines.migrate(SCHEDULES["100ms"])
    repeats = plan.times(10)
    victims: Sequence[str] = list(machines.proxies.values())
    rounds: list[dict[str, Any]] = []
    for repeat in range(repeats):
        recovery = machines.wait_until_healthy()
        victim = victims[repeat % len(victims)]
        found = _download_and_cut(machines, victim, CUT_AFTER + SCHEDULES["100ms"]["period"] * repeat / repeats)
        rounds.append({"victim": victim, "healthy_after": round(recovery, 2), **found})
        say(f"failover {repeat + 1}/{repeats}: {victim} cut off, silence {found['silence']} s")
    machines.wait_until_healthy()
    return {"failover_seconds": of_repeats([each["silence"] for each in rounds], {"rounds": rounds})}


def _download_and_cut(machines: Machines, victim: str, after: float) -> dict[str, float]:
    with machines.start(WEB, *script_words("source", PORT, int(RATE))) as source:
        _expect(source.stdout, "listening")
        words = script_words("download", WEB_ADDRESS, PORT, SECONDS)
        with machines.start(CLIENT, *THROUGH, *words) as download:
            _expect(download.stdout, "connected")
            time.sleep(after)
            with cut_off(machines, victim):
                said, complaint = download.communicate(timeout=SECONDS + 30)
    if download.returncode != 0:
        raise BenchError(f"the download failed: {complaint.strip()}")
    found: dict[str, float] = json.loads(said)
    if found["bytes"] < RATE / 8 * after / 2:
        raise BenchError(f"the download did not run: {found}")
    return found


def _expect(stream: Iterator[str] | None, word: str) -> None:
    assert stream is not None
    if next(stream, "").strip() != word:
        raise BenchError(f"a helper did not say {word!r}")
