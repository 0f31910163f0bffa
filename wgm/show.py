"""Shows a run: on a terminal a screen drawn anew in place, elsewhere plain lines. A replay goes the same way."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from wgm import log, screen
from wgm.commands import COMMANDS
from wgm.record import Record
from wgm.state import State

SPEED = 10
"""A replay on a terminal is so many times as fast as the run was."""


class Show:
    """A run on standard output (or error), from its first record to its end."""

    def __init__(self, asked: log.Asked, path: Path, speed: int = 1, to_stderr: bool = False) -> None:
        """Prepare. PATH is that of its log; the clock on the screen goes SPEED times as fast as time."""
        self.state = State(list(asked.phases), asked.total)
        self._asked = asked
        self._path = path
        self._speed = speed
        self._began = time.monotonic()
        self._console = Console(highlight=False, stderr=to_stderr)
        self._live: Live | None = None

    def __enter__(self) -> Show:
        """Say what begins. The screen comes with the first record: its thread must not be there when Ansible forks."""
        self._say(f"wgm {' '.join(self._asked.words)}: {self._asked.playbook}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last screen standing."""
        self._stop()

    def wait(self, now: float, until: float) -> float:
        """Let the seconds from NOW UNTIL then go by where somebody watches, and return the later of the two."""
        if self._console.is_terminal:
            time.sleep(max(0.0, until - now) / self._speed)
        return max(now, until)

    def take(self, record: Record) -> None:
        """Show what happened."""
        if self._console.is_terminal and not self._live:
            self._live = Live(console=self._console, get_renderable=self._screen, refresh_per_second=8)
            self._live.start()
        self.state.take(record)
        words = screen.said(record) if self._live else screen.line(record)
        if words is not None:
            self._say(words)

    def end(self, status: int | None, seconds: float | None) -> None:
        """Show how it ended, and what to do next; None for a run that was cut off."""
        if status is not None and seconds is not None:
            self.state.end(status, seconds)
        self._stop()
        for line in screen.summary(self._asked, self.state, self._path):
            self._say(line)
        if "--check" not in self._asked.options:
            self._say(f"next: {_next(self._asked.command, status)}")

    def _screen(self) -> RenderableType:
        seconds = self.state.seconds
        if self._live:
            seconds = max(seconds, (time.monotonic() - self._began) * self._speed)
        return screen.screen(self._asked, self.state, seconds, self._console.height)

    def _say(self, words: str) -> None:
        """Print words as they are: they are somebody's, and to be copied."""
        if self._console.is_terminal:
            self._console.print(Text(words), soft_wrap=True)
        else:
            print(words, file=self._console.file, flush=True)

    def _stop(self) -> None:
        live, self._live = self._live, None
        if live:
            live.stop()


def _next(command: str, status: int | None) -> str:
    if status is None or status > 128:
        return COMMANDS[command].cut_off or f"scripts/wgm {command} goes on where this was cut off."
    return COMMANDS[command].next if status == 0 else COMMANDS[command].otherwise


def replay(path: Path) -> int:
    """Show a run again from its log: at once, or on a terminal SPEED times as fast as it was. Return 0: it was shown.

    Raises WgMigrateError for what is no log of a run.
    """
    run = log.read(path)
    with Show(run.asked, path, SPEED) as show:
        now = 0.0
        for record in run.records:
            now = show.wait(now, record.at)
            show.take(record)
        show.wait(now, run.seconds or now)
        show.end(run.status, run.seconds)
    return 0
