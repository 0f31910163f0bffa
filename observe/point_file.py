"""One vantage point's file while its packets come in."""

from __future__ import annotations

import contextlib
import heapq
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from wg_migrate.errors import WgMigrateError

from observe import pcapng
from observe.clocks import Offset
from observe.pcap import Packet, Reader
from observe.points import Stream

_ORDERING = 2_000_000_000
"""Nanoseconds for which packets wait for earlier ones of other devices: the kernel hands a device's packets over after
a second at the latest (packet(7), TPACKET_V3; tcpdump's time-out)."""


class PointFile:
    """Takes what each tcpdump of a host writes, and keeps what was seen between two instants, in the order of time.

    The instants are in nanoseconds by the controller's clock. Nothing is kept before `begin`.
    """

    def __init__(self, path: Path, streams: Sequence[Stream]) -> None:
        """Make no file yet: there is nothing to write before all devices are captured."""
        self.path = path
        self.packets = 0
        self.end: int | None = None
        self._streams = streams
        self._readers = [Reader() for _ in streams]
        self._counts = [0 for _ in streams]
        self._begin: int | None = None
        self.clock = Offset(0, 0)
        self._waiting: list[tuple[int, int, bytes]] = []
        self._newest = 0
        self._kept = 0

    @property
    def ready(self) -> bool:
        """Tell whether every device is captured: tcpdump writes its header once its filter stands."""
        return all(reader.header for reader in self._readers)

    def begin(self, instant: int, offset: Offset) -> None:
        """Make the file; what the host saw from this instant on is kept, by its clock that is so far from ours.

        Raises WgMigrateError where it cannot be written.
        """
        self.clock = offset
        comment = (
            f"clock of this host minus the controller's: {offset.nanoseconds / 1e9:+.6f} s, "
            f"known to {offset.error / 1e9:.6f} s; times are not corrected"
        )
        parts = [pcapng.section(comment)]
        for stream, reader in zip(self._streams, self._readers, strict=True):
            assert reader.header is not None
            about = (stream.device, stream.layer, reader.header.link_type, reader.header.snap, stream.expression)
            parts.append(pcapng.interface(pcapng.Interface(*about)))
        with self._told(), contextlib.ExitStack() as opened:
            self._file = opened.enter_context(self.path.open("wb"))
            self._file.write(b"".join(parts))
            self._file.flush()
            opened.pop_all()
        self._begin = instant

    def take(self, number: int, portion: bytes) -> None:
        """Take a portion of what the tcpdump with this number wrote. Raises WgMigrateError where that is no capture."""
        for packet in self._readers[number].feed(portion):
            self.keep(number, packet)
        self.settle()

    def keep(self, number: int, packet: Packet) -> None:
        """Keep a packet of the device with this number, if it was seen between the two instants."""
        time = packet.time - self.clock.nanoseconds
        if self._begin is None or time < self._begin or (self.end is not None and time > self.end):
            return
        self._newest = max(self._newest, packet.time)
        self._kept += 1
        heapq.heappush(self._waiting, (packet.time, self._kept, pcapng.packet(number, packet)))
        self._counts[number] += 1

    def settle(self) -> None:
        """Write the packets that no earlier one can come for any more. Raises WgMigrateError."""
        if self._waiting and self._waiting[0][0] <= self._newest - _ORDERING:
            self._write(self._newest - _ORDERING)

    def _write(self, until: int) -> None:
        """Write what was seen until then."""
        with self._told():
            while self._waiting and self._waiting[0][0] <= until:
                self._file.write(heapq.heappop(self._waiting)[2])
                self.packets += 1
            self._file.flush()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WgMigrateError(f"{self.path} cannot be written: {error.strerror}") from None

    def close(self, dropped: Sequence[int]) -> None:
        """Write what waits, and each device's figures: DROPPED packets were missed there. Raises WgMigrateError."""
        figures = [
            pcapng.statistics(number, self._newest, count, missed)
            for number, (count, missed) in enumerate(zip(self._counts, dropped, strict=True))
        ]
        try:
            self._write(self._newest)
            with self._told():
                self._file.write(b"".join(figures))
        finally:
            with self._told():
                self._file.close()


def dropped_packets(said: str) -> int | None:
    """Return how many packets tcpdump missed, from its last words; None where it had none."""
    found = re.search(r"^(\d+) packets? dropped by kernel", said, re.MULTILINE)
    return int(found[1]) if found else None
