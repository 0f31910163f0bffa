"""The state for a person's eyes: `wg-migrate status` and `wg-migrate status --follow`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import textwrap
import time
from collections.abc import Callable
from typing import Any, TextIO

from .config import INNER_DEVICE
from .errors import WgMigrateError

WIDTH = 110
"""Columns after which a sentence goes on in the next line."""
_LEFT = 4
"""How many of the table's first columns hold words and not numbers."""
_HEADER = [
    *("path", "proxy", "health", "handshake"),
    *("packets up", "down", "bytes up", "down", "share now", "all", "rtt", "switches"),
]
_HOME, _CLEAR, _END_OF_LINE, _BELOW = "\x1b[H", "\x1b[2J", "\x1b[K", "\x1b[J"
"""ECMA-48: cursor to the first line; erase the screen, the rest of a line, and what is below."""


def table(state: dict[str, Any], width: int = WIDTH) -> str:
    """Return the state as lines: tunnel and loop in up to `width` columns, and a table of some 120, a row a path."""
    head = [_wrapped(each, width) for each in [*_tunnel_lines(state), *_loop_lines(state)]]
    return "\n".join([*head, "", *_rows(state)])


def line(state: dict[str, Any]) -> str:
    """Return the state as one line, for a log that is followed."""
    loop = state["loop"]
    words = [_clock(state)]
    if "up" in state:
        words.append("tunnel up" if state["up"] else "tunnel NOT up")
    words.append(f"loop at {loop.get('switches', 0)} switches" if loop else "loop stopped")
    if loop and loop.get("all_down"):
        words.append("ALL PATHS ARE DOWN")
    for name, path in state["paths"].items():
        packets = f"{_count(path.get('packets_up'))} up {_count(path.get('packets_down'))} down"
        words.append(f"{name} {_health(path)}, {packets}, {_percent(path['share'])}")
    return " | ".join(words)


def follow(
    look: Callable[[], dict[str, Any]],
    out: TextIO,
    as_json: bool = False,
    period: float = 1.0,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Show what `look` returns again and again, every `period` seconds, until Ctrl-C or until nobody reads any more.

    A terminal is drawn anew in place; anything else gets a line each time, and with `as_json` a JSON object a line.
    What fails later (a tunnel that is being made anew) is shown, as key `error` of the object, and looked at again.
    Raises WgMigrateError where there is nothing to follow from the beginning.
    """
    on_terminal = out.isatty() and not as_json
    render = _as_json if as_json else _as_frame if on_terminal else _as_line
    with contextlib.suppress(KeyboardInterrupt):
        state = look()
        due = time.monotonic()
        try:
            out.write(_CLEAR if on_terminal else "")
            while True:
                out.write(render(state))
                out.flush()
                # Looks that took too long are not made up for.
                due = max(due + period, time.monotonic())
                sleep(max(0.0, due - time.monotonic()))
                state = _again(look)
        except BrokenPipeError:
            _let_go(out)


def _again(look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return look()
    except WgMigrateError as error:
        return {"time": round(time.time(), 3), "error": str(error)}


def _as_json(state: dict[str, Any]) -> str:
    return json.dumps(state) + "\n"


def _as_line(state: dict[str, Any]) -> str:
    return (f"{_clock(state)} | {state['error']}" if "error" in state else line(state)) + "\n"


def _as_frame(state: dict[str, Any]) -> str:
    size = shutil.get_terminal_size()
    lines = (state["error"] if "error" in state else table(state, min(size.columns, WIDTH))).splitlines()
    # A line that wraps, or one below the last, would scroll the picture away.
    shown = [each[: size.columns] for each in [*lines, "", f"{_clock(state)}, Ctrl-C ends this"][: size.lines - 1]]
    return _HOME + "".join(f"{each}{_END_OF_LINE}\n" for each in shown) + _BELOW


def _clock(state: dict[str, Any]) -> str:
    return time.strftime("%H:%M:%S", time.localtime(state["time"]))


def _let_go(out: TextIO) -> None:
    """Write to nowhere from now on: at the end Python flushes its output, and would complain of the closed pipe."""
    with contextlib.suppress(OSError), open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), out.fileno())


def _wrapped(words: str, width: int = WIDTH, indent: str = "") -> str:
    return textwrap.fill(
        words,
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _tunnel_lines(state: dict[str, Any]) -> list[str]:
    """Return what only root can find out, or nothing."""
    if "up" not in state:
        return []
    up = "up" if state["up"] else "NOT up: run 'systemctl restart wg-migrate'"
    return [f"scope {state['scope']}, {state['implementation']} WireGuard, exit {state['exit']}, tunnel {up}"]


def _loop_lines(state: dict[str, Any]) -> list[str]:
    loop = state["loop"]
    if not loop:
        return [f"loop stopped: {state['loop_problem']}; the default route stands on {state['active'] or 'no path'}"]
    lines = [f"loop running for {_duration(loop.get('running_seconds'))}: {_schedule(loop)}"]
    if loop.get("replayed"):
        lines.append("a seed is set: the schedule is replayed, not random")
    lines.append(_figures_line(loop))
    if loop.get("problem"):
        lines.append(f"problem: {loop['problem']}")
    if loop.get("all_down"):
        lines.append("ALL PATHS ARE DOWN: nothing passes, and nothing leaks")
    return lines


def _figures_line(loop: dict[str, Any]) -> str:
    words = [f"{loop.get('switches', 0)} switches", f"{loop.get('switches_missed', 0)} missed"]
    words += [f"{what}: {loop[key]}" for key, what in _RARE if loop.get(key)]
    if "period" in (loop.get("schedule") or {}):  # batches have no deadlines, and no path that all packets take
        mean, worst = _milliseconds(loop.get("lateness_mean")), _milliseconds(loop.get("lateness_worst"))
        words.append(f"late by {mean} on average and {worst} at worst, now on {loop.get('active') or 'no path'}")
    return ", ".join(words)


_RARE = (("switches_failed", "refused"), ("nudges_failed", "nudges not sent"), ("repairs", "repairs"))
"""Figures that are worth a word only where they are not 0."""


def _schedule(loop: dict[str, Any]) -> str:
    """Return the schedule in words, and the session with it; schedule.py tells what the keys mean."""
    schedule, session = loop.get("schedule") or {}, loop.get("session") or {}
    words = [_when(schedule), str(schedule.get("strategy", "")).replace("_", " ")]
    if "alpha" in schedule:
        words[-1] += f" alpha {schedule['alpha']:g}"
    if schedule.get("no_repeat"):
        words.append("never twice the same path")
    if schedule.get("max_share", 1) < 1:
        words.append(f"at most {_about(schedule['max_share'])} on a path")
    if session:
        words.append(_session_of(schedule, session))
    return ", ".join(filter(None, words))


def _session_of(schedule: dict[str, Any], session: dict[str, Any]) -> str:
    """Return the schedule's session in words, with the weights that it drew; equal ones are no news."""
    words = f"session {session.get('number')} for {_duration(session.get('seconds'))}"
    if schedule.get("session"):
        words += f" of {_duration(schedule['session'])}"
    weights = session.get("weights") or []
    return f"{words}, weights {' : '.join(map(_about, weights))}" if len(set(weights)) > 1 else words


def _when(schedule: dict[str, Any]) -> str:
    if schedule.get("period") is not None:
        jitter = schedule.get("jitter")
        return f"every {schedule['period']:g} s" + (f" ± {_about(jitter)}" if jitter else "")
    if schedule.get("packets"):
        least, most = schedule["packets"]
        return f"batches of {least} packets" if least == most else f"batches of {least} to {most} packets"
    if schedule.get("packets_mean") is not None:
        return f"batches of {schedule['packets_mean']:g} packets on average"
    return ""


def _rows(state: dict[str, Any]) -> list[str]:
    rows: list[list[str]] = [_HEADER]
    notes: dict[int, str] = {}
    for name, path in state["paths"].items():
        rows.append([name, _proxy(path), _health(path), *_figures(path)])
        if path["health"] != "up" and path["why"]:
            notes[len(rows) - 1] = _wrapped(f"{name} is {path['health']}: {path['why']}", indent="    ")
    if "inner" in state:
        inner = state["inner"]
        rows.append([INNER_DEVICE, state["exit"], _session(inner), *_figures(inner)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = []
    for number, row in enumerate(rows):
        cells = [
            cell.ljust(width) if column < _LEFT else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ]
        lines.append("  ".join(cells).rstrip())
        if number in notes:
            lines.append(notes[number])
    return lines


def _proxy(path: dict[str, Any]) -> str:
    """Return where a path ends, and by which uplink alone it leaves, if there is one for it."""
    proxy = str(path.get("proxy", "-"))
    return f"{proxy} by {path['uplink']}" if path.get("uplink") else proxy


def _figures(device: dict[str, Any]) -> list[str]:
    """Return the cells of a row after its health; those that nothing is known of are a dash."""
    age = device.get("handshake_age")
    switches = device.get("switches")
    return [
        ("never" if device.get("present") else "-") if age is None else f"{_duration(age)} ago",
        *(_count(device.get(key)) for key in ("packets_up", "packets_down")),
        *(_bytes(device.get(key)) for key in ("bytes_up", "bytes_down")),
        *(_percent(device.get(key)) for key in ("share_session", "share")),
        _milliseconds(device.get("rtt")),
        "-" if switches is None else str(switches),
    ]


def _health(path: dict[str, Any]) -> str:
    """Return a path's health and since when; without a loop nobody judges it, and the session must do."""
    if not path["health"] or not path.get("present", True):
        return _session(path)
    since = path.get("since_seconds")
    return str(path["health"]) if since is None else f"{path['health']} {_duration(since)}"


def _session(device: dict[str, Any]) -> str:
    return "no device" if not device["present"] else "session" if device["live"] else "no session"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if 0 < seconds < 1 else f"{seconds:.0f} s"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.1f} %"


def _about(share: float) -> str:
    """Return a share that somebody chose: 60 %, 33.3 %."""
    return f"{share * 100:.3g} %"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.2f} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"


def _count(number: int | None) -> str:
    """Return a number as it is as long as it is short, then in thousands of thousands."""
    return "-" if number is None else str(number) if number < 10_000_000 else _scaled(number, "")


def _bytes(number: int | None) -> str:
    return "-" if number is None else f"{number} B" if number < 1000 else _scaled(number, "B")


def _scaled(number: float, unit: str) -> str:
    for prefix in "kMGT":
        number /= 1000
        if number < 999.95:
            return f"{number:.1f} {prefix}{unit}"
    return f"{number / 1000:.1f} P{unit}"
