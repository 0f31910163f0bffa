"""What a switch looks like on the wire, by a capture of the bridge: who comes late, where the exit sends meanwhile."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

LINE = re.compile(r"(\d+):(\d+):([\d.]+) IP6? (\S+)\.\d+ > (\S+)\.\d+: UDP, length (\d+)")


@dataclass(frozen=True)
class Packet:
    """A UDP packet: when, in seconds of the day, from and to whom, bytes of payload."""

    seconds: float
    source: str
    destination: str
    length: int


@dataclass(frozen=True)
class Switch:
    """One switch to a proxy as the exit saw it.

    `late` packets came by the old path after the first by the new one, the last of them `settled` seconds after that.
    `astray` packets the exit sent by the old path in that time, as it follows the last packet to arrive.
    """

    proxy: str
    late: int
    astray: int
    settled: float


def read(lines: Iterable[str], shortest: int) -> list[Packet]:
    """Return tcpdump's LINES as packets, without those shorter than SHORTEST bytes."""
    packets = []
    for line in lines:
        match = LINE.match(line)
        if match:
            hours, minutes, seconds, source, destination, length = match.groups()
            when = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
            packets.append(Packet(when, source, destination, int(length)))
    return [packet for packet in packets if packet.length >= shortest]


def switches(packets: Sequence[Packet], client: str, exit_: str) -> list[Switch]:
    """Return all switches among PACKETS that were followed by another, but for the first: how it began is not known."""
    sent = [packet for packet in packets if packet.source == client]
    moments = [new for old, new in pairwise(sent) if old.destination != new.destination]
    return [one(packets, new.destination, (new.seconds, after.seconds), exit_) for new, after in pairwise(moments)]


def one(packets: Sequence[Packet], proxy: str, times: tuple[float, float], exit_: str) -> Switch:
    """Return the switch to PROXY that began and ended at these TIMES."""
    during = [packet for packet in packets if times[0] <= packet.seconds < times[1]]
    arrived = [packet for packet in during if packet.destination == exit_]
    first = next((packet.seconds for packet in arrived if packet.source == proxy), times[1])
    late = [packet for packet in arrived if packet.source != proxy and packet.seconds > first]
    last = late[-1].seconds if late else first
    left = [packet for packet in during if packet.source == exit_ and first < packet.seconds]
    astray = sum(packet.destination != proxy for packet in left)
    return Switch(proxy, len(late), astray, last - first)
