"""Run tcpdump and write its packets as they are on the wire, cut to their headers: `divide.py SNAP TCPDUMP...`.

wireguard-go hands over and takes up to 64 datagrams as one packet (UDP_SEGMENT, and its own tun device), and tcpdump
sees that one: neither sizes nor numbers of packets would be true. Where the next WireGuard message begins stands
nowhere in the headers, so tcpdump must keep whole packets (`-s 0`), and only SNAP bytes of each are passed on (0: all).

A message of data begins with its type, the receiver and a counter (WireGuard, section 5.4.6); all but the last of
those handed over as one are of the same size.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator

HEADER = 24
MAGICS = {0xA1B23C4D, 0xA1B2C3D4}
ETHERNET = 1  # LINKTYPE_…; everything else here begins with the IP header
IPV4, IPV6 = b"\x08\x00", b"\x86\xdd"
DATA = b"\x04\x00\x00\x00"
UDP = 17
LEAST = 32
"""Bytes of the smallest message of data."""
PORTION = 1 << 18


def payload_of(packet: bytes, link_type: int) -> tuple[int, int] | None:
    """Return where in a packet the IP header and the payload of UDP begin; None where it is no UDP."""
    start = 0
    if link_type == ETHERNET:
        start = 14
        if packet[12:14] not in (IPV4, IPV6):
            return None
    if len(packet) < start + 28:
        return None
    version = packet[start] >> 4
    if version == 4 and packet[start + 9] == UDP:
        return start, start + (packet[start] & 15) * 4 + 8
    if version == 6 and packet[start + 6] == UDP:
        return start, start + 48
    return None


def divide(packet: bytes, link_type: int) -> list[bytes]:
    """Return the packets on the wire that a packet stands for: itself, or one for each message in it."""
    found = payload_of(packet, link_type)
    if found is None:
        return [packet]
    start, begin = found
    prefix = packet[begin : begin + 8]
    if prefix[:4] != DATA:
        return [packet]
    following = packet.find(prefix, begin + LEAST)
    if following < 0:
        return [packet]
    size = following - begin
    messages = range(begin, len(packet), size)
    if any(packet[at : at + 8] != prefix for at in messages):
        return [packet]
    return [
        headers(packet[:begin], start, number, len(packet[at : at + size])) + packet[at : at + size]
        for number, at in enumerate(messages)
    ]


def headers(whole: bytes, start: int, number: int, size: int) -> bytes:
    """Return the headers of the datagram with this number, as the kernel makes them of those of the whole packet."""
    made = bytearray(whole)
    udp = len(made) - 8
    struct.pack_into("!HH", made, udp + 4, size + 8, 0)  # no checksum: it would need all of the payload
    if made[start] >> 4 == 6:
        struct.pack_into("!H", made, start + 4, size + 8)
        return bytes(made)
    identification = struct.unpack_from("!H", made, start + 4)[0]
    struct.pack_into("!HH", made, start + 2, udp - start + size + 8, (identification + number) & 0xFFFF)
    struct.pack_into("!H", made, start + 10, 0)
    total = sum(struct.unpack_from(f"!{(udp - start) // 2}H", made, start))
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    struct.pack_into("!H", made, start + 10, ~total & 0xFFFF)
    return bytes(made)


class Divider:
    """Divides a capture portion by portion: the file format of libpcap (pcap-savefile(5)) in and out."""

    def __init__(self, snap: int) -> None:
        """Begin before the header."""
        self._snap = snap or 1 << 18
        self._rest = b""
        self._record: struct.Struct | None = None
        self._link_type = 0

    def feed(self, portion: bytes) -> bytes:
        """Return what is to be written for what is whole now."""
        data, written = self._rest + portion, []
        position = 0
        if self._record is None:
            if len(data) < HEADER:
                self._rest = data
                return b""
            order = "<" if struct.unpack_from("<I", data)[0] in MAGICS else ">"
            self._record = struct.Struct(f"{order}4I")
            self._link_type = struct.unpack_from(f"{order}I", data, 20)[0] & 0xFFFF
            written.append(data[:16] + struct.pack(f"{order}I", self._snap) + data[20:HEADER])
            position = HEADER
        for seconds, fraction, length, packet in self._records(data, position):
            position += self._record.size + len(packet)
            parts = divide(packet, self._link_type)
            for part in parts:
                kept = part[: self._snap]
                size = len(part) if len(parts) > 1 else length
                written += (self._record.pack(seconds, fraction, len(kept), size), kept)
        self._rest = data[position:]
        return b"".join(written)

    def _records(self, data: bytes, position: int) -> Iterator[tuple[int, int, int, bytes]]:
        assert self._record is not None
        head = self._record.size
        while position + head <= len(data):
            seconds, fraction, kept, length = self._record.unpack_from(data, position)
            end = position + head + kept
            if end > len(data):
                return
            yield seconds, fraction, length, data[position + head : end]
            position = end


def main(snap: int, argv: list[str]) -> int:
    """Run tcpdump, which dies with this process, and return its exit status."""
    process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *argv], stdout=subprocess.PIPE)
    signal.signal(signal.SIGINT, lambda *_: process.send_signal(signal.SIGINT))
    # Where nobody reads, or the file has become too large, this ends, and tcpdump with it.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    assert process.stdout is not None
    divider = Divider(snap)
    while portion := os.read(process.stdout.fileno(), PORTION):
        rest = memoryview(divider.feed(portion))
        while rest:
            rest = rest[os.write(1, rest) :]
    return process.wait()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
