"""Run programs and send what they print to the controller; they end with the connection over which this runs.

`pump.py SSH_CONNECTION PROGRAMS`, as root: PROGRAMS is a list of command lines in JSON. On standard output go frames: a
byte that tells the kind, four with the length, and so many more. Kind 0 is a message in JSON, kind 1 + n what program
number n printed. A line `clock TOKEN` on standard input is answered at once, `stop` interrupts the programs as Ctrl-C
would; others mean nothing.

No program outlives the connection. Where that ends, so does standard input; where it hangs, no line comes for LEASE
seconds; and where this process is killed, the kernel kills the programs: prctl(2), PR_SET_PDEATHSIG.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import struct
import subprocess
import sys
import time
from typing import Any

LEASE = 30
PORTION = 1 << 16


def send(kind: int, payload: bytes) -> None:
    """Send a frame, waiting for as long as nobody reads."""
    rest = memoryview(struct.pack("!BI", kind, len(payload)) + payload)
    while rest:
        rest = rest[os.write(1, rest) :]


def tell(**message: Any) -> None:
    """Send a message."""
    send(0, json.dumps(message).encode())


def obey(line: bytes, running: dict[int, subprocess.Popen[bytes]]) -> None:
    """Do what a line from the controller asks for."""
    word, _, token = line.partition(b" ")
    if word == b"clock":
        tell(clock=time.time_ns(), token=token.decode())
    elif word == b"stop":
        for process in running.values():
            process.send_signal(signal.SIGINT)


def main(programs: list[list[str]]) -> None:
    """Run the programs until all have ended or nobody wants them any more."""
    # Both end this process by default, the alarm also while it waits in a write; Python would catch the other.
    signal.alarm(LEASE)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
    running: dict[int, subprocess.Popen[bytes]] = {}
    with selectors.DefaultSelector() as sources:
        sources.register(0, selectors.EVENT_READ)
        for number, argv in enumerate(programs):
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            running[number] = process
            for stream, name in ((process.stdout, "out"), (process.stderr, "said")):
                assert stream is not None
                sources.register(stream, selectors.EVENT_READ, (number, name))
        serve(sources, running)
    for process in running.values():
        process.kill()


def serve(sources: selectors.DefaultSelector, running: dict[int, subprocess.Popen[bytes]]) -> None:
    """Pass on what comes until all programs have ended, or standard input has."""
    lines = b""
    open_outputs = dict.fromkeys(running, 2)
    while running:
        for key, _ in sources.select():
            data = os.read(key.fd, PORTION)
            if key.data is None:
                if not data:
                    return
                signal.alarm(LEASE)
                *whole, lines = (lines + data).split(b"\n")
                for line in whole:
                    obey(line, running)
                continue
            number, name = key.data
            if data and name == "out":
                send(1 + number, data)
            elif data:
                tell(program=number, said=data.decode(errors="replace"))
            else:
                sources.unregister(key.fileobj)
                open_outputs[number] -= 1
                if open_outputs[number] == 0:
                    tell(program=number, status=running.pop(number).wait())


if __name__ == "__main__":
    main(json.loads(sys.argv[2]))
