"""The migration loop: moves wg0 from path to path as the schedule says, and leaves out the paths that are dead.

By a period, each switch is one netlink message. By packets, nftables walks through a table of batches (batches.py), and
the loop only draws the table anew: for each session, and when the paths to use change.
"""

from __future__ import annotations

import contextlib
import errno
import random
from collections.abc import Mapping
from typing import Any

from .addresses import endpoint
from .batch_table import BatchTable
from .batches import draw_batches
from .choice import Chooser
from .config import INNER_DEVICE, Config, Exit, Path, load
from .deadlines import Deadlines
from .errors import WgMigrateError
from .figures import Figures
from .health import DOWN
from .installed_code import fingerprint
from .nudge import Nudge
from .randomness import generator
from .reading import read_interval, read_number, shown
from .repair import Repair
from .roads import Roads
from .route_switch import RouteSwitch
from .schedule import DEFAULT_PERIOD, Schedule, parse, plain
from .sessions import Session
from .system import System
from .tunnel_want import known_paths, path_mark
from .watch import Watch

FIND_IN_HASTE = 0.5
FIND_UNPROBED = 5.0
FIND_WHEN_SURE = 60.0
"""Seconds between two looks at devices and sessions, which cost a process: shortly after a start or a change, while a
path is judged by its session, and while all are judged by their probes."""
_HASTE = 30.0
"""Seconds that count as shortly after."""
_NEVER = float("inf")
_SOON = 0.05
"""Seconds by which a look is made earlier, together with a switch, at most."""
_NUDGE_PAUSE = 0.004
"""Seconds between two small packets: each costs six processes' work, and on its way it is blurred by more."""
_LONGEST_HOLD = 3600
"""Seconds."""
_FRESH = 0.005
"""Seconds for which the counters are fresh enough to keep a cap."""


class Loop:
    """The state of a running loop. Its methods do what is due and return; `wake` is when something is due next.

    Times are seconds of the monotonic clock.
    """

    def __init__(
        self,
        config: Config,
        system: System,
        switch: RouteSwitch,
        nudge: Nudge,
        watch: Watch,
        repair: Repair,
        now: float,
    ) -> None:
        self._system = system
        self._nudge = nudge
        self._watch = watch
        self._repair = repair
        self._names = [path.name for path in known_paths(config)]
        self._roads = Roads(switch, self._names, config.overlay_address)
        marks = [f"{path_mark(name):#x}" for name in self._names]
        self._table = BatchTable(system, marks, config.exit.address, config.exit.port)
        self._present: list[bool] = []
        self._usable: list[int] = []
        self._drawn_for: list[int] = []
        self._per_path = [0] * len(self._names)
        self._nudging = True
        self._next_nudge = now
        self._nudges_since_look = self._switches_since_look = 0
        self._looked = self._started = now
        self._session_number = 0
        self._session_started = now
        self._session_end = _NEVER
        self._code = fingerprint(system)
        self._basis = config.basis
        self._rng = generator(None)
        self.schedule = Schedule(period=DEFAULT_PERIOD)
        self._chooser = Chooser(self.schedule, self._names, self._rng)
        self._deadlines: Deadlines | None = None
        self.problem: str | None = None
        self.figures = Figures()
        self.next_find = now
        self._hasty_until = now + _HASTE
        self._table_problem: str | None = None

    def take(self, schedule: Schedule, now: float) -> None:
        """Go on with another schedule; no packet is lost meanwhile.

        Raises WgMigrateError where it does not fit the paths or nft refuses it; the one before then goes on.
        """
        rng = generator(schedule.seed)
        chooser = Chooser(schedule, self._names, rng)
        if schedule.period is None:
            self._draw(schedule, chooser, rng, [0.0] * len(self._names), now)
        else:
            # The main route stands on a path all the time, so there is somewhere to go when the batches are gone.
            self._table.unload()
            self._observe(now)
            self._table.begin([], self._watch.sent_by_all())
            self._drawn_for = []
        self.schedule, self._chooser, self._rng = schedule, chooser, rng
        self._deadlines = None
        if schedule.period is not None:
            self._deadlines = Deadlines(schedule.period, schedule.jitter, rng, now)
        self._watch.settle(schedule.health)
        self.problem = self._table_problem = None
        self._begin_session(now)

    def find(self, indices: Mapping[str, int], sessions: Mapping[str, Session], now: float) -> None:
        """Take note of the devices that there are, by their index, and of their sessions; look at all of them."""
        self._roads.find(indices)
        self._watch.find(indices, sessions, now)
        self.look(now)
        sure = self._watch.problem is None and all(path.answers for path in self._watch.paths)
        hasty = now < self._hasty_until and any(path.state == DOWN for path in self._watch.paths)
        self.next_find = now + (FIND_IN_HASTE if hasty else FIND_WHEN_SURE if sure else FIND_UNPROBED)

    def wake(self) -> float:
        """Return when something is due next."""
        chores = min(self._watch.next_look, self.next_find, self._session_end)
        return min(self._deadlines.next, chores) if self._deadlines else chores

    def step(self, now: float) -> None:
        """Do what is due, but for the looks at the sessions, which cost a process."""
        soon = now
        if self._deadlines and now >= self._deadlines.next:
            self.switch(now)
            # Waking up is what costs most, so a look that is due before the next switch is taken along.
            soon += min(_SOON, self._deadlines.period / 2)
        if soon >= self._watch.next_look:
            self.look(now)
        if now >= self._session_end:
            self.new_session(now)

    def switch(self, now: float) -> None:
        """Move to the next path, if there is one to move to."""
        assert self._deadlines is not None
        lateness = now - self._deadlines.due
        self.figures.missed += self._deadlines.advance(now)
        if self.schedule.max_share < 1 and now > self._looked + _FRESH:
            self.look(now)
        active = self._roads.active
        path = self._chooser.choose(active, self._usable, self._watch.carried())
        if path is None or path == active:
            return
        try:
            self._roads.hurry(path)
        except KeyError:
            self._lose(path, now)
            return
        figures = self.figures
        figures.switches += 1
        figures.timed += 1
        self._switches_since_look += 1
        self._per_path[path] += 1
        figures.lateness_sum += lateness
        figures.lateness_worst = max(figures.lateness_worst, lateness)
        if self._nudging and now >= self._next_nudge:
            self._next_nudge = now + _NUDGE_PAUSE
            self._tell_exit()

    def look(self, now: float) -> None:
        """Look at counters and probes; leave a path that is dead at once."""
        for path, error in self._roads.refused():
            self.figures.switches -= 1
            self._per_path[path] -= 1
            self._lose(path, now, error)
        self._observe(now)
        self._see_devices(now)
        self._see_silence(now)
        usable = self._watch.usable()
        if usable != self._usable or self._roads.active not in usable:
            self._use(usable, now)
        if self.schedule.period is None and self._watch.standing() != self._drawn_for:
            self._redraw(self._watch.carried(), now)

    def _observe(self, now: float) -> None:
        self._watch.look(self._nudges_since_look, now)
        # A download follows the client's own packets. The exit is told only where these are too few to show the way.
        enough = 2 * max(1, self._switches_since_look)
        self._nudging = self._watch.listening(now) and self._watch.up_since_look < enough
        self._nudges_since_look = self._switches_since_look = 0
        self._looked = now

    def new_session(self, now: float) -> None:
        """Begin a session: new weights, new batches, and shares counted from nothing."""
        self._chooser.new_session()
        if self.schedule.period is not None:
            self.look(now)
        else:
            self._redraw([0.0] * len(self._names), now)
        self._begin_session(now)

    def stop(self) -> None:
        """Leave all traffic on one path: without the loop nobody would take a dead path out of the batches."""
        self._table.unload()

    def handle(self, request: dict[str, Any], now: float) -> dict[str, Any]:
        """Answer a request of the control socket. Raises WgMigrateError for one that is refused."""
        command = request.get("command")
        if command == "schedule":
            self.take(parse(request.get("schedule")), now)
        elif command == "interval":
            period = read_interval(request.get("interval"))
            document = {key: value for key, value in plain(self.schedule).items() if key not in _BY_PACKETS}
            self.take(parse({**document, "period": period}), now)
        elif command == "new_session":
            self.new_session(now)
        elif command == "hold":
            seconds = read_number("seconds", request.get("seconds"), 0, _LONGEST_HOLD, "60")
            self._watch.hold(request.get("path"), now + seconds)
        elif command != "status":
            raise WgMigrateError(
                f"unknown command {shown(command)}: send status, schedule, interval, new_session or hold"
            )
        return self.status(now)

    def status(self, now: float) -> dict[str, Any]:
        """Return the loop's state as plain data; times in seconds, shares from 0 to 1 of the packets sent."""
        self.look(now)
        figures, watch = self.figures, self._watch
        passed = self._table.passed(watch.sent_by_all())
        return {
            "code": self._code,
            "basis": self._basis,
            "schedule": plain(self.schedule),
            "replayed": self.schedule.seed is not None,
            "problem": self.problem or self._table_problem or watch.problem,
            "active": "" if self._roads.active is None else self._names[self._roads.active],
            "all_down": watch.all_down(),
            "running_seconds": round(now - self._started, 3),
            "switches": figures.switches + sum(passed.values()),
            "switches_missed": figures.missed,
            "switches_failed": figures.switches_failed,
            "nudges": figures.nudges,
            "nudges_failed": figures.nudges_failed,
            "lateness_mean": round(figures.lateness_sum / figures.timed, 6) if figures.timed else 0.0,
            "lateness_worst": round(figures.lateness_worst, 6),
            "repairs": figures.repairs,
            "session": {
                "number": self._session_number,
                "seconds": round(now - self._session_started, 3),
                "weights": [round(weight, 4) for weight in self._chooser.weights],
            },
            "paths": {
                name: {"switches": self._per_path[number] + passed.get(number, 0), **watch.status(number, now)}
                for number, name in enumerate(self._names)
            },
        }

    def _move(self, path: int, now: float) -> bool:
        """Put the main route on a path; return whether it stands there."""
        try:
            self._roads.move(path)
        except KeyError:
            self._lose(path, now)
            return False
        except OSError as error:
            self._lose(path, now, error)
            return False
        return True

    def _lose(self, path: int, now: float, error: OSError | None = None) -> None:
        """Take note that a path's device is gone or down: the route stands where it stood; look again at once.

        Raises the error where it is of another kind.
        """
        self.figures.switches_failed += 1
        self._watch.lost(path, now)
        self._usable = self._watch.usable()
        self.next_find, self._hasty_until = now, now + _HASTE
        if error is not None and error.errno not in (errno.ENODEV, errno.ENETDOWN, errno.EINVAL):
            raise error

    def _use(self, usable: list[int], now: float) -> None:
        """Send by these paths from now on, and by no other."""
        self._usable = usable
        if not usable:
            return
        while self._usable and self._roads.active not in self._usable:
            path = self._chooser.choose(self._roads.active, self._usable, self._watch.carried())
            if path is not None and self._move(path, now):
                self.figures.switches += 1
                self._per_path[path] += 1
        self._roads.detour(self._usable)
        # The exit may still send by a path that is dead.
        self._tell_exit()

    def _draw(self, schedule: Schedule, chooser: Chooser, rng: random.Random, before: list[float], now: float) -> None:
        """Draw a table of batches and let nft walk through it. Without a path to use, that waits until there is one."""
        paths = self._watch.standing()
        if paths:
            drawn = draw_batches(schedule, chooser, paths, rng, before)
            self._table.load(drawn)
        self._drawn_for = paths
        if paths:
            self._observe(now)
            self._table.begin(drawn, self._watch.sent_by_all())

    def _redraw(self, before: list[float], now: float) -> None:
        """Draw the table anew; where nft refuses it, the one before goes on, and the status says why."""
        try:
            self._draw(self.schedule, self._chooser, self._rng, before, now)
            self._table_problem = None
        except WgMigrateError as error:
            self._table_problem = str(error)
            self._drawn_for = self._watch.standing()  # not again at each look

    def _see_devices(self, now: float) -> None:
        """Ask for the tunnel to be rebuilt where a device is gone."""
        present = [path.present for path in self._watch.paths]
        if self._present and present != self._present:
            self._unpin(INNER_DEVICE)
            self.next_find, self._hasty_until = now, now + _HASTE
        self._present = present
        if self._nudge.lost() or not all(present):
            self.figures.repairs += self._repair.ask(now)

    def _see_silence(self, now: float) -> None:
        """Have the device of a path that says no more ask the routes anew: the uplink's address may have changed."""
        for path, name in zip(self._watch.paths, self._names):
            if path.fell_silent(now):
                self._unpin(name)

    def _unpin(self, device: str) -> None:
        """Set the endpoint of a device's peer to what it is.

        wireguard-go sends from the address and by the device that the last packet came in by, also when these are gone:
        for 15 s, until it shakes hands again. With its endpoint set anew it asks the routes.
        """
        with contextlib.suppress(WgMigrateError):  # a configuration that is damaged meanwhile
            config = load(
                self._system
            )  # a peer's key may be another one by now, and the old one would be a second peer
            peers: dict[str, Exit | Path] = {INNER_DEVICE: config.exit, **{path.name: path for path in config.paths}}
            peer = peers.get(device)
            if peer and peer.public_key:
                where = endpoint(peer.address, peer.port)
                self._system.attempt(["wg", "set", device, "peer", peer.public_key, "endpoint", where])

    def _begin_session(self, now: float) -> None:
        self._watch.new_session()
        self._session_number += 1
        self._session_started = now
        self._session_end = now + self.schedule.session if self.schedule.session else _NEVER

    def _tell_exit(self) -> None:
        self.figures.nudges += 1
        self._nudges_since_look += 1
        if not self._nudge.send():
            self.figures.nudges_failed += 1


_BY_PACKETS = ("packets", "packets_mean", "batches")
