"""capture.json: what was captured, where, and of which network. docs/captures.md tells its keys."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from observe import points
from observe.hosts import Host
from observe.point_file import PointFile
from observe.preparation import Wanted

FORMAT = 1


def entry(
    host: Host, streams: Sequence[points.Stream], file: PointFile, dropped: int, problem: str | None
) -> dict[str, Any]:
    """Return what is said of a vantage point; `problem` is why it is not complete, in a sentence."""
    return {
        "name": host.name,
        "role": host.role,
        "file": file.path.name,
        "filter": list(dict.fromkeys(stream.layer for stream in streams)),
        "interfaces": [{"name": stream.device, "layer": stream.layer} for stream in streams],
        "clock_offset": file.clock.nanoseconds / 1e9,
        "clock_error": file.clock.error / 1e9,
        "packets": file.packets,
        "dropped": dropped,
        "complete": problem is None,
        "problem": problem,
    }


def describe(
    wanted: Wanted, status: Mapping[str, Any], begin: int, seconds: float, entries: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return what capture.json holds; BEGIN is in nanoseconds since 1970 by the controller's clock."""
    return {
        "format": FORMAT,
        "started": datetime.datetime.fromtimestamp(begin / 1e9, datetime.UTC).isoformat(),
        "seconds": round(seconds, 6),
        "command": list(wanted.command) or None,
        "client": wanted.client,
        "network": network_of(wanted.inventory.plan[wanted.client]),
        "scope": status.get("scope"),
        "schedule": (status.get("loop") or {}).get("schedule"),
        "snap": wanted.snap,
        "points": list(entries),
    }


def network_of(plan: dict[str, Any]) -> dict[str, Any]:
    """Return what capture.json says of the network around a client."""
    return {
        "overlay_address": plan["overlay_address"],
        "inner_address": plan["inner_address"],
        "exit": {key: plan["exit"][key] for key in ("name", "address", "port")},
        "paths": [{key: path[key] for key in ("name", "proxy", "address", "port")} for path in plan["paths"]],
    }


def write(directory: Path, document: dict[str, Any]) -> None:
    """Write capture.json; whoever reads it at the same time sees all of the old or of the new one."""
    draft = directory / ".capture.json"
    draft.write_text(json.dumps(document, indent=2) + "\n")
    draft.replace(directory / "capture.json")
