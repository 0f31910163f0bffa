"""The parts of the page: each picture with a sentence of what it shows, words for who cannot see it, and its table."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from observe.report import draw
from observe.report.asked import SECONDS
from observe.report.findings import Findings, Observer
from observe.report.measure import Series, Total
from observe.report.words import cells, percent, size, span

_MOST_SLICES = 12
"""Rows of a table of something over time: --json has all of it."""
_KINDS = {
    "wireguard": "WireGuard to and from the proxies",
    "management": "management (SSH)",
    "neighbours": "DHCP and neighbour discovery",
    "fragments": "fragments",
    "leaks": "leaked",
}
_WHAT = ("packets up", "packets down", "bytes up", "bytes down")


@dataclass(frozen=True)
class Table:
    """A table: a heading, and rows of which the first cell names the row."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page. `lead` says what there is to see; `missing`, instead of all else, why there is nothing.

    `alarm`: the lead is bad news.
    """

    key: str
    title: str
    lead: str = ""
    picture: bytes | None = None
    alt: str = ""
    source: Sequence[str] = ()
    tables: Sequence[Table] = ()
    alarm: bool = False
    missing: str = ""

    @property
    def data(self) -> str:
        """Return the picture as an address that holds it."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.picture or b"").decode()


def sections(found: Findings) -> list[Section]:
    """Return the parts of the page, in order."""
    return [_glance(found), _shares(found), _observers(found), _bursts(found), _across(found), _leaks(found)]


def _glance(found: Findings) -> Section:
    title = "The whole, and what each proxy sees of it"
    glance, capture = found.glance, found.capture
    if glance is None:
        return Section("glance", title, missing=found.missing["glance"])
    whole = draw.amount(glance.sent)
    rows = [[f"{capture.client}: the whole", *cells(glance.sent), "100 %"]]
    for part in glance.parts:
        name = f"proxy {capture.network.paths[part.path].proxy.name}"
        share = percent(draw.amount(part.seen) / whole) if part.seen and whole else "?"
        rows.append([name, *(cells(part.seen) if part.seen else ["?"] * 4), share])
    unknown = [f"{capture.network.paths[part.path].proxy.name}: {part.why}." for part in glance.parts if part.why]
    width = glance.whole[0].width
    said = ", ".join(f"{row[0]} {row[5]}" for row in rows[1:])
    return Section(
        "glance",
        title,
        f"Above: all packets of the client's tunnel in {span(glance.end - glance.begin)}. Below, at the same scale: "
        "the only ones of them that each proxy, and who watches it, gets to see. Up above zero, down below. A dotted "
        "line is a switch.",
        draw.glance(glance, capture),
        f"Rates over time, a panel for the client's whole traffic and one for each proxy. Share of the bytes: {said}.",
        [
            f"The whole: {glance.source}.",
            *(f"{capture.network.paths[part.path].proxy.name}: {part.source}." for part in glance.parts if part.source),
            *unknown,
            f"Bins of {span(width)}; from {glance.begin:.3f} s on, where the most bytes went without a pause of 1 s.",
            f"{len(glance.switches)} switches in this time.",
        ],
        [Table(["seen by", *_WHAT, "share of the bytes"], rows)],
    )


def _shares(found: Findings) -> Section:
    title = "Each path's share"
    if found.shares is None:
        return Section("shares", title, missing=found.missing["shares"])
    shares, capture = found.shares, found.capture
    rows = []
    for path, total, at_proxy in zip(capture.network.paths, shares.paths, shares.at_proxy, strict=True):
        of = [percent(share) for share in total.share(shares.whole).values()]
        told = "not captured" if at_proxy is None else f"{at_proxy.packets_up} up, {at_proxy.packets_down} down"
        values = [f"{value} ({share})" for value, share in zip(cells(total), of, strict=True)]
        rows.append([f"{path.name} ({path.proxy.name})", *values, told])
    said = "; ".join(f"{row[0]}: {row[2]} packets down" for row in rows)
    header = ["path (proxy)", *_WHAT, "packets, as the proxy saw them"]
    return Section(
        "shares",
        title,
        "Of all that the client sent (up) and got (down), over the whole capture.",
        draw.shares(shares, capture),
        f"Stacked bars of each path's share. {said}.",
        [f"{shares.source}."],
        [Table(header, rows)],
    )


def _observers(found: Findings) -> Section:
    title = "What each point saw over time"
    if not found.observers:
        return Section("observers", title, missing="No point saw a packet of the client's tunnel.")
    first = found.observers[0].series[0]
    count = len(found.switches) if found.switches is not None else 0
    marks = "Signs at the lower edge mark the switches, by the path that they lead to."
    if count > draw.MOST_MARKS:
        marks = f"There were {count} switches, too many to be marked one by one."
    if found.switches is None:
        marks = f"No switches are marked. {found.missing['switches']}"
    columns = [
        (_name(found, each, number), series, total)
        for each in found.observers
        for number, series, total in zip(each.paths, each.series, each.totals, strict=True)
    ]
    totals = [[name, *cells(total)] for name, _series, total in columns]
    said = "; ".join(f"{name}: {up} up, {down} down" for name, _up, _down, up, down in totals)
    return Section(
        "observers",
        title,
        f"Up above zero, down below; each path in its own colour, one upon the other. {marks}",
        draw.observers(found.observers, found.switches, found.capture),
        f"Packets and bytes a second over time at each point. {said}.",
        [*(f"{each.view.source}." for each in found.observers), f"Bins of {span(first.width)}."],
        [
            Table(["point and path", *_WHAT], totals),
            Table(
                ["seconds", *(name for name, _series, _total in columns)], _slices(columns), "Bytes up / down over time"
            ),
        ],
    )


def _slices(columns: Sequence[tuple[str, Series, Total]]) -> list[list[str]]:
    """Return a few rows of time with the bytes up and down in them, a column each."""
    edges, rows = columns[0][1].edges, []
    for at in np.array_split(np.arange(len(edges) - 1), min(_MOST_SLICES, len(edges) - 1)):
        both = [(int(series.bytes_up[at].sum()), int(series.bytes_down[at].sum())) for _name, series, _total in columns]
        time = f"{edges[at[0]]:.2f} to {edges[at[-1] + 1]:.2f}"
        rows.append([time, *(f"{size(up)} / {size(down)}" for up, down in both)])
    return rows


def _name(found: Findings, observer: Observer, path: int) -> str:
    """Return what a column is of: the point, and where that saw several, the path."""
    point = observer.view.point
    return f"{point}, {found.capture.network.paths[path].name}" if len(observer.paths) > 1 and path >= 0 else point


def _bursts(found: Findings) -> Section:
    title = "Bursts, and the schedule asked for"
    if found.bursts is None:
        return Section("bursts", title, missing=found.missing["bursts"])
    bursts, wanted, kept = found.bursts, found.bursts.asked, found.bursts.kept
    in_seconds = wanted is not None and wanted.unit == SECONDS
    lengths = kept.lengths * (1e3 if in_seconds else 1) if kept else bursts.bursts.packets
    unit = "ms" if in_seconds else "packets"
    lead = "A burst is what went up by one path until the next switch. "
    lead += (
        f"Asked for: {wanted.words}." if wanted else "What was asked for is not known: the capture holds no schedule."
    )
    rows = [["bursts", f"{len(lengths)}"]]
    if kept and kept.within is not None and len(lengths):
        rows.append(["of a length asked for", f"{kept.within} ({percent(kept.within / len(lengths))})"])
        if wanted and wanted.may_repeat:
            rows.append(["of several such, the same path being drawn again", f"{kept.multiple}"])
    if kept:
        rows.append(["not judged, for the traffic paused", f"{kept.left_out}"])
    if len(lengths):
        names = ("shortest", "a quarter is shorter than", "median", "a quarter is longer than", "longest")
        values = np.percentile(lengths, [0, 25, 50, 75, 100])
        rows += [[name, f"{value:.4g} {unit}"] for name, value in zip(names, values, strict=True)]
        rows.append(["mean", f"{lengths.mean():.4g} {unit}"])
    said = ", ".join(f"{name}: {value}" for name, value in rows)
    return Section(
        "bursts",
        title,
        lead,
        draw.bursts(bursts) if len(lengths) else None,
        f"Histogram of the bursts' lengths. {said}.",
        [
            f"{bursts.source}.",
            *_of_judgement(in_seconds),
            "The first and the last burst are left out: part of them was not captured.",
        ],
        [Table(["", "value"], rows)],
    )


def _of_judgement(in_seconds: bool) -> list[str]:
    if not in_seconds:
        return []
    words = "A switch is seen when the first packet goes by the new path. So bursts are judged only where that came "
    return [words + "within a tenth of the period, and no pause in between was half a period long."]


def _across(found: Findings) -> Section:
    title = "Throughput and round-trip time across switches"
    if found.across is None:
        return Section("across", title, missing=found.missing["across"])
    across = found.across
    rows = []
    for name, around, factor, unit in (
        ("throughput down", across.down, 8e-6, "Mbit/s"),
        ("throughput up", across.up, 8e-6, "Mbit/s"),
        ("round trip", across.round_trip, 1e3, "ms"),
    ):
        if around is None:
            continue
        middle = (around.edges[:-1] + around.edges[1:]) / 2
        sides = []
        for which in (middle < 0, middle >= 0):
            values = around.middle[which & ~np.isnan(around.middle)]
            sides.append(f"{np.median(values) * factor:.3g} {unit}" if len(values) else "?")
        rows.append([name, *sides, f"{around.count}"])
    said = "; ".join(f"{row[0]}: {row[1]} before and {row[2]} after" for row in rows)
    return Section(
        "across",
        title,
        "All switches laid over one another: the line is the median, half of the values lie in the band. A switch that "
        "cost something would show as a dent, or a step, at 0.",
        draw.across(across),
        f"Curves around the switch. {said}.",
        [
            f"Throughput: {across.source}; switches near the capture's ends are left out.",
            f"Round trips: {across.trips_source}.",
        ],
        [Table(["", "before (median)", "after (median)", "switches"], rows)],
    )


def _leaks(found: Findings) -> Section:
    title = "Leaks"
    if found.leaks is None:
        return Section("leaks", title, missing=found.missing["leaks"])
    leaks = found.leaks
    count, fragments = leaks.counts["leaks"], leaks.counts["fragments"]
    client = next(each.point for each in found.evidence if each.point.role == "client")
    rows = [[words, f"{leaks.counts[kind]}"] for kind, words in _KINDS.items()]
    rows.append(["the host's own, beside its tunnelled namespace", f"{leaks.own}"])
    rows.append(["not IP, or not the client's", f"{leaks.others}"])
    tables = [Table(["packets on the client's uplink", "number"], rows)]
    if leaks.examples:
        flows = [[each.flow, f"{each.packets}", f"{each.first:.3f} s"] for each in leaks.examples]
        tables.append(Table(["leaked", "packets", "first at"], flows, "The first few of them"))
    lead = f"None of {leaks.looked_at} packets on the client's uplink leaked."
    if count:
        lead = (
            f"{count} of {leaks.looked_at} packets on the client's uplink were neither WireGuard to a proxy nor what "
            "may go beside it."
        )
    if fragments:
        lead += f" {fragments} were fragments, which no packet of the tunnel is."
    return Section(
        "leaks",
        title,
        lead,
        draw.leaked(leaks, found.capture.seconds) if count else None,
        f"When the {count} packets leaked, on a line of time." if count else "",
        [f"{client.name}, outer layer, {leaks.looked_at} packets. What was captured there: {leaks.expression}."],
        tables,
        alarm=count + fragments > 0,
    )
