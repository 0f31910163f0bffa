"""Watch the running loop for some seconds: `loop_meter.py UNIT SECONDS PERIOD`.

Prints as JSON how long it watched (s), what CPU time the loop's process used (s), the switches that the period asks for
in this time, and those that were made.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from typing import Any

CONTROL = "/run/wg-migrate/control.sock"
COARSE = 0.01
"""Seconds: with a longer period, one switch more or less by chance would be a large part of all."""
POLL = 0.002


class Loop:
    """The running loop: its counters, and its CPU clock."""

    def __init__(self, unit: str) -> None:
        shown = subprocess.run(
            ["systemctl", "show", "--property=MainPID", "--value", unit], capture_output=True, check=True
        )
        pid = int(shown.stdout)
        if not pid:
            sys.exit(f"{unit} is not running")
        # clock_getcpuclockid(3): user and system time of a process in nanoseconds; /proc/PID/stat has hundredths.
        self._clock = (~pid << 3) | 2
        self._control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(2)
        self._control.connect(CONTROL)

    def cpu_seconds(self) -> float:
        """Return the CPU time that the loop's process has used, in seconds."""
        return time.clock_gettime(self._clock)

    def switches(self) -> tuple[int, float]:
        """Return the switches that the loop has made, and when it said so, in seconds of the monotonic clock."""
        asked = time.monotonic()
        self._control.send(b'{"command": "status"}')
        status: dict[str, Any] = json.loads(self._control.recv(65536))
        return int(status["switches"]), (asked + time.monotonic()) / 2


def watch(loop: Loop, seconds: float, period: float) -> dict[str, float]:
    """Return what happened in a window that begins just after a switch, so that what is asked for is a whole number."""
    first, begin = loop.switches()
    if period >= COARSE:
        seen = first
        while first == seen:
            time.sleep(POLL)
            first, begin = loop.switches()
    cpu = loop.cpu_seconds()
    time.sleep(seconds + period / 2)
    cpu = loop.cpu_seconds() - cpu
    last, end = loop.switches()
    return {
        "seconds": round(end - begin, 6),
        "cpu_seconds": round(cpu, 6),
        "asked": int((end - begin) / period),
        "made": last - first,
    }


if __name__ == "__main__":
    print(json.dumps(watch(Loop(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))))
