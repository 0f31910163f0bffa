"""Keep the tunnel as it is configured, whoever else changes this host's network.

systemd-networkd takes away rules that it does not know when it starts, `nft flush ruleset` takes everybody's tables,
and hands delete what they did not make. Nothing leaks meanwhile: routes, firewall and the namespace without an uplink
each hold by themselves. What is gone is made again within a second.
"""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Callable

from . import tunnel
from .config import OUTER_NAMESPACE, load
from .errors import WgMigrateError
from .host_events import HostEvents
from .notify import notify
from .spacing import Spacing
from .system import System

_SETTLE = 0.1
"""Seconds after which whoever changes things has done most of it."""
_GLANCE = 5.0
"""Seconds between two looks for what the kernel says nothing of: the name of namespace wgnet."""


class Keeper:
    """Decides when to mend. Times are seconds of the monotonic clock; `mend` tells whether it did anything.

    While none holds for as long as a pause, somebody undoes them: they become more and more seldom.
    """

    def __init__(self, mend: Callable[[], bool]) -> None:
        self._mend = mend
        self._spacing = Spacing()
        self._due: float | None = None

    def changed(self, now: float) -> None:
        """Take note that something of ours has changed."""
        if self._due is None:
            self._due = max(now + _SETTLE, self._spacing.next)

    def wait(self, now: float) -> float:
        """Return for how many seconds there is nothing to do."""
        return _GLANCE if self._due is None else max(0.0, self._due - now)

    def step(self, now: float) -> bool:
        """Mend if it is time for it; return whether it was."""
        if self._due is None or now < self._due:
            return False
        self._due = None
        if self._mend():
            self._spacing.tried(now)
            self._due = self._spacing.next  # for what came meanwhile, and for what could not be mended
        else:
            self._spacing = Spacing()  # it has held
        return True


def run(system: System) -> None:
    """Keep the tunnel until this process is ended. Raises OSError where the kernel's messages cannot be had."""
    events = HostEvents()
    uplinks: list[str] = []
    keeper = Keeper(lambda: _mend(system, uplinks))
    keeper.changed(time.monotonic())  # what was changed before is mended too
    notify("READY=1")
    while True:
        select.select(events.sockets(), [], [], keeper.wait(time.monotonic()))
        if events.concern_us(uplinks) or not system.exists(f"/run/netns/{OUTER_NAMESPACE}"):
            keeper.changed(time.monotonic())
        if keeper.step(time.monotonic()):
            events.concern_us(())  # of the mending itself; if it did anything, it is looked at again


def _mend(system: System, uplinks: list[str]) -> bool:
    """Mend; `uplinks` becomes what the configuration says of them now."""
    try:
        config = load(system)
        uplinks[:] = config.uplinks
        actions = tunnel.up(system, config).actions
    except WgMigrateError as error:
        print(f"wg-migrate: cannot be mended: {error}", file=sys.stderr, flush=True)
        return True
    for action in actions:
        print(f"mended: {action}", flush=True)
    return bool(actions)
