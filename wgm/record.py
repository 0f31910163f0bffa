"""What happens in a run: ansible-runner's events become records, and only these are shown and logged. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

RESULTS = frozenset({"ok", "changed", "skipped", "failed", "unreachable"})
"""The kinds that end a task on a host."""


@dataclass(frozen=True)
class Record:
    """One thing that happened, `at` so many seconds after the run began.

    Beside RESULTS, `kind` is `play` (which begins), `start` (a host begins a task), `told` (what a task says), `diff`,
    `warning`, `error` and `output` (what Ansible says), or `outcome` (of a host, at the end: ok, failed, unreachable).
    """

    at: float
    kind: str
    play: str = ""
    task: str = ""
    host: str = ""
    text: str = ""


_RESULT_OF = {
    "runner_on_start": "start",
    "runner_on_ok": "ok",
    "runner_on_skipped": "skipped",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
}
_SAID = {
    "error": "error",
    "warning": "warning",
    "system_warning": "warning",
    "deprecated": "warning",
    "runner_on_file_diff": "diff",
    "verbose": "output",
}
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def distil(event: Mapping[str, Any], began: float) -> list[Record]:
    """Return the records of an event of ansible-runner; BEGAN is when the run began, in seconds since 1970."""
    name = event["event"]
    data = event.get("event_data") or {}
    at = round(max(0.0, datetime.fromisoformat(event["created"]).timestamp() - began), 3) if "created" in event else 0.0
    if name == "playbook_on_play_start":
        return [Record(at, "play", play=data["name"])]
    if name == "playbook_on_stats":
        hosts = sorted(data["processed"])
        return [Record(at, "outcome", host=host, text=_outcome(data, host)) for host in hosts]
    if name in _SAID:
        text = _COLOURS.sub("", event.get("stdout") or "").replace("\r", "").strip("\n")
        return [Record(at, _SAID[name], data.get("play", ""), _task(data), data.get("host", ""), text)] if text else []
    if name in _RESULT_OF:
        return _result(at, _RESULT_OF[name], data)
    return []


def _result(at: float, kind: str, data: Mapping[str, Any]) -> list[Record]:
    result = data.get("res") or {}
    place = (data["play"], _task(data), data["host"])
    if kind == "failed" and data.get("ignore_errors"):
        kind = "ok"
    elif kind in ("failed", "unreachable"):
        return [Record(at, kind, *place, message(result))]
    elif kind == "ok" and result.get("changed"):
        kind = "changed"
    told = (
        _lines(result.get("msg"))
        if kind == "ok" and data.get("task_action") in ("debug", "ansible.builtin.debug")
        else ""
    )
    return [Record(at, kind, *place), *([Record(at, "told", *place, told)] if told else [])]


def _task(data: Mapping[str, Any]) -> str:
    role = data.get("role")
    return f"{role}: {data['task']}" if role and data.get("task") else str(data.get("task") or "")


def _outcome(stats: Mapping[str, Any], host: str) -> str:
    return "unreachable" if stats["dark"].get(host) else "failed" if stats["failures"].get(host) else "ok"


def message(result: Mapping[str, Any]) -> str:
    """Return what a failed result says, as its author wrote it, and what a failed command printed."""
    if "censored" in result:
        return str(result["censored"])
    failed_items = [each for each in result.get("results") or [] if each.get("failed") or each.get("unreachable")]
    if failed_items:
        return "\n".join(dict.fromkeys(map(message, failed_items)))
    said = [_lines(result.get("msg"))]
    printed = next(
        (result[key] for key in ("stderr", "module_stderr", "stdout", "module_stdout") if result.get(key)), ""
    )
    return "\n".join(filter(None, [*said, _lines(printed)])) or "it failed without a word: see the playbook's task"


def _lines(text: object) -> str:
    """Return a message as lines: some are lists of sentences."""
    if isinstance(text, Sequence) and not isinstance(text, str):
        return "\n".join(map(str, text))
    return "" if text is None else str(text).rstrip()
