"""The page around the parts: what stands at its top and end, and the template."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path

import jinja2

from observe.report import draw
from observe.report.findings import Findings
from observe.report.sections import Table, sections
from observe.report.words import percent, rate, size


def page(found: Findings) -> str:
    """Return the whole page, in need of nothing beside itself."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    capture = found.capture
    return environment.get_template("page.html.j2").render(
        capture=capture,
        started=datetime.fromtimestamp(capture.started, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        command=shlex.join(capture.command) if capture.command else None,
        facts=facts(found),
        points=points(found),
        sections=sections(found),
    )


def facts(found: Findings) -> list[tuple[str, str]]:
    """Return the figures that stand at the top, each with what it is; `?` where it is not known."""
    whole, parts = None, []
    if found.shares:
        whole, parts = found.shares.whole, [path.share(found.shares.whole)["bytes_down"] for path in found.shares.paths]
    largest = max((share for share in parts if share is not None), default=None)
    seconds = found.capture.seconds
    count = len(found.switches) if found.switches is not None else None
    leaked = found.leaks.counts["leaks"] if found.leaks else None
    return [
        (percent(largest, 0), "of the bytes down is the most that one proxy saw"),
        ("?" if count is None else f"{count}", f"switches, {rate(count, seconds)} a second"),
        ("?" if leaked is None else f"{leaked}", "packets leaked beside the tunnel"),
        ("?" if whole is None else size(draw.amount(whole)), f"in {seconds:.3g} s, up and down"),
    ]


def points(found: Findings) -> Table:
    """Return what was captured where, and what is wrong with it."""
    rows = []
    for each in found.evidence:
        point = each.point
        clock = "not compared"
        if point.clock_offset is not None:
            clock = f"{point.clock_offset * 1e3:+.2f} ms"
            clock += f" ± {point.clock_error * 1e3:.2f}" if point.clock_error is not None else ""
        seen = ", ".join(f"{len(view.trace)} {layer}" for layer, view in each.views.items()) or "none"
        rows.append(
            [
                point.name,
                point.role,
                f"{each.count}",
                seen,
                f"{point.dropped}",
                clock,
                "; ".join(each.problems) or "none",
            ]
        )
    header = ["point", "role", "packets", "of the client's tunnel", "missed", "clock", "problems"]
    return Table(header, rows)
