"""All of a capture's points read: which views there are, and what is missing or wrong, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wg_migrate.errors import WgMigrateError

from observe.report.capture import Capture, Point
from observe.report.packets import Packets, packets
from observe.report.pcapng import read
from observe.report.traces import View, views


@dataclass(frozen=True)
class Evidence:
    """A point and what its file gave: all its packets by device, each one's filter, the views by layer, problems."""

    point: Point
    packets: Mapping[str, Packets]
    filters: Mapping[str, str]
    views: Mapping[str, View]
    problems: tuple[str, ...]

    @property
    def count(self) -> int:
        """Return how many packets the file holds."""
        return sum(len(each) for each in self.packets.values())


def gather(capture: Capture) -> tuple[Evidence, ...]:
    """Read every point's file; what cannot be read is a problem of its point.

    Raises WgMigrateError where no point has any packet.
    """
    found = tuple(_of_point(capture, point) for point in capture.points)
    if not any(evidence.count for evidence in found):
        said = "; ".join(f"{evidence.point.name}: {problem}" for evidence in found for problem in evidence.problems)
        raise WgMigrateError(
            f"{capture.directory} holds no packets{f' ({said})' if said else ''}: capture while there is traffic"
        )
    return found


def view(evidence: tuple[Evidence, ...], role: str, *layers: str) -> View | None:
    """Return the first view with packets of a role in the first of the layers that has one."""
    for layer in layers:
        for each in evidence:
            found = each.views.get(layer)
            if each.point.role == role and found and len(found.trace):
                return found
    return None


def _of_point(capture: Capture, point: Point) -> Evidence:
    problems = [point.problem] if point.problem else []
    if point.file is None:
        return Evidence(point, {}, {}, {}, tuple(problems or ["there is no file of it"]))
    by_device: dict[str, Packets] = {}
    filters = {}
    drift = _drift(point, capture.seconds)
    try:
        recording = read(capture.directory / point.file)
        if recording.damage:
            problems.append(f"its file is {recording.damage}")
        for recorded in recording.devices:
            by_device[recorded.device] = packets(recorded, capture.started, point.clock_offset or 0.0, drift)
            filters[recorded.device] = recorded.expression
    except WgMigrateError as error:
        problems.append(str(error))
    unknown = [device for device, found in by_device.items() if device not in point.layers and len(found)]
    if unknown:
        problems.append(f"capture.json gives no layer to {', '.join(unknown)}")
    if not point.complete and not problems:
        problems.append("its capture ended before the others")
    if point.dropped:
        problems.append(f"its kernel could not hand over {point.dropped} packets in time")
    if point.clock_offset is None:
        problems.append("its clock was not compared with the controller's, so its times may be off")
    return Evidence(point, by_device, filters, views(capture, point, by_device), tuple(problems))


def _drift(point: Point, seconds: float) -> float:
    """Return by how much a host's clock ran fast, in seconds a second."""
    if point.clock_offset is None or point.clock_offset_end is None or seconds <= 0:
        return 0.0
    return (point.clock_offset_end - point.clock_offset) / seconds
