"""Which tunnels have a live session: `wg` tells when each last shook hands."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from .nft import inside
from .system import System

_NUMBER = re.compile("[0-9]{1,20}")
"""What `wg` prints for a number of 64 bits."""
REJECT_AFTER = 180.0
"""Seconds after which WireGuard refuses the keys of a handshake (Donenfeld, NDSS 2017, table of constants)."""


@dataclass(frozen=True)
class Session:
    """A tunnel's last handshake and its counters: age in seconds (None: never), bytes received and sent.

    `handshake` is when it was, in seconds since 1970 by the clock of then (0: never).
    """

    endpoint: str
    age: float | None
    received: int
    sent: int
    handshake: int = 0

    @property
    def live(self) -> bool:
        """Tell whether packets can be sent now, without waiting for a handshake."""
        return is_live(self.age)


def is_live(age: float | None) -> bool:
    """Tell whether a handshake of this age in seconds (None: there was none) still gives valid keys."""
    return age is not None and age < REJECT_AFTER


def read_sessions(system: System, namespace: str | None = None) -> dict[str, Session]:
    """Return the session of each WireGuard device with a peer, by the device's name, as seen from a namespace."""
    return parse_sessions(system.run([*inside(namespace), "wg", "show", "all", "dump"]), time.time())


def parse_sessions(dump: str, now: float) -> dict[str, Session]:
    """Return the sessions in the output of `wg show all dump`; `now` is in seconds since 1970.

    A line that is none of a peer is left out.
    """
    sessions = {}
    for line in dump.split("\n"):
        name, *fields = line.split("\t")
        if len(fields) == 8 and all(map(_NUMBER.fullmatch, fields[4:7])):
            handshake = int(fields[4])
            age = max(0.0, now - handshake) if handshake else None
            sessions[name] = Session(fields[2], age, int(fields[5]), int(fields[6]), handshake)
    return sessions
