"""A capture that the hosts make by themselves, into files of limited size, fetched at the end: playbooks/capture.yml.

`python -m observe.recording --seconds N --megabytes N` and the options of scripts/capture. While the hosts capture
there is no connection to them. What runs there ends in time by itself, and what it wrote is removed after it has been
fetched, or by the next recording if the controller did not come back.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wg_migrate.errors import WgMigrateError
from wg_migrate.reading import read_number

from observe import capture, points
from observe.clocks import ENOUGH, Offset, estimate
from observe.description import describe, entry, write
from observe.hosts import Host
from observe.pcap import Packet, Reader
from observe.point_file import PointFile, dropped_packets
from observe.preparation import Prepared, Wanted, prepare
from observe.remote.record import DIRECTORY, HEADER
from observe.session import Session
from observe.ssh import Connection, connect_all, each

_LONGEST = 30 * 86400.0
_LARGEST = 100_000.0
_END_SECONDS = 30.0
_FETCH_SECONDS = 3600.0
_PORTION = 1 << 20


def parser() -> argparse.ArgumentParser:
    """Return what understands the command line."""
    top = capture.parser()
    top.prog, top.usage, top.description = (
        "python -m observe.recording",
        None,
        "Capture on the hosts, fetch at the end.",
    )
    top.add_argument("--megabytes", default="100", help="how much each host keeps at most")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Record what the command line asks for and return the exit status: 1 where nothing could be fetched of a host."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        size = int(read_number("megabytes", options.megabytes, 1, _LARGEST, "100") * 1e6)
        seconds = read_number("seconds", options.seconds or "60", 1, _LONGEST, "600")
        options.seconds = None
        document = record(capture.read(options, ()), seconds, size)
    except WgMigrateError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(capture.table(document))
    return int(not all(point["file"] for point in document["points"]))


def record(wanted: Wanted, seconds: float, size: int) -> dict[str, Any]:
    """Have the hosts capture for so many seconds, SIZE bytes each at most; fetch it; return what capture.json holds.

    Raises WgMigrateError where it cannot begin on all hosts. Whatever happens, the hosts are left as they were.
    """
    hosts = {name: wanted.inventory.hosts[name] for name in wanted.at}
    with contextlib.ExitStack() as opened, contextlib.ExitStack() as started:
        connections = connect_all(hosts, opened)
        prepared = prepare(wanted, connections)
        clocks = each(lambda name: _clock(connections[name]), hosts)
        started.callback(_remove, hosts)
        each(lambda name: _start(wanted, connections[name], prepared.streams[name], seconds, size), hosts)
        begin = time.time_ns()
        # For hours nobody needs the connections, and one that breaks harms nothing.
        opened.close()
        time.sleep(seconds)
        wanted.directory.mkdir(parents=True, exist_ok=True)
        fetched = {name: Fetched(wanted, host, prepared, begin, seconds, size) for name, host in hosts.items()}
        entries = each(lambda name: fetched[name].entry(clocks[name]), hosts)
    document = describe(wanted, prepared.status, begin, seconds, list(entries.values()))
    write(wanted.directory, document)
    return document


def _clock(connection: Connection) -> Offset:
    """Ask a host for its clock."""
    session = Session(connection, [["sleep", "60"]], lambda _number, _data: None)
    while session.running and len(session.samples) < ENOUGH:
        time.sleep(0.01)
    session.stop()
    session.join(_END_SECONDS)
    if len(session.samples) < ENOUGH:
        raise WgMigrateError(f"{session.name}: {session.problem}")
    return estimate(session.samples)


def _start(wanted: Wanted, connection: Connection, streams: Sequence[points.Stream], seconds: float, size: int) -> None:
    programs = [points.tcpdump(stream, wanted.snap) for stream in streams]
    # A second more, which is cut off again: all hosts then have the seconds asked for.
    order = {"do": "start", "programs": programs, "seconds": seconds + 1, "bytes": size // len(streams)}
    connection.run("record", json.dumps(order))


def _remove(hosts: Mapping[str, Host]) -> None:
    """Leave nothing on the hosts, as far as they can be reached; what runs there ends by itself otherwise."""

    def remove(name: str) -> None:
        with contextlib.closing(Connection(hosts[name])) as connection:
            connection.run("record", json.dumps({"do": "remove"}))

    try:
        each(remove, hosts)
    except WgMigrateError as error:
        print(f"{error}\n{DIRECTORY} stays there until the next capture by playbooks/capture.yml", file=sys.stderr)


class Fetched:
    """What a host has captured by itself, on its way into the host's file."""

    def __init__(self, wanted: Wanted, host: Host, prepared: Prepared, begin: int, seconds: float, size: int) -> None:
        """Fetch nothing yet. `begin` is in nanoseconds by the controller's clock."""
        self._host, self._streams = host, prepared.streams[host.name]
        self._limit = size // len(self._streams)
        self._begin, self._seconds = begin, seconds
        self._file = PointFile(wanted.directory / f"{host.name}.pcapng", self._streams)
        self._raw = [wanted.directory / f".{host.name}.{number}" for number in range(len(self._streams))]

    def entry(self, clock: Offset) -> dict[str, Any]:
        """Fetch, write the host's file, and return what capture.json says of it."""
        self._file.clock = clock
        try:
            said = self._fetch()
            missed = self._write(clock, said)
        except WgMigrateError as error:
            return entry(self._host, self._streams, self._file, 0, str(error)) | {"file": None}
        finally:
            for path in self._raw:
                path.unlink(missing_ok=True)
        full = [
            stream.device for stream, words in zip(self._streams, said, strict=True) if dropped_packets(words) is None
        ]
        problem = f"{', '.join(full)}: the size limit was reached, or tcpdump was ended" if full else None
        return entry(self._host, self._streams, self._file, missed, problem)

    def _fetch(self) -> list[str]:
        """Copy the host's captures as they are, once they have ended, and return what each tcpdump said."""
        with contextlib.closing(Connection(self._host)) as connection, contextlib.ExitStack() as opened:
            deadline = time.monotonic() + _END_SECONDS
            while connection.run("record", json.dumps({"do": "running"})).strip() != "0":
                if time.monotonic() > deadline:
                    raise WgMigrateError(f"{self._host.name}: it still captures after {_END_SECONDS:g} s more")
                time.sleep(0.5)
            files = [opened.enter_context(path.open("wb")) for path in self._raw]
            said = [b""] * len(files)

            def take(number: int, data: bytes) -> None:
                if number < len(files):
                    files[number].write(data)
                else:
                    said[number - len(files)] += data

            names = [f"{number}.{kind}" for kind in ("pcap", "said") for number in range(len(files))]
            session = Session(connection, [["cat", str(DIRECTORY / name)] for name in names], take, lasting=False)
            session.join(_FETCH_SECONDS)
            if session.problem:
                raise WgMigrateError(f"{self._host.name}: {session.problem}")
        return [words.decode(errors="replace") for words in said]

    def _write(self, clock: Offset, said: Sequence[str]) -> int:
        """Write the host's file, all devices in the order of time, and return how many packets were missed."""
        for number, path in enumerate(self._raw):
            with path.open("rb") as stream:
                self._file.take(number, stream.read(HEADER))
        if not self._file.ready:
            raise WgMigrateError(f"{self._host.name}: what it captured is gone")
        self._file.begin(self._begin, clock)
        self._file.end = self._begin + int(self._seconds * 1e9)
        dropped = [dropped_packets(words) or 0 for words in said]
        try:
            in_order = heapq.merge(*map(_packets, range(len(self._raw)), self._raw), key=lambda each: each[1].time)
            for number, packet in in_order:
                self._file.keep(number, packet)
                self._file.settle()
        finally:
            self._file.close(dropped)
        return sum(dropped)


def _packets(number: int, path: Path) -> Iterator[tuple[int, Packet]]:
    reader = Reader()
    with path.open("rb") as stream:
        while portion := stream.read(_PORTION):
            for packet in reader.feed(portion):
                yield number, packet


if __name__ == "__main__":
    sys.exit(main())
