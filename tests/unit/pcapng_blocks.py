"""A pcapng file taken apart by the letter of its draft, for tests: nothing here is shared with what writes them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from observe.pcap import Packet


@dataclass
class Blocks:
    """A pcapng file taken apart by the letter of its draft: comment, devices, packets, and figures at the end."""

    comment: str
    devices: list[tuple[str, str, int, int, int, str]]
    packets: list[tuple[int, Packet]]
    figures: list[tuple[int, int, int]]
    rest: bytes


def options(body: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    position = 0
    while position < len(body):
        code, size = struct.unpack_from("<HH", body, position)
        found[code] = body[position + 4 : position + 4 + size]
        position += 4 + size + (-size % 4)
        if code == 0:
            break
    assert position == len(body)
    return found


def blocks(data: bytes) -> Blocks:
    found, position = Blocks("", [], [], [], b""), 0
    while position + 12 <= len(data):
        kind, size = struct.unpack_from("<II", data, position)
        if position + size > len(data):
            break
        assert size % 4 == 0
        assert struct.unpack_from("<I", data, position + size - 4) == (size,)
        body = data[position + 8 : position + size - 4]
        if kind == 0x0A0D0D0A:
            assert struct.unpack_from("<IHHq", body) == (0x1A2B3C4D, 1, 0, -1)
            found.comment = options(body[16:])[1].decode()
        elif kind == 1:
            link_type, _, snap = struct.unpack_from("<HHI", body)
            about = options(body[8:])
            words = (about[2].decode(), about[3].decode(), link_type, snap, about[9][0], about[11][1:].decode())
            found.devices.append(words)
        elif kind == 6:
            number, high, low, kept, length = struct.unpack_from("<5I", body)
            found.packets.append((number, Packet((high << 32) + low, length, body[20 : 20 + kept])))
        elif kind == 5:
            about = options(body[12:])
            figures = (struct.unpack("<Q", about[4])[0], struct.unpack("<Q", about[5])[0])
            found.figures.append((struct.unpack_from("<I", body)[0], *figures))
        position += size
    found.rest = data[position:]
    return found
