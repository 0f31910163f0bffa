"""A capture's own description, `capture.json`: what was captured, where, and of which network."""

from __future__ import annotations

import ipaddress
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from wg_migrate.errors import WgMigrateError
from wg_migrate.reading import shown

FORMAT = 1
DESCRIPTION = "capture.json"
ROLES = ("client", "proxy", "exit")
LAYERS = ("inner", "overlay", "outer")


@dataclass(frozen=True)
class Endpoint:
    """Where a proxy or the exit hears WireGuard: its name in the inventory, its address as text, its UDP port."""

    name: str
    address: str
    port: int


@dataclass(frozen=True)
class Road:
    """A path: the client's device and the proxy where it ends."""

    name: str
    proxy: Endpoint


@dataclass(frozen=True)
class Network:
    """The client's two addresses, its exit and its paths, in the order of the client's configuration."""

    overlay_address: str
    inner_address: str
    exit: Endpoint
    paths: tuple[Road, ...]


@dataclass(frozen=True)
class Point:
    """A vantage point; `layers` gives each captured device its layer.

    `clock_offset` is the host's clock less the controller's at the beginning, `clock_offset_end` the same at the end,
    and `clock_error` how wrong those may be; in seconds, and None where they were not measured. `dropped` is how many
    packets the host's kernel could not hand over.
    """

    name: str
    role: str
    file: str | None
    layers: Mapping[str, str]
    clock_offset: float | None
    clock_offset_end: float | None
    clock_error: float | None
    dropped: int
    complete: bool
    problem: str | None


@dataclass(frozen=True)
class Capture:
    """All that `capture.json` says; `started` is in seconds since 1970 by the controller's clock.

    `scope` is the client's, and None where it is not known.
    """

    directory: Path
    started: float
    seconds: float
    command: tuple[str, ...] | None
    client: str
    network: Network
    scope: str | None
    schedule: Mapping[str, Any] | None
    points: tuple[Point, ...]


def load(directory: Path) -> Capture:
    """Read the description in a directory. Raises WgMigrateError where there is none, or it says what it must not."""
    path = directory / DESCRIPTION
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        raise WgMigrateError(
            f"{directory} has no {DESCRIPTION}: write a directory that scripts/capture has made"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise WgMigrateError(f"{path} cannot be read: {error}") from None
    try:
        return _capture(directory, _object(document, "the document"))
    except _WrongError as error:
        raise WgMigrateError(f"{path}: {error}; write a directory that scripts/capture has made") from None


class _WrongError(Exception):
    """A key is missing or holds what it cannot."""


def _capture(directory: Path, document: Mapping[str, Any]) -> Capture:
    if document.get("format") != FORMAT:
        raise _WrongError(f"its format is {shown(document.get('format'))}, and this report reads format {FORMAT}")
    points = tuple(_point(entry) for entry in _list(document, "points"))
    names = [point.name for point in points]
    if len(set(names)) < len(names):
        raise _WrongError("two points have the same name")
    command = document.get("command")
    schedule = document.get("schedule")
    return Capture(
        directory,
        _moment(_text(document, "started")),
        _number(document, "seconds"),
        tuple(str(word) for word in _list(document, "command")) if command is not None else None,
        _text(document, "client"),
        _network(_object(document.get("network"), "network")),
        _text(document, "scope") if document.get("scope") else None,
        _object(schedule, "schedule") if schedule is not None else None,
        points,
    )


def _network(document: Mapping[str, Any]) -> Network:
    paths = []
    for entry in _list(document, "paths"):
        path = _object(entry, "a path")
        paths.append(Road(_text(path, "name"), Endpoint(_text(path, "proxy"), _address(path, "address"), _port(path))))
    if not paths:
        raise _WrongError("network has no paths")
    exit_node = _object(document.get("exit"), "exit")
    return Network(
        _address(document, "overlay_address"),
        _address(document, "inner_address"),
        Endpoint(_text(exit_node, "name"), _address(exit_node, "address"), _port(exit_node)),
        tuple(paths),
    )


def _point(entry: object) -> Point:
    document = _object(entry, "a point")
    role, file = _text(document, "role"), document.get("file")
    if role not in ROLES:
        raise _WrongError(f"role {shown(role)} is none of {', '.join(ROLES)}")
    if file is not None and (not isinstance(file, str) or Path(file).name != file):
        raise _WrongError(f"file {shown(file)} is no file's name in this directory")
    layers = {}
    for each in _list(document, "interfaces"):
        interface = _object(each, "an interface")
        layer = _text(interface, "layer")
        if layer not in LAYERS:
            raise _WrongError(f"layer {shown(layer)} is none of {', '.join(LAYERS)}")
        layers[_text(interface, "name")] = layer
    return Point(
        name=_text(document, "name"),
        role=role,
        file=file,
        layers=layers,
        clock_offset=_optional_number(document, "clock_offset"),
        clock_offset_end=_optional_number(document, "clock_offset_end"),
        clock_error=_optional_number(document, "clock_error"),
        dropped=int(_optional_number(document, "dropped") or 0),
        complete=bool(document.get("complete", True)),
        problem=_text(document, "problem") if document.get("problem") else None,
    )


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _WrongError(f"{what} is {shown(value)}, no object")
    return value


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    value = document.get(key)
    if not isinstance(value, list):
        raise _WrongError(f"{key} is {shown(value)}, no list")
    return value


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not value:
        raise _WrongError(f"{key} is {shown(value)}, no text")
    return value


def _number(document: Mapping[str, Any], key: str) -> float:
    value = document.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _WrongError(f"{key} is {shown(value)}, no number")
    return float(value)


def _optional_number(document: Mapping[str, Any], key: str) -> float | None:
    return None if document.get(key) is None else _number(document, key)


def _port(document: Mapping[str, Any]) -> int:
    port = _number(document, "port")
    if not (port.is_integer() and 1 <= port <= 65535):
        raise _WrongError(f"port is {shown(document['port'])}, no port from 1 to 65535")
    return int(port)


def _address(document: Mapping[str, Any], key: str) -> str:
    text = _text(document, key)
    try:
        # As wire.py writes addresses: comparisons are of text.
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise _WrongError(f"{key} is {shown(text)}, no IP address") from None


def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise _WrongError(f"started is {shown(text)}, no time such as 2026-01-02T03:04:05+00:00") from None
