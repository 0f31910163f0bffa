"""Running commands of the controller, and saying how far things are."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab.topology import BUILD, ROOT


class LabError(Exception):
    """Something that the person at the keyboard must read: what is wrong, and what to do about it."""


def as_root(command: Sequence[str]) -> list[str]:
    """Return COMMAND, through sudo where the user is not root: nobody else reaches podman's networks."""
    return list(command) if os.geteuid() == 0 else ["sudo", *command]


def run(command: Sequence[str], log: str, given: bytes | None = None, seconds: float | None = None) -> None:
    """Run COMMAND with its output in build/lab/LOG.log, GIVEN on its standard input.

    Raises LabError, with the end of that log, when the command fails or takes longer than SECONDS.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / f"{log}.log"
    with path.open("ab") as output:
        output.write(f"$ {shlex.join(command)}\n".encode())
        output.flush()
        try:
            done = subprocess.run(
                command, input=given, stdout=output, stderr=subprocess.STDOUT, timeout=seconds, check=False
            )
            failure = f"exit status {done.returncode}" if done.returncode else ""
        except subprocess.TimeoutExpired:
            failure = f"not done after {seconds:g} s"
        except FileNotFoundError as error:
            failure = f"{error.filename} is not installed; run scripts/bootstrap"
    if failure:
        raise LabError(f"{shlex.join(command[:4])} …: {failure}\n{tail(path)}\n(all of it: {path.relative_to(ROOT)})")


def answer(command: Sequence[str]) -> str | None:
    """Return what COMMAND printed, or None where it failed or does not exist."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def write(path: Path, text: str) -> None:
    """Have TEXT in the file PATH; whoever reads it at the same time sees all of the old or of the new one."""
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    draft.write_text(text)
    draft.replace(path)


def tail(path: Path, lines: int = 8, columns: int = 200) -> str:
    """Return the last LINES of PATH, of each the last COLUMNS: the reason of a failure stands at the end of both."""
    return "\n".join(f"  | {line[-columns:]}" for line in path.read_text(errors="replace").splitlines()[-lines:])


@contextmanager
def step(words: str) -> Iterator[None]:
    """Print WORDS, then the seconds that the block took, or that it failed; on a terminal, WORDS already before."""
    begin = time.monotonic()
    if sys.stdout.isatty():
        print(f"  {words} …", end="\r", flush=True)
    try:
        yield
    except LabError:
        print(f"  {words:<66} failed", flush=True)
        raise
    print(f"  {words:<66} {time.monotonic() - begin:5.1f} s", flush=True)
