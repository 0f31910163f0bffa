"""What the client put on its uplink: judged packet by packet as verify.yml does (wg_migrate.wire), each flow once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from wg_migrate import wire

from observe.report.capture import Network
from observe.report.packets import Bools, Floats, Integers, Packets
from observe.report.traces import at_uplink

KINDS = ("wireguard", "management", "neighbours", "fragments", "leaks")
_IPV4, _IPV6 = 0x0800, 0x86DD
_MOST_EXAMPLES = 10
_NONE, _OWN = -1, -2


@dataclass(frozen=True)
class Example:
    """A leaked flow in words, how many packets it had, and when the first one was, in seconds."""

    flow: str
    packets: int
    first: float


@dataclass(frozen=True)
class Leaks:
    """How many packets of each kind the client's uplink had, and when those were that leaked, in seconds.

    `own` are the host's own packets, which may go beside the tunnel where only a namespace is tunnelled. `others` are
    not IP (ARP), or neither from nor to the client. `examples` has the first few flows. `expression` is the filter of
    the capture: what it kept out was not judged.
    """

    counts: dict[str, int]
    own: int
    others: int
    expression: str
    times: Floats
    examples: tuple[Example, ...]

    @property
    def looked_at(self) -> int:
        """Return how many packets were judged."""
        return sum(self.counts.values()) + self.own + self.others


def leaks(uplink: Packets, network: Network, expression: str, suspects: frozenset[str] | None = None) -> Leaks | None:
    """Judge the packets of the client's uplink; None where no WireGuard packet tells which addresses are its own.

    With `suspects`, only packets from or to these addresses can be leaks: elsewhere the host speaks for itself (client
    scope namespace).
    """
    up, down, _path = at_uplink(uplink, network)
    if not (up | down).any():
        return None
    endpoints = frozenset((path.proxy.address, path.proxy.port) for path in network.paths)
    allowed = wire.Allowed(_own_addresses(uplink, up, down), endpoints)
    firsts, flow_of = _flows(uplink)
    # A flow is judged by its first packet: what the judgement looks at is the same in all of them.
    seen = [_parse(uplink, int(first)) for first in firsts]
    numbers = np.array([_judge(packet, allowed, suspects) for packet in seen])[flow_of]
    leaked = np.flatnonzero(numbers == KINDS.index("leaks"))
    flows, first, count = np.unique(flow_of[leaked], return_index=True, return_counts=True)
    examples = tuple(
        Example(str(seen[flows[at]]), int(count[at]), float(uplink.times[leaked[first[at]]]))
        for at in np.argsort(first)[:_MOST_EXAMPLES]
    )
    return Leaks(
        counts={kind: int((numbers == number).sum()) for number, kind in enumerate(KINDS)},
        own=int((numbers == _OWN).sum()),
        others=int((numbers == _NONE).sum()),
        expression=expression,
        times=uplink.times[leaked],
        examples=examples,
    )


def _judge(packet: wire.Packet | None, allowed: wire.Allowed, suspects: frozenset[str] | None) -> int:
    """Return the number of a packet's kind, _OWN or _NONE."""
    kind = wire.sort(packet, allowed) if packet else None
    if packet is None or kind is None:
        return _NONE
    if kind == "leaks" and suspects is not None and not {packet.source, packet.target} & suspects:
        return _OWN
    return KINDS.index(kind)


def _own_addresses(uplink: Packets, up: Bools, down: Bools) -> frozenset[str]:
    """Return the client's addresses: those of its WireGuard, and on Ethernet all that its card speaks and hears for."""
    sends, hears = up.copy(), down.copy()
    if uplink.link.shape[1]:
        # IEEE 802.3: the target's address first, then the source's.
        card = uplink.link[up][0, 6:12] if up.any() else uplink.link[down][0, :6]
        sends |= (uplink.link[:, 6:12] == card).all(axis=1)
        hears |= (uplink.link[:, :6] == card).all(axis=1)
    firsts, flow_of = _flows(uplink)
    own = set()
    for flow in np.unique(flow_of[sends | hears]):
        first = int(firsts[flow])
        packet = _parse(uplink, first)
        if packet:
            own.add(packet.source if sends[first] else packet.target)
    return frozenset(own)


def _parse(uplink: Packets, number: int) -> wire.Packet | None:
    kind = _IPV6 if uplink.is_ipv6[number] else _IPV4 if uplink.is_ipv4[number] else 0
    return wire.parse(kind, uplink.content[number].tobytes())


def _flows(uplink: Packets) -> tuple[Integers, Integers]:
    """Return the number of the first packet of each flow, and the flow of each packet."""
    ports = (uplink.source_port << 16) | uplink.target_port
    rest = (uplink.protocol << 2) | (uplink.is_ipv6 << 1) | uplink.is_ipv4
    columns = [*uplink.source.T, *uplink.target.T, ports.astype(np.uint64), rest.astype(np.uint64)]
    rows = np.ascontiguousarray(np.stack(columns, axis=1))
    keys = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    _unique, firsts, flow_of = np.unique(keys, return_index=True, return_inverse=True)
    return firsts, flow_of
