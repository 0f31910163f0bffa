"""A capture from beginning to end: all hosts at once, a command meanwhile, a file for each, and capture.json."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wg_migrate.errors import WgMigrateError

from observe import points
from observe.clocks import ENOUGH, estimate
from observe.description import describe, entry, write
from observe.hosts import Host
from observe.point_file import PointFile, dropped_packets
from observe.preparation import Prepared, Wanted, prepare
from observe.session import Session
from observe.ssh import Connection, connect_all, each

_START_SECONDS = 30.0
_TAIL = 0.5
"""Seconds that packets have to arrive everywhere after the command has ended."""
_LINGER = 1.5
"""Seconds until the kernel has handed over the last packets: it does so every second."""
_END_SECONDS = 20.0
_INTERRUPTED = 130
"""The exit status of what Ctrl-C has ended, as shells have it."""


@dataclass
class Point:
    """A vantage point at work."""

    host: Host
    streams: list[points.Stream]
    file: PointFile
    session: Session
    told: bool = False


def run(wanted: Wanted, say: Callable[[str], None]) -> tuple[dict[str, Any], int]:
    """Capture, and return what capture.json holds and the command's exit status; SAY gets what a person should know.

    Raises WgMigrateError where the capture cannot begin on all hosts: then no file is left. Ctrl-C ends a capture that
    has begun: the status is 130, but 0 where nothing else would have ended it.
    """
    with contextlib.ExitStack() as opened:
        connections = connect_all({name: wanted.inventory.hosts[name] for name in wanted.at}, opened)
        prepared = prepare(wanted, connections)
        return _capture(wanted, _start(wanted, connections, prepared), prepared.status, say)


def _start(wanted: Wanted, connections: dict[str, Connection], prepared: Prepared) -> list[Point]:
    """Start tcpdump everywhere and return when every device is captured and every clock is known."""

    def start(name: str) -> Point:
        streams = prepared.streams[name]
        file = PointFile(wanted.directory / f"{name}.pcapng", streams)
        programs = [points.tcpdump(stream, wanted.snap) for stream in streams]
        return Point(connections[name].host, streams, file, Session(connections[name], programs, file.take))

    at_work = list(each(start, connections).values())
    deadline = time.monotonic() + _START_SECONDS
    while not all(point.file.ready and len(point.session.samples) >= ENOUGH for point in at_work):
        refused = [f"{point.host.name}: {point.session.problem}" for point in at_work if point.session.problem]
        if refused:
            raise WgMigrateError("\n".join(refused))
        if time.monotonic() > deadline:
            slow = [point.host.name for point in at_work if not point.file.ready]
            raise WgMigrateError(f"{', '.join(slow)}: tcpdump did not begin within {_START_SECONDS:g} s")
        time.sleep(0.01)
    return at_work


def _capture(
    wanted: Wanted, at_work: list[Point], of_client: dict[str, Any], say: Callable[[str], None]
) -> tuple[dict[str, Any], int]:
    """Keep what is seen from now on, run the command, end everything, and write all down."""
    wanted.directory.mkdir(parents=True, exist_ok=True)
    begin = time.time_ns()
    for point in at_work:
        point.file.begin(begin, estimate(point.session.samples))
    # Whatever ends this process from now on: what has been captured until then can be read.
    cut_off = "the capture was cut off, so nobody counted the packets that were missed"
    entries = [entry(point.host, point.streams, point.file, 0, cut_off) for point in at_work]
    write(wanted.directory, describe(wanted, of_client, begin, 0.0, entries))
    say(f"capturing at {', '.join(point.host.name for point in at_work)} into {wanted.directory}")
    try:
        status = _wait(wanted, lambda: _tell_lost(at_work, say))
    except KeyboardInterrupt:
        status = _INTERRUPTED if wanted.command or wanted.seconds is not None else 0
    end = time.time_ns()
    for point in at_work:
        point.file.end = end
    with contextlib.suppress(KeyboardInterrupt):  # who cannot wait may press it again
        time.sleep(_LINGER)
    for point in at_work:
        point.session.stop()
    for point in at_work:
        point.session.join(_END_SECONDS)
    document = describe(wanted, of_client, begin, (end - begin) / 1e9, [_point(point) for point in at_work])
    _tell_lost(at_work, say)
    write(wanted.directory, document)
    return document, status


def _wait(wanted: Wanted, look: Callable[[], None]) -> int:
    """Wait until the command has ended, or the time is over; return the command's exit status."""
    if wanted.command:
        # What scripts/capture sets for itself is not for others.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with subprocess.Popen(wanted.command, env=environment) as process:
            try:
                while process.poll() is None:
                    look()
                    time.sleep(0.05)
            except BaseException:
                # Ctrl-C reached it too; told by others, it must be told in turn.
                process.terminate()
                raise
        time.sleep(_TAIL)
        return process.returncode
    end = None if wanted.seconds is None else time.monotonic() + wanted.seconds
    while end is None or (left := end - time.monotonic()) > 0:
        look()
        time.sleep(0.1 if end is None else min(0.1, left))
    return 0


def _tell_lost(at_work: list[Point], say: Callable[[str], None]) -> None:
    for point in at_work:
        if point.session.problem and not point.told:
            point.told = True
            say(f"{point.host.name} dropped out: {point.session.problem}; its file is good until then")


def _point(point: Point) -> dict[str, Any]:
    """Close a vantage point's file and return what capture.json says of it."""
    dropped = [dropped_packets(said) for said in point.session.said]
    problem = point.session.problem
    if problem is None and None in dropped:
        problem = "tcpdump did not say how many packets it missed"
    try:
        point.file.close([count or 0 for count in dropped])
    except WgMigrateError as error:
        problem = problem or str(error)
    at_end = estimate(point.session.samples[-ENOUGH:])
    missed = sum(count or 0 for count in dropped)
    return entry(point.host, point.streams, point.file, missed, problem) | {
        "clock_offset_end": at_end.nanoseconds / 1e9,
        "clock_error_end": at_end.error / 1e9,
    }
