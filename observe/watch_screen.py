"""The live view for a person's eyes: a screen of all hosts, or a line a second. Pure but for the clock."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.bar import Bar
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from observe.watch_state import ClientView, HostState, PathView, ServerView, client_view, server_view

_BAR = 16
_STYLES = {"up": "green", "suspect": "yellow", "session": "green"}
"""Of a path's health; a word always says it too, for those who see no colours."""


def screen(states: Sequence[HostState], now: float) -> RenderableType:
    """Return the screen; NOW is in seconds of the monotonic clock."""
    parts: list[RenderableType] = [Text(f"wg-migrate, {_clock()}, Ctrl-C ends this", style="bold")]
    for state in states:
        if state.role == "client":
            parts += ["", *_client(state, now)]
    return Group(*parts, "", _servers([state for state in states if state.role != "client"], now))


def _client(state: HostState, now: float) -> list[RenderableType]:
    view = client_view(state)
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    for name in ("", "path", "proxy", "health"):
        table.add_column(name, no_wrap=True)
    for name in ("up", "", "down", "", "share", "rtt", "handshake"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    away = _away(state, now)
    for path in view.paths:
        table.add_row(*_path_cells(path, state.peak), style="dim" if away else None)
    lines: list[RenderableType] = [_headline(state, away), Text(f"  {_loop_words(view)}")]
    lines += [Text(f"  {problem}", style="bold red") for problem in view.problems]
    lines += [Text(f"  LEAK, the last: {state.leak}", style="bold red")] if state.leak else []
    return [*lines, table] if view.paths else lines


def _headline(state: HostState, away: str | None) -> Text:
    line = Text(f"{state.role} {state.name}", style="bold")
    return line.append(f"  {away}", style="bold red") if away else line


def _path_cells(path: PathView, peak: float) -> list[RenderableType]:
    return [
        "▶" if path.active else " ",
        Text(path.name, style="bold" if path.active else ""),
        path.proxy,
        Text(path.health, style=_STYLES.get(path.health, "bold red")),
        bits(path.up),
        Bar(peak or 1.0, 0, path.up or 0.0, width=_BAR, color="cyan"),
        bits(path.down),
        Bar(peak or 1.0, 0, path.down or 0.0, width=_BAR, color="magenta"),
        "-" if path.share is None else f"{path.share:.0%}",
        "-" if path.rtt is None else f"{path.rtt * 1000:.1f} ms",
        _age(path.handshake_age),
    ]


def _servers(states: Sequence[HostState], now: float) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    for name in ("host", "", "from clients", "to clients", "dropped", "handshakes", ""):
        table.add_column(name, justify="right" if name.endswith("clients") or name == "dropped" else "left")
    for state in states:
        view, away = server_view(state), _away(state, now)
        notes = Text("; ".join(filter(None, [away, *view.problems])), style="bold red")
        ages = ", ".join(map(_age, view.handshake_ages)) or "-"
        dropped = "-" if view.dropped is None else str(view.dropped)
        table.add_row(state.name, state.role, bits(view.up), bits(view.down), dropped, ages, notes)
    return table


def _loop_words(view: ClientView) -> str:
    words = ["- switches/s" if view.switches is None else f"{view.switches:.1f} switches/s"]
    if view.lateness_mean is not None and view.lateness_worst is not None:
        words.append(f"late by {view.lateness_mean * 1000:.2f} ms, at worst {view.lateness_worst * 1000:.1f} ms")
    words.append("leaks are not watched (no tcpdump there)" if view.leaks is None else f"{view.leaks} leaks")
    if view.held_back:
        words.append(f"{view.held_back} packets held back")
    return ", ".join(words)


def line(states: Sequence[HostState], now: float) -> str:
    """Return all hosts in one line, for a log."""
    return f"{_clock()} | " + " | ".join(_words(state, now) for state in states)


def _words(state: HostState, now: float) -> str:
    words = [state.name]
    away = _away(state, now)
    if away:
        words.append(away)
    elif state.role == "client":
        client = client_view(state)
        words += [f"{_path_words(path)}" for path in client.paths]
        words += [_loop_words(client), *client.problems]
    else:
        server = server_view(state)
        words += [f"{bits(server.up)} up {bits(server.down)} down", f"{server.dropped} dropped", *server.problems]
    return f"{words[0]}: {', '.join(words[1:])}"


def _path_words(path: PathView) -> str:
    return f"{path.name}{'*' if path.active else ''} {path.health} {bits(path.up)} up {bits(path.down)} down"


def document(states: Sequence[HostState], now: float) -> dict[str, Any]:
    """Return all hosts as plain data: bytes a second, seconds; None for what is not known."""
    hosts = {}
    for state in states:
        view: ClientView | ServerView = client_view(state) if state.role == "client" else server_view(state)
        heard = None if state.heard is None else round(now - state.heard, 1)
        hosts[state.name] = {"role": state.role, "away": _away(state, now), "heard": heard, **asdict(view)}
    return {"time": round(time.time(), 3), "hosts": hosts}


STALE = 5.0
"""Seconds without news, which come every second, after which a host counts as away; the connection may yet stand."""


def _away(state: HostState, now: float) -> str | None:
    """Return why there is nothing new of a host, None while there is."""
    if state.problem:
        since = "" if state.heard is None else f" for {_age(now - state.heard)}"
        return f"AWAY{since}: {state.problem}"
    if state.heard is not None and now - state.heard > STALE:
        return f"AWAY for {_age(now - state.heard)}"
    return None


def bits(rate: float | None) -> str:
    """Return bytes a second as a person reads a rate: in bits."""
    if rate is None:
        return "-"
    rate *= 8
    for unit in ("bit/s", "kbit/s", "Mbit/s"):
        if rate < 999.5:
            return f"{rate:.0f} {unit}" if rate >= 100 or unit == "bit/s" else f"{rate:.1f} {unit}"
        rate /= 1000
    return f"{rate:.2f} Gbit/s"


def _age(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _clock() -> str:
    return time.strftime("%H:%M:%S")
