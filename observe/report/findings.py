"""All that the report says, as numbers: each with the points and packets it comes from, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from observe.report import measure
from observe.report.asked import Asked, Kept, asked, kept
from observe.report.capture import Capture, Network
from observe.report.evidence import Evidence, gather, view
from observe.report.leaks import Leaks, leaks
from observe.report.measure import Around, Series, Switches, Total
from observe.report.packets import Floats, Packets, joined, texts
from observe.report.roundtrips import RoundTrips, round_trips
from observe.report.traces import NO_PATH, Trace, View, path_of

MOST_BINS = 240
"""Bins of time as wide as the page: more than print shows, and few enough for the file to stay small."""
LONGEST_GLANCE = 3.0
"""Seconds of the picture that is to be understood at a glance: some thirty switches of the usual period."""
_ON_THE_WAY = 0.05
"""Seconds before and after it: a proxy sees the first packet down earlier, and the last one up later."""
NARROWEST_AROUND, WIDEST_AROUND = 0.01, 0.5
"""Seconds before and after a switch that are looked at: between these, as long as the switches are apart."""
_AROUND_BINS = 20
_FEWEST_SAMPLES = 10


@dataclass(frozen=True)
class Part:
    """What one proxy saw of the glance's time: nothing known of it where `series` is None, and `why` then."""

    path: int
    series: Series | None
    seen: Total | None
    source: str
    why: str | None


@dataclass(frozen=True)
class Glance:
    """One stretch of traffic, whole and as each proxy saw it; `whole` has a series a path, `paths` their numbers."""

    begin: float
    end: float
    whole: Sequence[Series]
    sent: Total
    source: str
    parts: Sequence[Part]
    switches: Switches


@dataclass(frozen=True)
class Observer:
    """What one point saw over the whole capture: a series and a total for each path number, or NO_PATH, in `paths`."""

    view: View
    paths: Sequence[int]
    series: Sequence[Series]
    totals: Sequence[Total]


@dataclass(frozen=True)
class Shares:
    """What each path carried, in the order of the paths, and what each proxy says of it, where it was captured."""

    paths: Sequence[Total]
    whole: Total
    source: str
    at_proxy: Sequence[Total | None]


@dataclass(frozen=True)
class Bursts:
    """The bursts and what was asked for; `asked` and `kept` are None where the schedule is not known."""

    bursts: measure.Bursts
    asked: Asked | None
    kept: Kept | None
    source: str


@dataclass(frozen=True)
class Across:
    """Rates in bytes a second and round trips in seconds around the switches; `trips` None: none could be computed."""

    up: Around
    down: Around
    source: str
    round_trip: Around | None
    trips: RoundTrips | None
    trips_source: str


@dataclass(frozen=True)
class Findings:
    """Everything; what could not be found is None, and `missing` says why, by the name of the field."""

    capture: Capture
    evidence: tuple[Evidence, ...]
    observers: tuple[Observer, ...]
    switches: Switches | None
    glance: Glance | None
    shares: Shares | None
    bursts: Bursts | None
    across: Across | None
    leaks: Leaks | None
    missing: dict[str, str]


def find(capture: Capture) -> Findings:
    """Return all that a capture tells. Raises WgMigrateError where it holds no packets at all."""
    evidence = gather(capture)
    missing: dict[str, str] = {}
    overlay = view(evidence, "client", "overlay")
    if overlay is None:
        why = _absence(capture, _client(evidence), "overlay")
        missing |= dict.fromkeys(
            ("switches", "bursts", "across"), f"Switches are seen in the packets on the paths. {why}"
        )
    switches = measure.switches(overlay.trace) if overlay else None
    return Findings(
        capture=capture,
        evidence=evidence,
        observers=_observers(evidence, len(capture.network.paths)),
        switches=switches,
        glance=_glance(capture, evidence, missing),
        shares=_shares(capture, evidence, missing),
        bursts=_bursts(capture, overlay, missing) if overlay else None,
        across=_across(capture, evidence, switches, missing) if switches is not None else None,
        leaks=_leaks(capture, evidence, missing),
        missing=missing,
    )


def _absence(capture: Capture, client: Evidence | None, layer: str) -> str:
    """Say why there are no packets of a layer of the client."""
    if client is None:
        return f"{capture.client} was not captured."
    if client.problems:
        return f"{client.point.name}: {'; '.join(client.problems)}."
    if layer not in client.point.layers.values():
        return f"The {layer} layer of {client.point.name} was not captured."
    return f"No packet of the client's tunnel was seen in the {layer} layer of {client.point.name}."


def _client(evidence: tuple[Evidence, ...]) -> Evidence | None:
    return next((each for each in evidence if each.point.role == "client"), None)


def _observers(evidence: tuple[Evidence, ...], paths: int) -> tuple[Observer, ...]:
    """Return what each point saw, in the layer that tells most of the paths."""
    seen = []
    for each in evidence:
        layers = ("outer", "inner") if each.point.role == "exit" else ("overlay", "outer", "inner")
        seen += [each.views[layer] for layer in layers if layer in each.views and len(each.views[layer].trace)][:1]
    if not seen:
        return ()
    begin, end = min(one.trace.times[0] for one in seen), max(one.trace.times[-1] for one in seen)
    edges = measure.bins(begin, end, MOST_BINS // 2)
    observers = []
    for one in seen:
        numbers = [number for number in range(NO_PATH, paths) if (one.trace.path == number).any()]
        parts = [one.trace.take(one.trace.path == number) for number in numbers]
        series = [measure.series(part, edges) for part in parts]
        observers.append(Observer(one, numbers, series, [measure.total(part) for part in parts]))
    return tuple(observers)


def _glance(capture: Capture, evidence: tuple[Evidence, ...], missing: dict[str, str]) -> Glance | None:
    whole = view(evidence, "client", "overlay", "inner", "outer")
    if whole is None:
        missing["glance"] = _absence(capture, _client(evidence), "overlay")
        return None
    begin, end = measure.busiest(whole.trace)
    edges = measure.bins(begin - _ON_THE_WAY, min(end, begin + LONGEST_GLANCE) + _ON_THE_WAY, MOST_BINS)
    shown = _within(whole.trace, edges)
    paths = range(len(capture.network.paths))
    numbers = list(paths) if (shown.path >= 0).any() else [NO_PATH]
    # Of the same layer as the whole: a packet is 60 bytes longer in the outer one, and the shares would not add up.
    layer = "outer" if whole.layer == "outer" else "overlay"
    return Glance(
        float(edges[0]),
        float(edges[-1]),
        [measure.series(shown.take(shown.path == number), edges) for number in numbers],
        measure.total(shown),
        whole.source,
        [_part(capture, evidence, number, layer, edges) for number in paths],
        measure.switches(shown),
    )


def _part(capture: Capture, evidence: tuple[Evidence, ...], number: int, layer: str, edges: Floats) -> Part:
    """Return what the proxy of a path saw in the glance's time."""
    proxy = capture.network.paths[number].proxy.name
    each = next((each for each in evidence if each.point.name == proxy), None)
    if each is None:
        return Part(number, None, None, "", "it was not captured")
    if layer not in each.views:
        return Part(number, None, None, "", "; ".join(each.problems) or f"its {layer} layer was not captured")
    trace = _within(each.views[layer].trace, edges)
    return Part(number, measure.series(trace, edges), measure.total(trace), each.views[layer].source, None)


def _within(trace: Trace, edges: Floats) -> Trace:
    return trace.take((trace.times >= edges[0]) & (trace.times <= edges[-1]))


def _shares(capture: Capture, evidence: tuple[Evidence, ...], missing: dict[str, str]) -> Shares | None:
    seen = view(evidence, "client", "overlay", "outer") or view(evidence, "exit", "outer")
    if seen is None:
        missing["shares"] = _absence(capture, _client(evidence), "overlay")
        return None
    paths = measure.by_path(seen.trace, len(capture.network.paths))
    of_proxies: list[Total | None] = [None] * len(paths)
    for each in evidence:
        number = path_of(capture.network, each.point.name)
        if each.point.role == "proxy" and number >= 0 and seen.layer in each.views:
            of_proxies[number] = measure.total(each.views[seen.layer].trace)
    return Shares(paths, measure.total(seen.trace), seen.source, of_proxies)


def _bursts(capture: Capture, overlay: View, missing: dict[str, str]) -> Bursts | None:
    found = measure.bursts(overlay.trace)
    if not len(found):
        missing["bursts"] = "There were fewer than two switches, so no whole burst."
        return None
    wanted = asked(capture.schedule, len(capture.network.paths))
    return Bursts(found, wanted, kept(found, wanted) if wanted else None, overlay.source)


def _across(
    capture: Capture, evidence: tuple[Evidence, ...], switches: Switches, missing: dict[str, str]
) -> Across | None:
    if not len(switches):
        missing["across"] = "There was no switch."
        return None
    whole = view(evidence, "client", "inner", "overlay")
    assert whole is not None  # where there are switches, there is an overlay
    apart = float(np.median(np.diff(switches.times))) if len(switches) > 1 else WIDEST_AROUND
    width = min(WIDEST_AROUND, max(NARROWEST_AROUND, apart))
    edges = np.linspace(-width, width, _AROUND_BINS + 1)
    up, down = (whole.trace.take(which) for which in (whole.trace.up, ~whole.trace.up))
    trips, source = _trips(capture, evidence)
    around = None
    if trips:
        around = measure.values_around(trips.times, trips.seconds, switches.times, edges)
    return Across(
        measure.rate_around(up.times, up.sizes, switches.times, edges),
        measure.rate_around(down.times, down.sizes, switches.times, edges),
        whole.source,
        around,
        trips,
        source,
    )


def _trips(capture: Capture, evidence: tuple[Evidence, ...]) -> tuple[RoundTrips | None, str]:
    client = _client(evidence)
    devices = _devices(client, "inner")
    if client is None or not devices:
        return (
            None,
            f"Round-trip times are read from the packets inside wg0. {_absence(capture, _client(evidence), 'inner')}",
        )
    inner = joined(list(devices.values()))
    trips = round_trips(inner, capture.network.inner_address)
    where = f"{client.point.name}, inner layer"
    if trips is None or len(trips) < _FEWEST_SAMPLES:
        count = len(trips) if trips else 0
        return None, (
            f"Round-trip times could not be computed: of {len(inner)} packets ({where}) {count} answered one that was "
            "sent, by TCP's time stamps or as echo replies; QUIC and other UDP do not tell."
        )
    return trips, f"{where}: {len(trips)} round trips out of {len(inner)} packets, by {trips.kind}"


def _leaks(capture: Capture, evidence: tuple[Evidence, ...], missing: dict[str, str]) -> Leaks | None:
    client = _client(evidence)
    uplinks = _devices(client, "outer")
    if client is None or not uplinks:
        missing["leaks"] = f"Leaks are seen on the client's uplink. {_absence(capture, _client(evidence), 'outer')}"
        return None
    expression = "; ".join(client.filters[device] or "everything" for device in uplinks)
    suspects = _suspects(capture.network, client) if capture.scope == "namespace" else None
    judged = leaks(joined(list(uplinks.values())), capture.network, expression, suspects)
    if judged is None:
        missing["leaks"] = (
            f"No WireGuard packet was seen on the uplink of {client.point.name}, so nothing tells which of its packets "
            "are the client's."
        )
    return judged


def _devices(evidence: Evidence | None, layer: str) -> dict[str, Packets]:
    if evidence is None:
        return {}
    return {device: found for device, found in evidence.packets.items() if evidence.point.layers.get(device) == layer}


def _suspects(network: Network, client: Evidence) -> frozenset[str]:
    """Return the addresses that a leaked packet would bear: the tunnel's, and those the applications spoke with."""
    found = {network.exit.address, network.overlay_address, network.inner_address}
    for inner in _devices(client, "inner").values():
        found |= texts(inner.source) | texts(inner.target)
    return frozenset(found)
