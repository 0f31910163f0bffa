"""The migration loop: on each deadline one netlink message moves wg0 to the next path, one small packet says so.

It starts in the host's namespace, opens there (or in the applications' namespace) the socket of the small packets, goes
into namespace wgnet for good, and gives up the right to leave it.
"""

from __future__ import annotations

import contextlib
import errno
import select
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import control, privileges, schedule_file
from .config import INNER_DEVICE, OUTER_NAMESPACE, Config, load
from .errors import WgMigrateError
from .installed_code import fingerprint
from .interval import read_interval
from .notify import notify, watchdog_period
from .route_switch import RouteSwitch, encode
from .schedule import Deadlines, round_robin
from .sessions import read_sessions
from .system import System
from .tunnel_want import known_paths

DISCARD_PORT = 9
"""RFC 863; the exit drops the packet unanswered."""
CHECK_WHILE_COLD = 0.5
CHECK_WHILE_WARM = 5.0
"""Seconds between two looks at the sessions' ages: a look costs a process, about 5 ms."""


@dataclass
class Figures:
    """What the loop counts; `lateness` in seconds, of the switches that were made."""

    switches: int = 0
    missed: int = 0
    nudges_failed: int = 0
    switches_failed: int = 0
    lateness_sum: float = 0.0
    lateness_worst: float = 0.0


class Loop:
    """The state of a running loop. `step` does what is due and returns; `serve` and `check` are its parts."""

    def __init__(self, config: Config, interval: float, system: System, switch: RouteSwitch, nudge: Nudge) -> None:
        self._system = system
        self._switch = switch
        self._nudge = nudge
        self._names = [path.name for path in known_paths(config)]
        self._source = config.overlay_address
        endpoint = f"{config.exit.address}:{config.exit.port}"
        self._unpin = ["wg", "set", INNER_DEVICE, "peer", str(config.exit.public_key), "endpoint", endpoint]
        self._messages: dict[str, bytes] = {}
        self._live: frozenset[str] = frozenset()
        self._per_path = dict.fromkeys(self._names, 0)
        self._started = time.monotonic()
        self._code = fingerprint(system)
        self.active = ""
        self.figures = Figures()
        self.deadlines = Deadlines(interval, self._started)
        self.next_check = self._started

    def check(self, now: float) -> None:
        """See which paths have a live session and prepare their messages; a device may have been made anew."""
        sessions = read_sessions(self._system)
        messages = {name: encode(index, self._source) for name, index in _indices(self._names).items()}
        if self._messages and messages != self._messages:
            # wireguard-go may be pinned to the device that is gone; its endpoint set anew makes it ask the routes.
            self._system.attempt(self._unpin)
        self._messages = messages
        self._live = frozenset(n for n in self._messages if n in sessions and sessions[n].live)
        warm = len(self._live) == len(self._names)
        self.next_check = now + (CHECK_WHILE_WARM if warm else CHECK_WHILE_COLD)

    def switch(self, now: float) -> None:
        """Move to the next path, if there is one to move to, and tell the exit by a packet through wg0."""
        lateness = now - self.deadlines.next
        self.figures.missed += self.deadlines.advance(now)
        path = round_robin(self._names, self.active, self._live)
        if path is None:
            return
        try:
            self._switch.send(self._messages[path])
        except OSError as error:
            # The device is gone or down: the route stands where it stood; look again at once.
            self.figures.switches_failed += 1
            self._live -= {path}
            self.next_check = now
            if error.errno not in (errno.ENODEV, errno.ENETDOWN, errno.EINVAL):
                raise
            return
        self.active = path
        self.figures.switches += 1
        self._per_path[path] += 1
        self.figures.lateness_sum += lateness
        self.figures.lateness_worst = max(self.figures.lateness_worst, lateness)
        if not self._nudge.send():
            self.figures.nudges_failed += 1

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer a request of the control socket. Raises WgMigrateError for one that is refused."""
        command = request.get("command")
        if command == "status":
            return self.status()
        if command == "interval":
            self.deadlines.change(read_interval(request.get("interval")), time.monotonic())
            return self.status()
        raise WgMigrateError(f"unknown command {command!r}: send status or interval")

    def status(self) -> dict[str, Any]:
        """Return the loop's state as plain data; times in seconds."""
        figures = self.figures
        elapsed = time.monotonic() - self._started
        return {
            "code": self._code,
            "interval": self.deadlines.interval,
            "active": self.active,
            "running_seconds": round(elapsed, 3),
            "switches": figures.switches,
            "switches_missed": figures.missed,
            "switches_failed": figures.switches_failed,
            "nudges_failed": figures.nudges_failed,
            "lateness_mean": round(figures.lateness_sum / figures.switches, 6) if figures.switches else 0.0,
            "lateness_worst": round(figures.lateness_worst, 6),
            "paths": {name: {"live": name in self._live, "switches": self._per_path[name]} for name in self._names},
        }


class Nudge:
    """A small packet through wg0: the exit follows the path of the last packet that it heard.

    Opened in the namespace where wg0 is, and bound to it, so that it can leave by nothing else.
    """

    def __init__(self, exit_inner_address: str) -> None:
        self._target = (exit_inner_address, DISCARD_PORT)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, INNER_DEVICE.encode() + b"\0")
        self._socket.setblocking(False)

    def send(self) -> bool:
        """Send the packet; return whether it went (a full queue means that there is traffic enough without it)."""
        try:
            self._socket.sendto(b"", self._target)
        except OSError:
            return False
        return True


def run(system: System) -> None:
    """Run the loop until SIGTERM. Raises WgMigrateError where there is nothing to run on."""
    config = load(system)
    interval = schedule_file.load(system)
    nudge = _in_namespaces(config)
    privileges.keep_only_net_admin()
    loop = Loop(config, interval, system, RouteSwitch(), nudge)
    server = control.ControlServer(control.PATH, loop.handle)
    with _stop_signals() as stopping:
        loop.check(time.monotonic())
        notify("READY=1")
        _serve_until(stopping, loop, server)
        notify("STOPPING=1")


def _in_namespaces(config: Config) -> Nudge:
    """Open what must be opened where wg0 is, and end up in namespace wgnet."""
    try:
        if config.inner_namespace:
            privileges.enter_namespace(config.inner_namespace)
        nudge = Nudge(config.exit.inner_address)
        privileges.enter_namespace(OUTER_NAMESPACE)
    except OSError as error:
        raise WgMigrateError(f"the tunnel is not up ({error}): run 'systemctl restart wg-migrate'") from None
    return nudge


@contextlib.contextmanager
def _stop_signals() -> Iterator[socket.socket]:
    """Give a socket that becomes readable when the process is asked to stop (SIGTERM, SIGINT)."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    with reader, writer:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)  # without a handler Python would not write to the socket
        signal.set_wakeup_fd(writer.fileno())
        yield reader
        signal.set_wakeup_fd(-1)


def _serve_until(stopping: socket.socket, loop: Loop, server: control.ControlServer) -> None:
    period = watchdog_period()
    next_watchdog = time.monotonic()
    while True:
        wake = min(loop.deadlines.next, loop.next_check, next_watchdog)
        # select waits in microseconds; epoll would round the wait to whole milliseconds.
        ready, _, _ = select.select([stopping, *server.sockets()], [], [], max(0.0, wake - time.monotonic()))
        now = time.monotonic()
        if now >= loop.deadlines.next:
            loop.switch(now)
        if stopping in ready:
            return
        server.serve(ready)
        if now >= loop.next_check:
            loop.check(now)
        if now >= next_watchdog:
            notify("WATCHDOG=1")
            next_watchdog = now + period


def _indices(names: list[str]) -> dict[str, int]:
    """Return the device index of each path that is in this namespace."""
    present = {name: index for index, name in socket.if_nameindex()}
    return {name: present[name] for name in names if name in present}
