"""Round-trip times from packets that were captured anyway: what went up, and what came down because of it.

TCP: every segment carries a clock's time, and the other end says which it has heard last (RFC 7323). The first segment
up with a time and the first one down that repeats it are a round trip. The other end repeats the time of a mere
acknowledgement only with its next data, so such a one counts only while data are flowing.
ICMP: an echo request and its reply. QUIC tells nothing of the kind to those who cannot decrypt it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from observe.report.packets import ICMP, TCP, Floats, Integers, Packets, is_address, number_at

_TIMESTAMP, _TIMESTAMP_LENGTH, _PADDING, _END = 8, 10, 1, 0
"""Kinds of TCP options (RFC 9293, section 3.1; RFC 7323, section 3.2)."""
_MOST_OPTIONS = 40
_FIN_OR_SYN = 3
_REQUEST, _REPLY = 8, 0
MOST_CREDIBLE = 10.0
"""Seconds: a longer round trip is a pause of somebody's."""


@dataclass(frozen=True)
class RoundTrips:
    """Round trips, n of them: when the answer came and how long it took, in seconds; `kind` says what they are of."""

    kind: str
    times: Floats
    seconds: Floats

    def __len__(self) -> int:
        """Return how many they are."""
        return len(self.times)


def round_trips(inner: Packets, client: str) -> RoundTrips | None:
    """Return the round trips of the kind that has most, of the client with this inner address; None where none is."""
    found = [kind for kind in (_of_tcp(inner, client), _of_icmp(inner, client)) if len(kind)]
    return max(found, key=len) if found else None


def _of_icmp(inner: Packets, client: str) -> RoundTrips:
    echoes = inner.take((inner.protocol == ICMP) & ~inner.is_ipv6)
    kind = number_at(echoes.content, echoes.transport, 1)
    identity = number_at(echoes.content, echoes.transport + 4, 4)
    up, down = (
        is_address(echoes.source, client) & (kind == _REQUEST),
        is_address(echoes.target, client) & (kind == _REPLY),
    )
    sent: dict[tuple[int, int], float] = {}
    samples = []
    far = np.where(up, echoes.target[:, 1], echoes.source[:, 1])
    rows = zip(*(column.tolist() for column in (echoes.times, up, down, far, identity)), strict=True)
    for time, is_up, is_down, host, number in rows:
        if is_up:
            sent[host, number] = time
        elif is_down and (begin := sent.pop((host, number), None)) is not None:
            samples.append((time, time - begin))
    return _kept("echo requests and replies (ICMP)", samples)


def _of_tcp(inner: Packets, client: str) -> RoundTrips:
    up = is_address(inner.source, client)
    segments = inner.take((inner.protocol == TCP) & (up | is_address(inner.target, client)))
    place = _timestamps(segments)
    segments, place = segments.take(place >= 0), place[place >= 0]
    up = is_address(segments.source, client)
    value, echo = (number_at(segments.content, place + at, 4) for at in (2, 6))
    near, far = (
        np.where(up, one, other)
        for one, other in (
            (segments.source_port, segments.target_port),
            (segments.target_port, segments.source_port),
        )
    )
    host = np.where(up, segments.target[:, 1], segments.source[:, 1])
    asks = _payload(segments) > 0
    asks |= number_at(segments.content, segments.transport + 13, 1) & _FIN_OR_SYN != 0
    sent: dict[tuple[int, int, int, int], tuple[float, bool]] = {}
    last_down: dict[tuple[int, int, int], float] = {}
    samples = []
    columns = (segments.times, up, host, near, far, value, echo, asks)
    for time, is_up, a, b, c, tells, repeats, asking in zip(*(column.tolist() for column in columns), strict=True):
        if is_up:
            sent.setdefault((a, b, c, tells), (time, asking))
            continue
        begin, asked = sent.pop((a, b, c, repeats), (None, False))
        if begin is not None and (asked or last_down.get((a, b, c), -np.inf) > begin):
            samples.append((time, time - begin))
        last_down[a, b, c] = time
    return _kept("TCP's time stamps", samples)


def _payload(segments: Packets) -> Integers:
    header = (number_at(segments.content, segments.transport + 12, 1) >> 4) * 4
    return segments.sizes - segments.transport - header


def _timestamps(segments: Packets) -> Integers:
    """Return where the timestamps option of each segment begins, or -1."""
    width = segments.content.shape[1]
    place = segments.transport + 20
    header = (number_at(segments.content, np.minimum(segments.transport + 12, width - 1), 1) >> 4) * 4
    end = np.minimum(segments.transport + header, width - _TIMESTAMP_LENGTH)
    found = np.full(len(segments), -1)
    for _ in range(_MOST_OPTIONS):
        open_ = (found < 0) & (place < end)
        if not open_.any():
            break
        safe = np.minimum(place, width - 2)
        kind, length = number_at(segments.content, safe, 1), number_at(segments.content, safe + 1, 1)
        found = np.where(open_ & (kind == _TIMESTAMP) & (length == _TIMESTAMP_LENGTH), place, found)
        step = np.where(kind == _PADDING, 1, np.where((kind == _END) | (length < 2), width, length))
        place = place + step
    return found


def _kept(kind: str, samples: list[tuple[float, float]]) -> RoundTrips:
    credible = [sample for sample in samples if sample[1] <= MOST_CREDIBLE]
    columns = np.array(credible, np.float64).reshape(-1, 2)
    return RoundTrips(kind, columns[:, 0].copy(), columns[:, 1].copy())
