"""Reading pcapng (draft-ietf-opsawg-pcapng) into arrays: a million packets in seconds, and what is whole of a cut file.

Own code, because what there is on PyPI does not fit: dpkt tells neither a packet's device nor its full length,
python-pcapng takes 60 µs a packet, scapy's licence (GPL-2.0-only) does not go with ours.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from wg_migrate.errors import WgMigrateError

from observe.pcapng import BYTE_ORDER, FILTER, INTERFACE, NAME, OFFSET, PACKET, RESOLUTION, SECTION

HEAD = 128
"""Bytes of a packet that are kept: the longest headers that anything here reads; captures hold fewer by default."""
_END = 0
"""The last option of a block."""
_PACKET_HEADER = 28
"""Bytes before a packet's own: type, length, interface, time (2), captured and original length, 4 each."""


@dataclass(frozen=True)
class Recorded:
    """The packets of one device in the order of the file, n of them.

    `expression` is the filter in the words of pcap-filter(7), empty where there was none.
    `times` are nanoseconds since 1970 by the host's clock (n), `heads` the first bytes from the link layer on, zeros
    where fewer were captured (n x HEAD), `captured` how many those are (n), `sizes` the bytes that the packet had (n).
    """

    device: str
    expression: str
    link_type: int
    times: NDArray[np.int64]
    heads: NDArray[np.uint8]
    captured: NDArray[np.uint32]
    sizes: NDArray[np.uint32]


@dataclass(frozen=True)
class Recording:
    """A file: its devices, and what is wrong with its end, in words; what stands before that is good."""

    devices: tuple[Recorded, ...]
    damage: str | None


@dataclass(frozen=True)
class _Interface:
    name: str
    expression: str
    link_type: int
    resolution: int
    """Ticks a second; negative: the power of two."""
    offset: int
    """Seconds to be added."""


def read(path: Path) -> Recording:
    """Read a file. Raises WgMigrateError where it is not there or is no pcapng."""
    try:
        size = path.stat().st_size
        # Zeros behind the end, so that the head of the last packet can be looked at as far as any other's.
        data = np.zeros(size + _PACKET_HEADER + HEAD, np.uint8)
        with path.open("rb") as stream:
            size = stream.readinto(memoryview(data)[:size])
    except OSError as error:
        raise WgMigrateError(f"{path} cannot be read: {error.strerror}") from None
    order = _byte_order(bytes(data[:12]))
    if order is None:
        raise WgMigrateError(
            f"{path} is no pcapng file: capture again, or remove it and write file: null in capture.json"
        )
    interfaces, offsets, of_interface, damage = _walk(memoryview(data)[:size], order)
    places = np.array(offsets, np.int64)
    owners = np.array(of_interface, np.int32)
    devices = [
        _recorded(data, places[owners == number], interface, order) for number, interface in enumerate(interfaces)
    ]
    return Recording(tuple(devices), damage)


def _byte_order(beginning: bytes) -> str | None:
    for order in "<>":
        kind, _length, magic = struct.unpack(f"{order}III", beginning)
        if (kind, magic) == (SECTION, BYTE_ORDER):
            return order
    return None


def _walk(data: memoryview, order: str) -> tuple[list[_Interface], list[int], list[int], str | None]:
    """Return the interfaces, where each packet's block begins, the number of its interface, and what ended the walk."""
    head, word = struct.Struct(f"{order}III").unpack_from, struct.Struct(f"{order}I").unpack_from
    interfaces: list[_Interface] = []
    offsets: list[int] = []
    owners: list[int] = []
    place, end = 0, len(data)
    while place + 12 <= end:
        kind, length, first = head(data, place)
        if length < 12 or length % 4:
            return interfaces, offsets, owners, f"damaged {end - place} bytes before its end"
        if place + length > end:
            break
        if word(data, place + length - 4)[0] != length:
            return interfaces, offsets, owners, f"damaged {end - place} bytes before its end"
        if kind == PACKET:
            if first >= len(interfaces) or length < _PACKET_HEADER + 4:
                return interfaces, offsets, owners, f"damaged {end - place} bytes before its end"
            offsets.append(place)
            owners.append(first)
        elif kind == INTERFACE:
            interfaces.append(_interface(bytes(data[place + 8 : place + length - 4]), order))
        elif kind == SECTION and place:
            return interfaces, offsets, owners, f"a second capture begins {end - place} bytes before its end"
        place += length
    return interfaces, offsets, owners, "cut short in the middle of a packet" if place < end else None


def _interface(body: bytes, order: str) -> _Interface:
    link_type = struct.unpack_from(f"{order}H", body)[0] if len(body) >= 8 else -1
    name, expression, resolution, offset, place = "", "", 10**6, 0, 8
    while place + 4 <= len(body):
        code, length = struct.unpack_from(f"{order}HH", body, place)
        value = body[place + 4 : place + 4 + length]
        if code == _END:
            break
        if code == NAME:
            name = value.decode(errors="replace").rstrip("\0")
        elif code == FILTER and value[:1] == b"\0":  # what follows is an expression, not a program
            expression = value[1:].decode(errors="replace")
        elif code == RESOLUTION and len(value) == 1:
            power = value[0] & 0x7F
            resolution = -power if value[0] & 0x80 else 10**power
        elif code == OFFSET and len(value) == 8:
            offset = struct.unpack(f"{order}q", value)[0]
        place += 4 + length + -length % 4
    return _Interface(name, expression, link_type, resolution, offset)


def _recorded(data: NDArray[np.uint8], places: NDArray[np.int64], interface: _Interface, order: str) -> Recorded:
    windows = np.lib.stride_tricks.sliding_window_view(data, _PACKET_HEADER + HEAD)[places]
    numbers = np.ascontiguousarray(windows[:, :_PACKET_HEADER]).view(f"{order}u4")
    heads = np.ascontiguousarray(windows[:, _PACKET_HEADER:])
    # What a damaged length claims beyond its block is the next one's.
    captured = np.minimum(numbers[:, 5], numbers[:, 1] - _PACKET_HEADER - 4).astype(np.uint32)
    heads[np.arange(HEAD) >= captured[:, None]] = 0
    ticks = (numbers[:, 3].astype(np.uint64) << np.uint64(32)) | numbers[:, 4].astype(np.uint64)
    times = _nanoseconds(ticks, interface.resolution) + interface.offset * 10**9
    return Recorded(
        interface.name,
        interface.expression,
        interface.link_type,
        times,
        heads,
        captured,
        numbers[:, 6].astype(np.uint32),
    )


def _nanoseconds(ticks: NDArray[np.uint64], resolution: int) -> NDArray[np.int64]:
    if resolution > 0 and 10**9 % resolution == 0:
        return ticks.astype(np.int64) * (10**9 // resolution)
    per_second = float(resolution) if resolution > 0 else 2.0**-resolution
    return (ticks.astype(np.float64) * (1e9 / per_second)).astype(np.int64)
