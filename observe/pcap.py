"""Reading what `tcpdump -w -` writes while it comes: the file format of libpcap (pcap-savefile(5)). Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from wg_migrate.errors import WgMigrateError

_HEADER, _RECORD = 24, 16
_BYTE_ORDERS = {0xA1B23C4D: 1, 0xA1B2C3D4: 1000}
"""The magic numbers, and the nanoseconds of a record's fraction of a second."""


class Packet(NamedTuple):
    """When it was seen, in nanoseconds since 1970 by the host's clock; its length; and its first bytes."""

    time: int
    length: int
    data: bytes


@dataclass(frozen=True)
class Header:
    """The kind of the packets' first header (LINKTYPE_...), and the most bytes that are kept of one."""

    link_type: int
    snap: int


class Reader:
    """Makes packets of portions of a capture, wherever those are cut."""

    def __init__(self) -> None:
        """Begin before the header."""
        self.header: Header | None = None
        self._rest = b""
        self._record = struct.Struct("<4I")
        self._fraction = 1

    def feed(self, portion: bytes) -> Iterator[Packet]:
        """Return the packets that are whole now. Raises WgMigrateError for what is no capture."""
        data, position = self._rest + portion, 0
        if self.header is None:
            if len(data) < _HEADER:
                self._rest = data
                return
            self._begin(data)
            position = _HEADER
        end = len(data)
        while position + _RECORD <= end:
            seconds, fraction, kept, length = self._record.unpack_from(data, position)
            following = position + _RECORD + kept
            if following > end:
                break
            time = seconds * 1_000_000_000 + fraction * self._fraction
            yield Packet(time, length, data[position + _RECORD : following])
            position = following
        self._rest = data[position:]

    def _begin(self, data: bytes) -> None:
        for order in "<>":
            magic, _, _, _, _, snap, link_type = struct.unpack_from(f"{order}IHHiIII", data)
            if magic in _BYTE_ORDERS:
                self._fraction = _BYTE_ORDERS[magic]
                self._record = struct.Struct(f"{order}4I")
                self.header = Header(link_type & 0xFFFF, snap)
                return
        raise WgMigrateError(f"what tcpdump writes is no capture: it begins with {data[:16]!r}")
