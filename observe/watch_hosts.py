"""Keeping an eye on all hosts at once: one connection each, kept, and made anew when it is lost."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

from wg_migrate.config import INNER_DEVICE
from wg_migrate.errors import WgMigrateError
from wg_migrate.tunnel_want import MARK

from observe import points
from observe.hosts import Host, Inventory
from observe.session import Session
from observe.ssh import Connection
from observe.watch_state import HostState

AGAIN = 2.0
"""Seconds until a lost host is tried again."""
_STOP_SECONDS = 3.0
_FIGURES = (Path(__file__).parent / "remote" / "figures.py").read_text()
_OF_ROLE = {
    "client": ("", "wg_migrate"),
    "proxy": (points.PROXY_DEVICE, f"wg_migrate_{points.PROXY_DEVICE}"),
    "exit": (INNER_DEVICE, f"wg_migrate_{INNER_DEVICE}"),
}
"""The device whose figures are asked for, and our nft table in the host's namespace."""


class Watcher:
    """Keeps the state of one host, in a thread of its own, until it is stopped."""

    def __init__(self, host: Host, inventory: Inventory) -> None:
        """Begin."""
        self.state = HostState(host.name, host.role)
        self._host = host
        self._plan = inventory.plan[host.name]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"watch {host.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the connection, and what runs over it."""
        self._over.set()

    def join(self) -> None:
        """Wait until it has ended, or as long as is reasonable: the programs on the host end by themselves."""
        self._thread.join(_STOP_SECONDS)

    def _keep(self) -> None:
        while not self._over.is_set():
            try:
                self._watch()
            except WgMigrateError as error:
                self.state.problem = str(error)
            self.state.forget()
            self._over.wait(AGAIN)

    def _watch(self) -> None:
        """Watch for as long as the connection lasts. Raises WgMigrateError with the reason of its end."""
        connection = Connection(self._host)
        try:
            programs, takers = self._programs(connection)
            rests = [b"" for _ in programs]

            def take(number: int, data: bytes) -> None:
                *lines, rests[number] = (rests[number] + data).split(b"\n")
                for line in lines:
                    takers[number](line.decode(errors="replace"))

            session = Session(connection, programs, take)
            while session.running and session.problem is None and not self._over.wait(0.2):
                pass
            session.stop()
            session.join(_STOP_SECONDS)
            if session.problem and not self._over.is_set():
                raise WgMigrateError(session.problem)
        finally:
            connection.close()

    def _programs(self, connection: Connection) -> tuple[list[list[str]], list[Callable[[str], None]]]:
        """Return what runs on the host, and what takes each line that it prints."""
        programs = [["python3", "-c", _FIGURES, "", *_OF_ROLE[self._host.role]]]
        takers: list[Callable[[str], None]] = [self._take_figures]
        if self._host.role != "client":
            return programs, takers
        programs.append(["wg-migrate", "status", "--follow", "--json"])
        takers.append(self._take_report)
        proxies = [path["address"] for path in self._plan["paths"]]
        found = json.loads(connection.run("look", json.dumps({"peers": proxies, "mark": MARK, "client": True})))
        if found["tcpdump"]:
            self.state.leaks = self.state.leaks or 0
            leaks = points.leaks(self._plan, points.look_of(found), found["lan_networks"])
            programs += [points.tcpdump_lines(device, leaks) for device in found["uplinks"]]
            takers += [self._take_leak for _ in found["uplinks"]]
        return programs, takers

    def _take_figures(self, line: str) -> None:
        self.state.take_figures(json.loads(line), time.monotonic())

    def _take_report(self, line: str) -> None:
        self.state.take_report(json.loads(line), time.monotonic())

    def _take_leak(self, line: str) -> None:
        self.state.leaks, self.state.leak = (self.state.leaks or 0) + 1, line
