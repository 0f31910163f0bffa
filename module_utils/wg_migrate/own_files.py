"""A set of files that are ours, in one plan: what is missing, differs, or has been dropped since."""

from __future__ import annotations

from dataclasses import dataclass

from .system import System


@dataclass(frozen=True)
class Wanted:
    """Texts by absolute path; which of them are run as programs; directories that hold nothing else of ours."""

    files: dict[str, str]
    executables: frozenset[str] = frozenset()
    exclusive: tuple[str, ...] = ()

    def mode(self, path: str) -> int:
        """Return the permission bits that a file is to have."""
        return 0o755 if path in self.executables else 0o644


State = dict[str, tuple[int, str]]
"""Mode and text by path."""


def read(system: System, want: Wanted) -> State:
    """Return those of the wanted files that there are, and whatever else lies in the exclusive directories."""
    found: State = {}
    extra = [path for directory in want.exclusive for path in system.list_files(directory)]
    for path in [*want.files, *extra]:
        text = system.read(path)
        if text is not None:
            found[path] = (system.mode(path) or 0, text)
    return found


def wanted_state(want: Wanted) -> State:
    """Return the wanted files as a state."""
    return {path: (want.mode(path), text) for path, text in want.files.items()}


def plan(have: State, want: State) -> list[tuple[str, str]]:
    """Return (verb, path) pairs: make, change or remove."""
    written = [("change" if p in have else "make", p) for p, value in want.items() if have.get(p) != value]
    return written + [("remove", path) for path in have if path not in want]


def apply(system: System, steps: list[tuple[str, str]], want: State) -> None:
    """Carry out the steps of a plan."""
    for verb, path in steps:
        if verb == "remove":
            system.remove(path)
        else:
            mode, text = want[path]
            system.write(path, text, mode)


def remove_directories(system: System, want: Wanted) -> None:
    """Remove what the files leave behind: the exclusive directories, Python's compiled code with them."""
    for directory in want.exclusive:
        system.remove_tree(directory)
        system.remove_empty_directory(directory.rpartition("/")[0])
