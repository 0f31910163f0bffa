"""Watches the paths of a running loop: probes, counters and sessions in, health and shares out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from .errors import WgMigrateError
from .health import DOWN, SUSPECT, UP, PathHealth
from .reading import shown
from .schedule import Health
from .sessions import Session, is_live

BUSY = 3
"""Packets of others within one look from which on the client counts as busy: handshakes alone are fewer."""
LOOK = 0.1
"""Seconds between two looks at most."""
_LINGER = 2.0
"""Seconds for which it still counts as busy, or as listening, after the last packets."""


class Prober(Protocol):
    """What a probe must be able to do: see probes.Probe."""

    def send(self) -> tuple[int, bool]:
        """Send a probe; return its number, and whether it went."""

    def receive(self) -> list[tuple[int, float | None]]:
        """Return the numbers of the probes that were answered, and after how many seconds."""

    def close(self) -> None:
        """Close the socket."""


class Tally:
    """The packets that one path has sent for wg0, from any point of time on."""

    def __init__(self) -> None:
        self.sent = 0
        self.session_start = 0
        self._last: tuple[int, int] | None = None
        self._own_sent = 0
        self._own_received = 0

    def own(self, sent: int, received: int) -> None:
        """Take note of packets of ours, which the device counts too."""
        self._own_sent += sent
        self._own_received += received

    def count(self, counters: tuple[int, int] | None) -> tuple[int, int]:
        """Take the device's counters (received, sent); return how many of others were sent and received since."""
        if counters is None:
            self._last = None
            return 0, 0
        last = self._last or counters
        if counters[0] < last[0] or counters[1] < last[1]:
            last = (0, 0)  # the device was made anew
        sent = max(0, counters[1] - last[1] - self._own_sent)
        received = max(0, counters[0] - last[0] - self._own_received)
        self._own_sent = self._own_received = 0
        self._last = counters
        self.sent += sent
        return sent, received


class Watch:
    """All paths under watch, in the order of `names`.

    `open_probe` opens the probe of a path; `read_counters` returns packets received and sent by device.
    """

    def __init__(
        self,
        names: Sequence[str],
        settings: Health,
        open_probe: Callable[[str], Prober],
        read_counters: Callable[[], Mapping[str, tuple[int, int]]],
        now: float,
    ) -> None:
        self.names = list(names)
        self.settings = settings
        self.paths = [PathHealth(settings, now) for _ in names]
        self.tallies = [Tally() for _ in names]
        self.problem: str | None = None
        self._open_probe = open_probe
        self._read_counters = read_counters
        self._probes: dict[int, Prober] = {}
        self._indices: dict[int, int] = {}
        self._handshakes: dict[int, tuple[int, float, float]] = {}
        self._found = now
        self._busy_until = now
        self._listening_until = now
        self.up_since_look = 0
        self.next_look = now
        self._held: dict[int, float] = {}

    def hold(self, name: object, until: float) -> None:
        """Leave a path out until then, while there is another; a time that has passed takes it back.

        Raises WgMigrateError where there is no path of this name.
        """
        if name not in self.names:
            raise WgMigrateError(f"{shown(name)} is no path: write one of {', '.join(self.names)}")
        self._held[self.names.index(str(name))] = until

    def settle(self, settings: Health) -> None:
        """Take other settings from now on."""
        self.settings = settings
        for path in self.paths:
            path.settings = settings

    def find(self, indices: Mapping[str, int], sessions: Mapping[str, Session], now: float) -> None:
        """Take note of which devices there are, and of their sessions; open the probes of new ones."""
        self.problem = None
        for number, name in enumerate(self.names):
            index = indices.get(name)
            self.paths[number].present = index is not None
            if index != self._indices.get(number):
                self._close(number)
            if index is not None:
                self._indices[number] = index
                if number not in self._probes:
                    self._open(number)
            session = sessions.get(name)
            self.paths[number].session_live = is_live(self._age(number, session, now))
        self._found = now

    def look(self, nudges: int, now: float) -> None:
        """Read the counters, send the probes that are due, and judge.

        `nudges` is how many packets the loop itself has sent through wg0 since the last look.
        """
        self._held = {number: until for number, until in self._held.items() if now < until}
        self._receive(now)
        counters = self._read_counters()
        sent_by_all = received_by_all = 0
        for name, path, tally in zip(self.names, self.paths, self.tallies):
            path.present = name in counters
            sent, received = tally.count(counters.get(name))
            sent_by_all += sent
            received_by_all += received
            path.counted(sent > 0, received > 0, now)
        sent_by_all = max(0, sent_by_all - nudges)
        if sent_by_all + received_by_all >= BUSY:
            if now >= self._busy_until:
                for path in self.paths:
                    path.hurry(now)
            self._busy_until = now + _LINGER
        if received_by_all > 0:
            self._listening_until = now + _LINGER
        self.up_since_look = sent_by_all
        self._probe(now)
        self._judge(now)
        quick = any(path.state == SUSPECT for path in self.paths)
        usual = min(LOOK, self.settings.busy)
        self.next_look = now + (min(usual, self.settings.silence / 6) if quick else usual)

    def busy(self, now: float) -> bool:
        """Tell whether traffic flows."""
        return now < self._busy_until

    def listening(self, now: float) -> bool:
        """Tell whether packets come down."""
        return now < self._listening_until

    def standing(self) -> list[int]:
        """Return the numbers of the paths that are not down; without any, the best that there is."""
        found = [number for number, path in enumerate(self.paths) if path.state != DOWN]
        if found:
            return self._without_held(found)
        # Nothing passes, as far as is known. If only the probes fail, this keeps the traffic going.
        return [number for number, path in enumerate(self.paths) if path.present and path.session_live]

    def usable(self) -> list[int]:
        """Return the numbers of the paths to send by now: a suspect one is left out while another is up."""
        return (
            self._without_held([number for number, path in enumerate(self.paths) if path.state == UP])
            or self.standing()
        )

    def _without_held(self, paths: list[int]) -> list[int]:
        return [number for number in paths if number not in self._held] or paths

    def all_down(self) -> bool:
        """Tell whether no path is known to pass anything."""
        return all(path.state == DOWN for path in self.paths)

    def new_session(self) -> None:
        """Begin to count a session's packets from here on."""
        for tally in self.tallies:
            tally.session_start = tally.sent

    def lost(self, number: int, now: float) -> None:
        """Take note that a path's device has refused a route."""
        self.paths[number].present = False
        self._judge(now)

    def sent_by_all(self) -> int:
        """Return the packets that all paths have sent for wg0, as of the last look."""
        return sum(tally.sent for tally in self.tallies)

    def status(self, number: int, now: float) -> dict[str, Any]:
        """Return what is known of a path as plain data; times in seconds, shares from 0 to 1."""
        path, tally = self.paths[number], self.tallies[number]
        in_session, in_all = self.carried(), [each.sent for each in self.tallies]
        return {
            "live": path.session_live,
            "health": path.state,
            "held": number in self._held,
            "why": path.why,
            "since_seconds": round(now - path.since, 3),
            "rtt": None if path.rtt is None else round(path.rtt, 6),
            "probes_sent": path.probes_sent,
            "probes_answered": path.probes_answered,
            "packets_up_session": tally.sent - tally.session_start,
            "share_session": _share(in_session, number),
            "share": _share(in_all, number),
        }

    def carried(self) -> list[float]:
        """Return the packets that each path has sent for wg0 in this session, as of the last look."""
        return [float(tally.sent - tally.session_start) for tally in self.tallies]

    def _receive(self, now: float) -> None:
        for number, probe in self._probes.items():
            for answer, after in probe.receive() if self.paths[number].waits else ():
                self.tallies[number].own(0, 1)
                self.paths[number].answered(answer, now, after)

    def _probe(self, now: float) -> None:
        busy = self.busy(now)
        for number, probe in self._probes.items():
            path = self.paths[number]
            if path.probe_due(now):
                probe_number, went = probe.send()
                self.tallies[number].own(int(went), 0)
                path.sent(probe_number, busy, now)

    def _judge(self, now: float) -> None:
        exit_answers = any(path.answers for path in self.paths)
        for path in self.paths:
            path.judge(exit_answers, now)

    def _open(self, number: int) -> None:
        try:
            self._probes[number] = self._open_probe(self.names[number])
        except OSError as error:
            self.problem = f"{self.names[number]} cannot be probed: {error}"

    def _close(self, number: int) -> None:
        self._indices.pop(number, None)
        probe = self._probes.pop(number, None)
        if probe is not None:
            probe.close()

    def _age(self, number: int, session: Session | None, now: float) -> float | None:
        """Return the age of a path's last handshake by the monotonic clock: the wall clock may be set meanwhile."""
        if session is None or session.age is None:
            self._handshakes.pop(number, None)
            return None
        known = self._handshakes.get(number)
        if known is None:
            self._handshakes[number] = (session.handshake, session.age, now)
        elif known[0] != session.handshake:
            # It came after the last look, whatever the wall clock says.
            self._handshakes[number] = (session.handshake, min(session.age, now - self._found), now)
        _, age, seen = self._handshakes[number]
        return age + now - seen


def _share(carried: Sequence[float], number: int) -> float | None:
    total = sum(carried)
    return round(carried[number] / total, 4) if total else None
