"""The one seam around the machine: commands and files. Unit tests put a fake in its place."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import WgMigrateError

COMMAND_TIMEOUT = 180.0
"""Seconds after which a command counts as hung: twice those after which systemd gives up a service, and says why."""


@dataclass(frozen=True)
class Outcome:
    """What a command left behind: exit status and both outputs, as text."""

    status: int
    stdout: str
    stderr: str


class System:
    """Runs commands, each for so many seconds at most, and reads and writes files of this machine."""

    def __init__(self, timeout: float = COMMAND_TIMEOUT) -> None:
        self._timeout = timeout

    def attempt(self, argv: list[str], stdin: str | None = None) -> Outcome:
        """Run a command whose failure is an answer; a command that is not installed has status 127."""
        environment = {**os.environ, "LC_ALL": "C"}
        try:
            done = subprocess.run(
                argv, input=stdin, capture_output=True, text=True, env=environment, timeout=self._timeout, check=False
            )
        except FileNotFoundError:
            return Outcome(127, "", f"{argv[0]}: not installed")
        except subprocess.TimeoutExpired:
            return Outcome(124, "", f"no answer within {self._timeout:g} s")
        return Outcome(done.returncode, done.stdout, done.stderr)

    def run(self, argv: list[str], stdin: str | None = None) -> str:
        """Run a command that must succeed and return its standard output.

        Raises WgMigrateError with the command (never its standard input, which may hold keys) and what it said.
        """
        outcome = self.attempt(argv, stdin)
        if outcome.status != 0:
            said = outcome.stderr.strip() or outcome.stdout.strip() or "nothing"
            raise WgMigrateError(f"'{' '.join(argv)}' failed with status {outcome.status}: {said}")
        return outcome.stdout

    def read(self, path: str) -> str | None:
        """Return a file's text, or None where there is no such file. Bytes that are no text come as escapes."""
        try:
            return Path(path).read_text(encoding="utf-8", errors="backslashreplace")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def mode(self, path: str) -> int | None:
        """Return a file's permission bits, or None where there is no such file."""
        try:
            return os.stat(path).st_mode & 0o7777
        except (FileNotFoundError, NotADirectoryError):
            return None

    def exists(self, path: str) -> bool:
        """Tell whether anything is at the path."""
        return os.path.lexists(path)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Replace a file at once, on disk before its name shows it; parent directories are made.

        A power cut leaves the old file or the new one, never half of one.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "w") as stream:
                os.fchmod(stream.fileno(), mode)
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise

    def set_mode(self, path: str, mode: int) -> None:
        """Set a file's permission bits."""
        os.chmod(path, mode)

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
        Path(path).unlink(missing_ok=True)

    def list_files(self, directory: str) -> list[str]:
        """Return the paths of the plain files directly in a directory, sorted; none where there is no directory."""
        if not os.path.isdir(directory):
            return []
        return sorted(entry.path for entry in os.scandir(directory) if entry.is_file(follow_symlinks=False))

    def remove_tree(self, path: str) -> None:
        """Remove a directory of our own with all that is in it, if it is there."""
        if os.path.isdir(path):
            shutil.rmtree(path)

    def remove_empty_directory(self, path: str) -> None:
        """Remove a directory that exists and holds nothing; a directory with files in it is somebody's and stays."""
        if os.path.isdir(path) and not os.listdir(path):
            os.rmdir(path)

    @contextlib.contextmanager
    def lock(self, path: str) -> Iterator[None]:
        """Hold a lock that others of this host wait for; it is let go even if this process is killed."""
        with open(path, "w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield
