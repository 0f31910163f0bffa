"""What runs on a host runs for as long as somebody there wants it: by the real pump, over pipes instead of SSH."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from observe import session
from observe.clocks import ENOUGH, estimate
from observe.hosts import Host
from observe.session import Session

PUMP = (Path(session.__file__).parent / "remote" / "pump.py").read_text()
PATIENCE = 60.0
# Tells who it is, and stays until it is told to end; SIGINT is answered with a last word.
PROGRAM = """
import os, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: (sys.stderr.write("0 packets dropped by kernel"), sys.exit(0)))
print(os.getpid(), flush=True)
time.sleep(600)
"""


def until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


class Channel:
    """A paramiko channel as far as a session uses it, to a process of this machine."""

    def __init__(self, text: str, programs: str) -> None:
        argv = [sys.executable, "-c", text, "", programs]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.closed = False
        self._streams_open = True
        self._timeout = 0.0
        self._lock = threading.Lock()

    def settimeout(self, seconds: float) -> None:
        self._timeout = seconds

    def recv(self, size: int) -> bytes:
        assert self.process.stdout is not None
        try:
            if not select.select([self.process.stdout], [], [], self._timeout)[0]:
                raise TimeoutError
            return os.read(self.process.stdout.fileno(), size)
        except ValueError:  # closed by somebody else meanwhile, which paramiko takes for the end
            return b""

    def sendall(self, data: bytes) -> None:
        assert self.process.stdin is not None
        if self.closed:
            raise OSError("Socket is closed")
        try:
            os.write(self.process.stdin.fileno(), data)
        except ValueError:
            raise OSError("closed") from None

    def recv_stderr_ready(self) -> bool:
        assert self.process.stderr is not None
        try:
            return bool(select.select([self.process.stderr], [], [], 1)[0])
        except ValueError:
            return False

    def recv_stderr(self, size: int) -> bytes:
        assert self.process.stderr is not None
        try:
            return os.read(self.process.stderr.fileno(), size)
        except ValueError:  # as above
            return b""

    def close(self) -> None:
        with self._lock:
            self.closed = True
            if self._streams_open:
                self._streams_open = False
                for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
                    assert stream is not None
                    stream.close()


class Connection:
    """A connection to a host that is this machine."""

    def __init__(self, text: str = PUMP) -> None:
        self.host = Host("p1", "proxy", "192.0.2.11", 22, "ops", "p1", (), ())
        self.channels: list[Channel] = []
        self._text = text

    def start(self, _script: str, programs: str) -> Channel:
        self.channels.append(Channel(self._text, programs))
        return self.channels[-1]

    def end(self) -> None:
        for channel in self.channels:
            channel.process.kill()
            channel.process.wait()
            channel.close()


@pytest.fixture
def connection() -> Iterator[Connection]:
    made = Connection()
    yield made
    made.end()


class Output:
    """What the programs of a session print, by their numbers."""

    def __init__(self) -> None:
        self.of: dict[int, bytes] = {}

    def take(self, number: int, data: bytes) -> None:
        self.of[number] = self.of.get(number, b"") + data

    def pid(self, number: int) -> int:
        until(lambda: b"\n" in self.of.get(number, b""))
        return int(self.of[number])


def begun(connection: Any, count: int = 2) -> tuple[Session, Output, list[int]]:
    output = Output()
    found = Session(connection, [[sys.executable, "-c", PROGRAM]] * count, output.take)
    return found, output, [output.pid(number) for number in range(count)]


def test_programs_end_when_they_are_told_to_and_have_their_last_word(connection: Connection) -> None:
    found, _, pids = begun(connection)
    until(lambda: len(found.samples) >= ENOUGH)
    # One machine has one clock.
    offset = estimate(found.samples)
    assert abs(offset.nanoseconds) <= offset.error
    found.stop()
    found.join(PATIENCE)
    assert (found.problem, found.status, found.running) == (None, [0, 0], False)
    assert found.said == ["0 packets dropped by kernel"] * 2
    assert all(map(is_gone, pids))


def test_a_program_that_ends_is_told_and_the_others_go_on(connection: Connection) -> None:
    found, _, pids = begun(connection)
    os.kill(pids[0], signal.SIGINT)
    until(lambda: found.problem)
    assert found.problem == "a program ended: 0 packets dropped by kernel"
    assert found.running
    assert not is_gone(pids[1])


@pytest.mark.parametrize("end", ["the connection", "the pump"])
def test_no_program_outlives(connection: Connection, end: str) -> None:
    found, _, pids = begun(connection)
    if end == "the pump":
        connection.channels[0].process.kill()
    else:
        stdin = connection.channels[0].process.stdin
        assert stdin is not None
        stdin.close()
    until(lambda: all(map(is_gone, pids)))
    until(lambda: not found.running)
    assert found.problem


def test_no_program_outlives_a_connection_that_hangs(tmp_path: Path) -> None:
    """Nobody speaks any more, and nobody closes anything: as when the controller loses power."""
    told = tmp_path / "pid"
    program = f"import os, pathlib, time; pathlib.Path({str(told)!r}).write_text(str(os.getpid())); time.sleep(600)"
    channel = Channel(PUMP.replace("LEASE = 30", "LEASE = 2"), json.dumps([[sys.executable, "-c", program]]))
    try:
        until(lambda: told.exists() and told.read_text())
        until(lambda: is_gone(int(told.read_text())))
    finally:
        channel.process.kill()
        channel.process.wait()
        channel.close()


def test_a_host_that_says_nothing_has_dropped_out(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SILENCE", 1.0)
    found, _, _ = begun(connection)
    connection.channels[0].process.send_signal(signal.SIGSTOP)
    until(lambda: not found.running)
    assert found.problem == "nothing has been heard of it for 1 s"


def test_why_nothing_runs_is_told_in_the_hosts_words() -> None:
    refused = Connection("import sys; sys.exit('sudo: a password is required')")
    with contextlib.closing(contextlib.ExitStack()) as stack:
        stack.callback(refused.end)
        found = Session(cast(Any, refused), [["true"]], lambda *_: None)
        until(lambda: not found.running)
        assert found.problem == "p1: sudo wants the password of ops: write ansible_become_password, or add -K"


def test_programs_that_do_not_last_may_end(connection: Connection) -> None:
    output = Output()
    found = Session(cast(Any, connection), [["printf", "all"], ["false"]], output.take, lasting=False)
    until(lambda: not found.running)
    assert output.of == {0: b"all"}
    assert (found.status, found.problem) == ([0, 1], "a program ended: without a word")


def test_what_came_before_the_host_closed_its_end_is_read_to_the_end(connection: Connection) -> None:
    """Paramiko calls a channel closed as soon as the host's word of it arrives, also where much is yet to be read."""
    output = Output()

    def take(number: int, data: bytes) -> None:
        channel = connection.channels[0]
        channel.process.wait(PATIENCE)  # it could write all that it had: the pipe holds more
        channel.closed = True
        output.take(number, data)

    text = "print('x' * 20000, flush=True); import sys; print('y' * 20000, end='', file=sys.stderr)"
    found = Session(cast(Any, connection), [[sys.executable, "-c", text], ["printf", "z"]], take, lasting=False)
    until(lambda: not found.running)
    assert (found.problem, found.status) == (None, [0, 0])
    assert output.of == {0: b"x" * 20000 + b"\n", 1: b"z"}
    assert found.said[0] == "y" * 20000
