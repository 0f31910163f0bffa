"""What the kernel handles as one packet is captured as on the wire: sizes, numbers, headers; all else as it is."""

from __future__ import annotations

import socket
import struct

import pytest

from observe.pcap import Packet, Reader
from observe.remote.divide import Divider, divide

RAW, ETHERNET = 12, 1
FRAME = bytes(12)


def message(counter: int, size: int, receiver: bytes = b"\1\2\3\4") -> bytes:
    return b"\4\0\0\0" + receiver + struct.pack("<Q", counter) + bytes([counter % 256]) * (size - 16)


def checksum(header: bytes) -> int:
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return int(~total & 0xFFFF)


def ipv4(payload: bytes, protocol: int = 17, number: int = 7) -> bytes:
    ends = socket.inet_aton("192.0.2.10") + socket.inet_aton("198.51.100.11")
    head = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(payload), number, 0x4000, 64, protocol, 0) + ends
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return head + struct.pack("!HHHH", 40000, 51820, 8 + len(payload), 0) + payload


def ipv6(payload: bytes) -> bytes:
    ends = b"".join(socket.inet_pton(socket.AF_INET6, address) for address in ("2001:db8::10", "2001:db8::11"))
    head = struct.pack("!IHBB", 6 << 28, 8 + len(payload), 17, 64) + ends
    return head + struct.pack("!HHHH", 40000, 51820, 8 + len(payload), 0) + payload


SIZES = [[96, 96], [1372, 1372, 1372, 112], [32, 32, 32], [1392, 32], [96] * 64]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_messages_handed_over_as_one_are_divided(sizes: list[int]) -> None:
    messages = [message(250 + number, size) for number, size in enumerate(sizes)]
    assert divide(ipv4(b"".join(messages)), RAW) == [ipv4(each, number=7 + n) for n, each in enumerate(messages)]
    assert divide(ipv6(b"".join(messages)), RAW) == [ipv6(each) for each in messages]
    frame = FRAME + b"\x08\0"
    assert divide(frame + ipv4(b"".join(messages)), ETHERNET) == [
        frame + ipv4(each, number=7 + n) for n, each in enumerate(messages)
    ]


@pytest.mark.parametrize(
    "packet",
    [
        ipv4(message(1, 1392)),
        ipv4(message(1, 32)),
        ipv4(b"\1" + bytes(147)),  # a handshake
        ipv4(message(1, 96) + message(2, 96), protocol=6),
        ipv4(message(1, 96) + message(2, 96, b"\4\3\2\1")),  # nothing hands over messages for two receivers as one
        ipv4(message(1, 96) + message(2, 48) + message(3, 96)),
        ipv4(b""),
        b"\x45",
        b"",
    ],
    ids=range(9),
)
def test_all_else_stays_as_it_is(packet: bytes) -> None:
    assert divide(packet, RAW) == [packet]


def test_other_frames_stay_as_they_are() -> None:
    arp = FRAME + b"\x08\x06" + bytes(28)
    assert divide(arp, ETHERNET) == [arp]


def record(time: int, packet: bytes, order: str = "<", kept: int | None = None) -> bytes:
    data = packet[:kept]
    return struct.pack(f"{order}4I", time, 5, len(data), len(packet)) + data


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("portion", [1, 100, 100_000])
def test_a_stream_is_divided_and_cut_to_headers(order: str, portion: int) -> None:
    one, two, three = message(1, 1392), message(2, 1392), message(3, 64)
    data = struct.pack(f"{order}IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, RAW)
    data += record(1, ipv4(one + two + three), order) + record(2, ipv4(one), order)
    data += record(3, ipv4(two + three), order, kept=50)  # what tcpdump has cut cannot be divided
    divider, reader = Divider(96), Reader()
    written = b"".join(divider.feed(data[at : at + portion]) for at in range(0, len(data), portion))
    found = list(reader.feed(written))
    assert reader.header is not None
    assert reader.header.snap == 96
    seconds = 1_000_000_000
    assert found == [
        Packet(seconds + 5, 1420, ipv4(one)[:96]),
        Packet(seconds + 5, 1420, ipv4(two, number=8)[:96]),
        Packet(seconds + 5, 92, ipv4(three, number=9)),
        Packet(2 * seconds + 5, 1420, ipv4(one)[:96]),
        Packet(3 * seconds + 5, 28 + 1392 + 64, ipv4(two + three)[:50]),
    ]


def test_whole_packets_stay_whole() -> None:
    data = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, RAW) + record(1, ipv4(message(1, 1392)))
    assert [len(packet.data) for packet in Reader().feed(Divider(0).feed(data))] == [1420]
