"""The loop as a process: into the right namespaces, without rights that it does not need, and its events served.

It starts in the host's namespace, opens there (or in the applications' namespace) the socket of the small packets, goes
into namespace wgnet for good, and gives up the right to leave it.
"""

from __future__ import annotations

import contextlib
import gc
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator

from . import control, privileges, schedule_file
from .config import OUTER_NAMESPACE, Config, load
from .counters import Counters
from .errors import WgMigrateError
from .loop import Loop
from .notify import notify, watchdog_period
from .nudge import Nudge
from .probes import Probe
from .repair import Repair
from .route_switch import RouteSwitch
from .schedule import DEFAULT_PERIOD, Health, Schedule
from .sessions import read_sessions
from .system import System
from .tunnel_want import known_paths
from .watch import Watch

_BRIEF = 0.005
_DEAF = 0.03
"""Seconds of a wait that is brief, and for how long a brief wait need not listen: a sleep costs less than a select."""


def run(system: System) -> None:
    """Run the loop until SIGTERM. Raises WgMigrateError where there is nothing to run on."""
    config = load(system)
    nudge = _in_namespaces(config)
    now = time.monotonic()
    names = [path.name for path in known_paths(config)]

    def open_probe(name: str) -> Probe:
        return Probe(name, config.overlay_address, config.exit.address)

    watch = Watch(names, Health(), open_probe, Counters().read, now)
    loop = Loop(config, system, RouteSwitch(), nudge, watch, Repair(system), now)
    server = control.ControlServer(
        control.PATH, lambda request: loop.handle(request, time.monotonic()), config.status_group
    )
    privileges.keep_only_net_admin()
    with _stop_signals() as stopping:
        _find(loop, system)
        _begin(loop, system)
        gc.freeze()  # what is there now stays, and need not be looked through again and again
        notify("READY=1")
        _serve(loop, server, stopping, lambda: _find(loop, system))
        notify("STOPPING=1")
        loop.stop()


def _begin(loop: Loop, system: System) -> None:
    """Begin with the file's schedule; where it cannot be used any more, say so and go round all paths.

    A loop that ends for it would be started again and again, and all traffic would stay on one path.
    """
    schedule = Schedule(period=DEFAULT_PERIOD)
    try:
        schedule = schedule_file.load(system)
        loop.take(schedule, time.monotonic())
    except WgMigrateError as error:
        loop.take(Schedule(period=schedule.period or DEFAULT_PERIOD, health=schedule.health), time.monotonic())
        loop.problem = f"{schedule_file.PATH} is not used, and the loop goes round all paths instead: {error}"
        print(f"wg-migrate: {loop.problem}", file=sys.stderr)


def _find(loop: Loop, system: System) -> None:
    indices = {name: index for index, name in socket.if_nameindex()}
    loop.find(indices, read_sessions(system), time.monotonic())


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


def _serve(loop: Loop, server: control.ControlServer, stopping: socket.socket, find: Callable[[], None]) -> None:
    """Serve the loop's events until something is readable on `stopping`.

    Most often nothing is but time, at short periods a thousand times a second, so that this does as little as can be:
    before a brief wait nobody is listened to who was listened to just before.
    """
    period = watchdog_period()
    next_watchdog = time.monotonic()
    next_listening = next_watchdog
    waiting: list[int] = []
    while True:
        now, wake = time.monotonic(), loop.wake()
        if wake - now < _BRIEF and wake < min(next_listening, next_watchdog, loop.next_find):
            if wake > now:
                time.sleep(wake - now)
            loop.step(time.monotonic())
            continue
        if not waiting:
            waiting = [stopping.fileno(), *server.descriptors()]
        # select waits in microseconds; epoll would round the wait to whole milliseconds.
        ready, _, _ = select.select(waiting, [], [], max(0.0, min(wake, next_watchdog) - now))
        now = time.monotonic()
        next_listening = now + _DEAF
        loop.step(now)
        if ready:
            if stopping.fileno() in ready:
                return
            server.serve(ready)
            waiting = []
        if now >= loop.next_find:
            find()
        if now >= next_watchdog:
            notify("WATCHDOG=1")
            next_watchdog = now + period
