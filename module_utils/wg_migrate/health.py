"""Is a path alive? A state machine fed with probes, answers and counters. Pure: time comes in as an argument.

A probe is an echo request that goes through the path's own tunnel, by its proxy, to the exit. Whatever comes back on
the path, answer or traffic, shows that it lives. Times are seconds of the monotonic clock.
"""

from __future__ import annotations

from .schedule import Health

UP, SUSPECT, DOWN = "up", "suspect", "down"
GONE = "its device is gone"
_ENOUGH = 3
"""Probes that must be unanswered: one or two are lost on a good path now and then."""
_NEVER = 1.0
"""Seconds after which a path that never answered counts as dead, if the exit answers by another."""
_UNPROBED = 15.0
"""Seconds of sending without hearing after which an unprobed path is given up, as WireGuard itself does
(KEEPALIVE_TIMEOUT + REKEY_TIMEOUT; Donenfeld, NDSS 2017)."""
_AGAIN = 30.0
"""Seconds after which an unprobed path that was given up is tried again."""
_CALM = 60.0
"""Seconds up after which an earlier failure is forgotten."""
_LONGEST_TRIAL = 60.0
_HELD = 64
"""How many unanswered probes are remembered."""
_TOO_LATE = 5.0
"""Seconds after which nobody waits for an answer any more."""
_FIRST, _FIRST_PAUSE = 10, 0.3
"""So many probes, so many seconds apart at most, are sent to a path that has not answered yet."""


class PathHealth:
    """The state of one path: `state`, `why`, since when, and what is known of its probes (`rtt` in seconds)."""

    def __init__(self, settings: Health, now: float) -> None:
        self.settings = settings
        self.state = DOWN
        self.why = "no handshake yet"
        self.since = now
        self.rtt: float | None = None
        self.probes_sent = 0
        self.probes_answered = 0
        self.present = False
        self.session_live = False
        self._variance = 0.0
        self._waiting: dict[int, float] = {}
        self._heard = now
        self._told_of: float | None = None
        self._silent_since: float | None = None
        self._answering_since: float | None = None
        self._given_up: float | None = None
        self._recovered: float | None = None
        self._relapses = 0
        self._last_probe = now - settings.idle
        self._next_probe = now

    @property
    def answers(self) -> bool:
        """Tell whether a probe was ever answered; a path that never answers is judged by its session and traffic."""
        return self.probes_answered > 0

    @property
    def waits(self) -> bool:
        """Tell whether an answer may still come."""
        return bool(self._waiting)

    def probe_due(self, now: float) -> bool:
        """Tell whether it is time for a probe."""
        return self.present and now >= self._next_probe

    def sent(self, number: int, busy: bool, now: float) -> None:
        """Take note of a probe that was sent; `busy` tells whether traffic flows."""
        self.probes_sent += 1
        if len(self._waiting) >= _HELD:
            # The oldest tells for how long nothing has come; an answer to a recent one must be recognised.
            del self._waiting[list(self._waiting)[1]]
        self._waiting[number] = now
        pause = self.settings.busy if busy else self.settings.idle
        if self.state == SUSPECT:
            pause = min(pause, self.settings.silence / 6)
        elif self.state == UP and not self.answers and self.probes_sent < _FIRST:
            pause = min(pause, _FIRST_PAUSE)
        self._last_probe, self._next_probe = now, now + pause

    def hurry(self, now: float) -> None:
        """Have the next probe at once, unless there was one just now."""
        self._next_probe = min(self._next_probe, max(now, self._last_probe + self.settings.silence / 3))

    def answered(self, number: int, now: float, after: float | None = None) -> None:
        """Take note of an answer; one that is not waited for any more is ignored.

        `after` is how long it took, in seconds, where that is known better than by the time of this note.
        """
        sent = self._waiting.get(number)
        if sent is None:
            return
        self._waiting = {each: when for each, when in self._waiting.items() if when > sent}
        self.probes_answered += 1
        self._measure(now - sent if after is None else min(max(0.0, after), now - sent))
        self._hear(now)
        if self.probes_answered == 1:
            self._turn(UP, "it answers", now)
        elif self.state == DOWN and self.present:
            if sent <= self.since:
                self._turn(UP, "it was slow, not dead", now)
            else:
                self._on_trial(now)

    def counted(self, sent: bool, heard: bool, now: float) -> None:
        """Take note of traffic since the last look: packets sent on the path, packets that came out of it."""
        if heard:
            self._hear(now)
        elif sent:
            if self._silent_since is None:
                self._silent_since = now
            self.hurry(now)

    def judge(self, exit_answers: bool, now: float) -> None:
        """Make up the state from what is known.

        `exit_answers` tells whether the exit has answered a probe by any path.
        """
        if not self.present:
            self._waiting.clear()  # a new device has a new socket, and its probes are numbered from the beginning
            if self.why != GONE:
                self._fall(GONE, now)
        elif not self.answers:
            self._judge_traffic(exit_answers, now)
        elif self.state == DOWN:
            if self.why == GONE:
                self.why = "its device is back, and nothing has come through it yet"
            self._judge_trial(now)
        else:
            self._judge_probes(now)

    def fell_silent(self, now: float) -> bool:
        """Tell, once each time, whether a path that has answered is down and says no more."""
        silent = self.state == DOWN and self.answers and self._silence(now) >= self.settings.silence
        if not silent or self._told_of == self._heard:
            return False
        self._told_of = self._heard
        return True

    def _judge_probes(self, now: float) -> None:
        silence, timeout = self._silence(now), self._timeout()
        late = sum(now - when >= timeout for when in self._waiting.values())
        if late >= _ENOUGH and silence >= self._patience():
            self._fall(f"nothing has come back for {silence:.2f} s", now)
        elif self._waiting and silence >= max(self.settings.silence / 3, timeout):
            if self.state == UP:
                self._turn(SUSPECT, "a probe is unanswered", now)
                self._next_probe = min(self._next_probe, self._last_probe + self.settings.silence / 6)
        elif self.state == SUSPECT:
            self._turn(UP, "it answers", now)

    def _judge_trial(self, now: float) -> None:
        """End a trial in which a path falls silent, and forget probes whose answers would come too late."""
        if self._answering_since is not None and self._silence(now) >= max(_NEVER, self._patience()):
            self._answering_since = None
            self.why = "it answered, and then no more"
        self._waiting = {each: when for each, when in self._waiting.items() if now - when < _TOO_LATE}

    def _judge_traffic(self, exit_answers: bool, now: float) -> None:
        """Judge a path that has never answered a probe."""
        if self._silent_since is not None and now - self._silent_since >= _UNPROBED:
            self._given_up, self._silent_since = now, None
        if not self.session_live:
            self._fall("no handshake", now)
        elif exit_answers and len(self._waiting) >= _ENOUGH and self._silence(now) >= _NEVER:
            self._fall("the exit answers by other paths and not by this one", now)
        elif self._given_up is not None and now < self._given_up + _AGAIN:
            self._fall(f"sent for {_UNPROBED:.0f} s, and nothing came back", now)
        elif len(self._waiting) >= _ENOUGH:
            self._turn(UP, "handshake; not probed, for the exit answers no echo requests", now)
        else:
            self._turn(UP, "handshake", now)

    def _hear(self, now: float) -> None:
        self._heard = now
        self._silent_since = self._given_up = None

    def _silence(self, now: float) -> float:
        """Return for how long a probe has waited and nothing else was heard."""
        if not self._waiting:
            return 0.0
        return now - max(next(iter(self._waiting.values())), self._heard)

    def _patience(self) -> float:
        return max(self.settings.silence, 2 * self._timeout())

    def _timeout(self) -> float:
        """Return after how long an answer is late (RFC 6298, section 2)."""
        return 0.0 if self.rtt is None else self.rtt + 4 * self._variance

    def _measure(self, rtt: float) -> None:
        if self.rtt is None:
            self.rtt, self._variance = rtt, rtt / 2
        else:
            self._variance += (abs(rtt - self.rtt) - self._variance) / 4
            self.rtt += (rtt - self.rtt) / 8

    def _on_trial(self, now: float) -> None:
        length = min(_LONGEST_TRIAL, self.settings.trial * 2**self._relapses)
        if self._answering_since is None:
            self._answering_since = now
        if now - self._answering_since >= length:
            self._recovered = now
            self._turn(UP, "it answers again", now)
        else:
            self.why = f"it answers again, on trial for {length:g} s"

    def _fall(self, why: str, now: float) -> None:
        if self.state != DOWN:
            relapsed = self._recovered is not None and now - self._recovered < _CALM
            self._relapses = min(10, self._relapses + 1) if relapsed else 0
            self._answering_since = None
        self._turn(DOWN, why, now)

    def _turn(self, state: str, why: str, now: float) -> None:
        if state != self.state:
            self.since = now
        self.state, self.why = state, why
