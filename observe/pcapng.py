"""Writing a capture of several devices as one pcapng file (draft-ietf-opsawg-pcapng), block by block. Pure.

Written here because a packet must cost next to nothing: a busy tunnel brings ten in a millisecond and more, and tcpdump
misses some where nobody reads fast enough.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from observe.pcap import Packet

SECTION, INTERFACE, STATISTICS, PACKET = 0x0A0D0D0A, 1, 5, 6
"""Types of blocks."""
BYTE_ORDER = 0x1A2B3C4D
NAME, DESCRIPTION, RESOLUTION, FILTER, OFFSET = 2, 3, 9, 11, 14
"""Options of an interface's block."""
_COMMENT, _APPLICATION = 1, 4
_RECEIVED, _DROPPED = 4, 5
_NANOSECONDS = b"\x09"
_LIBPCAP_EXPRESSION = b"\x00"
_PACKET_HEAD = struct.Struct("<7I")


@dataclass(frozen=True)
class Interface:
    """A captured device: its name, a word about it, LINKTYPE_..., the snap length in bytes, and tcpdump's filter."""

    name: str
    description: str
    link_type: int
    snap: int
    expression: str


def section(comment: str) -> bytes:
    """Return the block that begins a file, of a length that is not known yet."""
    options = _options([(_COMMENT, comment.encode()), (_APPLICATION, b"wg-migrate capture")])
    return _block(SECTION, struct.pack("<IHHq", BYTE_ORDER, 1, 0, -1) + options)


def interface(about: Interface) -> bytes:
    """Return the block that describes a device; the first has number 0. Times are in nanoseconds."""
    options = [
        (NAME, about.name.encode()),
        (DESCRIPTION, about.description.encode()),
        (RESOLUTION, _NANOSECONDS),
        (FILTER, _LIBPCAP_EXPRESSION + about.expression.encode()),
    ]
    return _block(INTERFACE, struct.pack("<HHI", about.link_type, 0, about.snap) + _options(options))


def packet(number: int, seen: Packet) -> bytes:
    """Return the block of a packet on the device with this number."""
    kept = len(seen.data)
    padded = kept + (-kept & 3)
    size = 32 + padded
    head = _PACKET_HEAD.pack(PACKET, size, number, seen.time >> 32, seen.time & 0xFFFFFFFF, kept, seen.length)
    return b"".join((head, seen.data, bytes(padded - kept), size.to_bytes(4, "little")))


def statistics(number: int, time: int, received: int, dropped: int) -> bytes:
    """Return the block that ends a device: packets that its filter let through, and those that were missed."""
    options = _options([(_RECEIVED, struct.pack("<Q", received)), (_DROPPED, struct.pack("<Q", dropped))])
    return _block(STATISTICS, struct.pack("<III", number, time >> 32, time & 0xFFFFFFFF) + options)


def _block(kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def _options(options: Sequence[tuple[int, bytes]]) -> bytes:
    parts = [struct.pack("<HH", code, len(value)) + value + bytes(-len(value) & 3) for code, value in options]
    return b"".join(parts) + bytes(4)  # opt_endofopt
