"""The IP packets of a device as columns, so that a million of them are looked at in a second."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from wg_migrate.errors import WgMigrateError

from observe.report.pcapng import Recorded

ETHERNET, RAW = 1, 101
"""Link types (the registry of tcpdump.org): frames, and IP packets without any link layer."""
_ETHERNET_HEADER = 14
_IPV4, _IPV6 = 0x0800, 0x86DD
TCP, UDP, ICMP, FRAGMENT = 6, 17, 1, 44

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Packets:
    """The packets of one device in the order of time, n of them.

    `times` are seconds since the capture began, by the controller's clock; `sizes` the bytes of the IP packet (not what
    Ethernet pads it with); `source` and `target` the addresses as pairs of numbers (n x 2), IPv4 as in ::ffff:0:0/96;
    `protocol` is 44 for a fragment of either version; ports are 0 where there are none. `content`
    begins with the IP header, `transport` tells where TCP's or UDP's begins in it, and `link` is what stood before it.
    """

    times: Floats
    sizes: Integers
    is_ipv4: Bools
    is_ipv6: Bools
    source: NDArray[np.uint64]
    target: NDArray[np.uint64]
    protocol: Integers
    source_port: Integers
    target_port: Integers
    content: NDArray[np.uint8]
    transport: Integers
    link: NDArray[np.uint8]

    def __len__(self) -> int:
        """Return how many they are."""
        return len(self.times)

    def take(self, which: Bools | Integers) -> Packets:
        """Return some of them: where a mask is true, or by their numbers."""
        return Packets(**{name: column[which] for name, column in vars(self).items()})


def packets(recorded: Recorded, origin: float, clock_offset: float, clock_drift: float = 0.0) -> Packets:
    """Return a device's packets; `origin` is when the capture began, seconds since 1970 by the controller's clock.

    `clock_offset` is the host's clock less the controller's when the capture began, in seconds, and `clock_drift` how
    much that grows in a second. Raises WgMigrateError for an unknown link.
    """
    order = np.argsort(recorded.times, kind="stable")
    heads = recorded.heads[order]
    start = _ETHERNET_HEADER if recorded.link_type == ETHERNET else 0
    if recorded.link_type not in (ETHERNET, RAW):
        raise WgMigrateError(
            f"{recorded.device or 'a device'} has link type {recorded.link_type}, and only Ethernet (1) and bare IP "
            "(101) are read: capture on another device"
        )
    content = heads[:, start:]
    version = content[:, 0] >> 4
    if recorded.link_type == ETHERNET:
        ether_type = _number(heads, 12, 2)
        version = np.where(ether_type == _IPV4, 4, np.where(ether_type == _IPV6, 6, 0))
    known = recorded.captured[order].astype(np.int64) - start
    is_ipv4, is_ipv6 = (version == 4) & (known >= 20), (version == 6) & (known >= 40)
    protocol = np.where(is_ipv4, content[:, 9], np.where(is_ipv6, content[:, 6], 0)).astype(np.int64)
    protocol[is_ipv4 & (_number(content, 6, 2) & 0x3FFF != 0)] = FRAGMENT
    transport = np.where(is_ipv4, (content[:, 0] & 15).astype(np.int64) * 4, 40)
    has_ports = np.isin(protocol, (TCP, UDP)) & (known >= transport + 4)
    ports = np.where(has_ports[:, None], _gather(content, transport, 4), 0)
    return Packets(
        times=(recorded.times[order] - round((origin + clock_offset) * 1e9)) / 1e9 * (1 - clock_drift),
        sizes=_sizes(content, is_ipv4, is_ipv6, recorded.sizes[order].astype(np.int64) - start),
        is_ipv4=is_ipv4,
        is_ipv6=is_ipv6,
        source=_addresses(content, is_ipv4, is_ipv6, 12, 8),
        target=_addresses(content, is_ipv4, is_ipv6, 16, 24),
        protocol=protocol,
        source_port=_number(ports, 0, 2),
        target_port=_number(ports, 2, 2),
        content=content,
        transport=transport,
        link=heads[:, :start],
    )


def joined(parts: list[Packets]) -> Packets:
    """Return the packets of several devices, at least one, in the order of time."""
    narrowest = min(part.link.shape[1] for part in parts)
    width = min(part.content.shape[1] for part in parts)
    cut = {"link": narrowest, "content": width}
    columns = {
        name: np.concatenate(
            [getattr(part, name)[:, : cut[name]] if name in cut else getattr(part, name) for part in parts]
        )
        for name in vars(parts[0])
    }
    return Packets(**columns).take(np.argsort(columns["times"], kind="stable"))


def is_address(column: NDArray[np.uint64], address: str) -> Bools:
    """Tell where a column of addresses has this one."""
    high, low = _pair(address)
    found: Bools = (column[:, 0] == high) & (column[:, 1] == low)
    return found


def number_at(content: NDArray[np.uint8], places: Integers, width: int) -> Integers:
    """Return the number of `width` bytes, big end first, at a place of its own in each row; places must be inside."""
    return _number(_gather(content, places, width), 0, width)


def texts(column: NDArray[np.uint64]) -> set[str]:
    """Return the IPv4 addresses in a column as text."""
    pairs = np.unique(column, axis=0).tolist()
    return {str(ipaddress.IPv4Address(low & 0xFFFFFFFF)) for high, low in pairs if not high and low >> 32 == 0xFFFF}


def _pair(address: str) -> tuple[np.uint64, np.uint64]:
    number = int(ipaddress.ip_address(address))
    if ":" not in address:
        number |= 0xFFFF << 32
    return np.uint64(number >> 64), np.uint64(number & (2**64 - 1))


def _addresses(
    content: NDArray[np.uint8], is_ipv4: Bools, is_ipv6: Bools, place4: int, place6: int
) -> NDArray[np.uint64]:
    whole = np.where(is_ipv6[:, None], content[:, place6 : place6 + 16], 0).astype(np.uint8)
    whole[is_ipv4, 10:12] = 0xFF
    whole[is_ipv4, 12:] = content[is_ipv4, place4 : place4 + 4]
    return np.ascontiguousarray(whole).view(">u8").astype(np.uint64)


def _sizes(content: NDArray[np.uint8], is_ipv4: Bools, is_ipv6: Bools, captured_sizes: Integers) -> Integers:
    told = np.where(is_ipv4, _number(content, 2, 2), np.where(is_ipv6, _number(content, 4, 2) + 40, 0))
    # The kernel may hand over more than the length field can tell, and leaves it 0 then (BIG TCP).
    return np.where((told > 40) | is_ipv4 & (told > 0), np.minimum(told, captured_sizes), captured_sizes)


def _gather(content: NDArray[np.uint8], places: Integers, width: int) -> NDArray[np.uint8]:
    rows: NDArray[np.uint8] = np.take_along_axis(content, places[:, None] + np.arange(width), axis=1)
    return rows


def _number(rows: NDArray[np.uint8], place: int, width: int) -> Integers:
    number = np.zeros(len(rows), np.int64)
    for column in range(place, place + width):
        number = (number << 8) | rows[:, column]
    return number
