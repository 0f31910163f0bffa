"""Programs that run on a host for as long as their connection does: the controller's side of observe/remote/pump.py."""

from __future__ import annotations

import contextlib
import json
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import paramiko
from wg_migrate.errors import WgMigrateError

from observe.clocks import ENOUGH, Sample
from observe.ssh import Connection, refusal

_HEAD = struct.Struct("!BI")
PULSE = 1.0
"""Seconds between two questions for the clock: the host then knows that somebody listens, and we that it lives."""
SILENCE = 10.0
"""Seconds without a word after which a host has dropped out."""
_PORTION = 1 << 17


class Session:
    """A host's programs, what they print and say, and the host's clock. One thread serves it from `start` on."""

    def __init__(
        self,
        connection: Connection,
        programs: Sequence[Sequence[str]],
        on_output: Callable[[int, bytes], None],
        lasting: bool = True,
    ) -> None:
        """Start the programs; ON_OUTPUT gets what each prints, by its number, in the session's own thread.

        LASTING ones end only when they are told to; of others it is no problem if they do well.

        Raises WgMigrateError where they cannot be started.
        """
        self.name = connection.host.name
        self.samples: list[Sample] = []
        self.said = ["" for _ in programs]
        self.status: list[int | None] = [None for _ in programs]
        self.problem: str | None = None
        """Why it ended before it was told to, in one sentence."""
        self._connection = connection
        self._on_output = on_output
        self._stopping = False
        self._lasting = lasting
        self._asked: dict[str, int] = {}
        self._rest = b""
        self._channel = connection.start("pump", json.dumps([list(argv) for argv in programs]))
        self._channel.settimeout(PULSE / 2)
        self._thread = threading.Thread(target=self._serve, name=f"session {self.name}", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Tell whether the host is still there and at work."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Interrupt the programs, as Ctrl-C would."""
        self._stopping = True
        self._say("stop")

    def join(self, seconds: float) -> None:
        """Wait until the programs have ended; one that does not within so many seconds is cut off."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._stopping = False
            self._fail(f"it did not end within {seconds:g} s")
            self._channel.close()
            self._thread.join(SILENCE)

    def _fail(self, problem: str) -> None:
        self.problem = self.problem or problem

    def _serve(self) -> None:
        heard = time.monotonic()
        asked = 0.0
        try:
            # Until all is read: a channel that the host has closed still holds what came before; then it reads b"".
            while True:
                now = time.monotonic()
                if now - asked >= PULSE or (len(self.samples) < ENOUGH and not self._asked):
                    asked = now
                    self._ask()
                try:
                    portion = self._channel.recv(_PORTION)
                except TimeoutError:
                    if time.monotonic() - heard > SILENCE:
                        self._fail(f"nothing has been heard of it for {SILENCE:g} s")
                        return
                    continue
                if not portion:
                    break
                heard = time.monotonic()
                self._take(portion)
        except (OSError, EOFError, paramiko.SSHException) as error:
            self._fail(f"the connection broke: {error or type(error).__name__}")
        except WgMigrateError as error:
            self._fail(str(error))
        finally:
            self._end()

    def _end(self) -> None:
        """Say why it ended, where nobody asked for it."""
        if None in self.status:
            said = ""
            if self._channel.recv_stderr_ready():
                said = self._channel.recv_stderr(_PORTION).decode(errors="replace")
            self._fail(refusal(self._connection.host, said) if said.strip() else "the connection ended")
        self._channel.close()

    def _ask(self) -> None:
        token = str(len(self._asked) + len(self.samples))
        self._asked[token] = time.time_ns()
        self._say(f"clock {token}")

    def _say(self, line: str) -> None:
        # Where nobody takes it, the host has ended or fallen silent, and who reads finds out which.
        with contextlib.suppress(OSError):
            self._channel.sendall(f"{line}\n".encode())

    def _take(self, portion: bytes) -> None:
        data, position = self._rest + portion, 0
        while position + _HEAD.size <= len(data):
            kind, size = _HEAD.unpack_from(data, position)
            end = position + _HEAD.size + size
            if end > len(data):
                break
            payload = data[position + _HEAD.size : end]
            if kind:
                self._on_output(kind - 1, payload)
            else:
                self._hear(json.loads(payload))
            position = end
        self._rest = data[position:]

    def _hear(self, message: dict[str, Any]) -> None:
        if "clock" in message:
            sent = self._asked.pop(message["token"], None)
            if sent is not None:
                self.samples.append(Sample(sent, time.time_ns(), message["clock"]))
        elif "said" in message:
            self.said[message["program"]] += message["said"]
        elif "status" in message:
            self.status[message["program"]] = message["status"]
            if not self._stopping and (self._lasting or message["status"] != 0):
                words = self.said[message["program"]].strip().splitlines() or ["without a word"]
                self._fail(f"a program ended: {words[-1]}")
