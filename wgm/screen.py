"""A run for a person's eyes: a screen of hosts by phases, or plain lines for whatever is no terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from wgm.log import Asked
from wgm.record import Record
from wgm.state import Cell, Failure, State

_BAR = 40
_FRAME = 8
"""Lines of the screen that are not hosts: headline, names of the phases, bar."""
_STOPPED = ("failed", "unreachable")


def screen(asked: Asked, state: State, seconds: float, lines: int) -> RenderableType:
    """Return the screen of a run that has gone on for so many seconds, on a terminal of so many lines.

    Hosts for which there is no room are counted.
    """
    headline = Text(f"wgm {' '.join(asked.words)}", style="bold").append(_where(state, seconds), style="not bold")
    parts: list[RenderableType] = [headline, _table(state, max(4, lines - _FRAME)), _bar(state)]
    parts += [_brief(failure) for failure in state.lasting()[:3]] if state.status is None else []
    return Group(*parts)


def _where(state: State, seconds: float) -> str:
    phase = f"phase {state.now + 1} of {len(state.phases)}, " if state.status is None and state.now >= 0 else ""
    return f"  {phase}{seconds:.0f} s"


def _table(state: State, room: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, expand=True)
    table.add_column("host", no_wrap=True)
    for number, phase in enumerate(state.phases):
        style = "bold" if number == state.now and state.status is None else "dim"
        table.add_column(Text(phase, style=style), ratio=1, no_wrap=False)
    names = sorted(state.hosts, key=lambda name: _rank(state, name))
    shown = names if len(names) <= room else names[: room - 1]
    for name in shown:
        table.add_row(name, *(_words(state, name, number) for number in range(len(state.phases))))
    if len(names) > len(shown):
        table.add_row(f"and {len(names) - len(shown)} more")
    return table


def _rank(state: State, name: str) -> int:
    """Return the place of a host in the table: those that ask for attention first, then those at work."""
    cells = state.hosts[name]
    if any(cell.stopped for cell in cells.values()):
        return 0
    return 1 if cells.get(state.now, Cell()).task else 2


def _words(state: State, name: str, phase: int) -> Text:
    cell = state.hosts[name].get(phase)
    if cell is None:
        return Text("-" if phase < state.now or state.status is not None else "·", style="dim")
    counts = f"{cell.done} done" + (f", {cell.changed} changed" if cell.changed else "")
    if cell.stopped:
        return Text(f"✗ {cell.stopped}", style="bold red")
    if phase == state.now and state.status is None:
        return Text(f"▸ {cell.task or 'waits'}", style="cyan", no_wrap=True, overflow="ellipsis")
    if state.status not in (None, 0) and phase == state.now:
        return Text(f"stopped, {counts}", style="yellow")
    return Text(f"✓ {counts}", style="yellow" if cell.changed else "green")


def _bar(state: State) -> RenderableType:
    done, total = progress(state)
    grid = Table.grid(padding=(0, 1))
    grid.add_row(ProgressBar(total=total, completed=done, width=_BAR, pulse=total is None), progress_words(state))
    return grid


def progress(state: State) -> tuple[int, int | None]:
    """Return the results so far and those of all, None where nobody can know: how many come is seen only at the end.

    What is known is how many the last such run had. One that has more is not over yet.
    """
    if state.status is not None:
        return max(state.results, 1), max(state.results, 1)
    return (state.results, None) if state.total is None else (min(state.results, state.total - 1), state.total)


def progress_words(state: State) -> str:
    """Return how far the run is."""
    counts = f"{state.results} result{'' if state.results == 1 else 's'}, {state.changed} changed"
    if state.status is not None:
        return counts
    return counts + (
        f", the last such run had {state.total}" if state.total else ", no such run before to compare with"
    )


def _brief(failure: Failure) -> Text:
    first = failure.text.partition("\n")[0]
    return Text(f"{_title(failure)}: {first}", style="red", no_wrap=True, overflow="ellipsis")


def _title(failure: Failure) -> str:
    return f"{failure.kind} on {', '.join(failure.hosts)}: {failure.task}"


def line(record: Record) -> str | None:
    """Return what happened as a line, None where it is not worth one; the words of a failure come at the end."""
    if record.kind == "play":
        return f"== {record.play}"
    if record.kind in ("changed", *_STOPPED):
        return f"{record.host}: {record.kind}: {record.task}"
    return said(record)


def said(record: Record) -> str | None:
    """Return what a task or Ansible says to the person, None where it says nothing."""
    if record.kind == "told":
        return f"{record.host}: {record.text}"
    return record.text if record.kind in ("warning", "diff") else None


def summary(asked: Asked, state: State, log: Path) -> Iterator[str]:
    """Yield the lines at the end: each failure in its author's words, how it went, and what to do next."""
    for failure in state.lasting():
        yield f"\n{_title(failure)} ({failure.play})"
        yield from (f"  {each}" for each in failure.text.splitlines())
    if state.status and not state.lasting():
        yield from ("", *(state.errors or state.output))
    yield ""
    yield f"wgm {asked.command}: {_verdict(state)}, after {state.seconds:.0f} s, {progress_words(state)}"
    yield f"log: {log}"


def _verdict(state: State) -> str:
    if state.status == 0:
        return "done"
    if state.status is None:
        return "cut off"
    if state.status > 128:
        return "interrupted"
    return "not done"
