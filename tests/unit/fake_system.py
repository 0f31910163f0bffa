"""A machine in memory: files are a dict, commands answer from a table and are remembered."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from wg_migrate.system import Outcome, System

Answer = str | Outcome | Callable[[list[str], str | None], Outcome]


class FakeSystem(System):
    """Stands in for System: `answers` maps the beginning of a command line to its output; the longest match wins.

    A command without an answer has status 127, as one that is not installed. `ran` holds every command line.
    """

    def __init__(self, answers: dict[str, Answer] | None = None, files: dict[str, str] | None = None) -> None:
        self.answers = dict(answers or {})
        self.files = dict(files or {})
        self.modes = dict.fromkeys(self.files, 0o644)
        self.ran: list[str] = []
        self.stdins: dict[str, str | None] = {}

    def attempt(self, argv: list[str], stdin: str | None = None) -> Outcome:
        line = " ".join(argv)
        self.ran.append(line)
        self.stdins[line] = stdin
        matches = [start for start in self.answers if line.startswith(start)]
        if not matches:
            return Outcome(127, "", f"{argv[0]}: not installed")
        answer = self.answers[max(matches, key=len)]
        if callable(answer):
            return answer(argv, stdin)
        return answer if isinstance(answer, Outcome) else Outcome(0, answer, "")

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def mode(self, path: str) -> int | None:
        return self.modes.get(path)

    def exists(self, path: str) -> bool:
        return path in self.files or any(name.startswith(f"{path}/") for name in self.files)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        self.files[path] = text
        self.modes[path] = mode

    def set_mode(self, path: str, mode: int) -> None:
        self.modes[path] = mode

    def remove(self, path: str) -> None:
        self.files.pop(path, None)
        self.modes.pop(path, None)

    def list_files(self, directory: str) -> list[str]:
        return sorted(path for path in self.files if path.rpartition("/")[0] == directory)

    def remove_tree(self, path: str) -> None:
        for each in [name for name in self.files if name.startswith(f"{path}/")]:
            self.remove(each)

    def remove_empty_directory(self, path: str) -> None:
        """Directories are not modelled: a fake file's parents always exist."""

    @contextlib.contextmanager
    def lock(self, path: str) -> Iterator[None]:
        yield
