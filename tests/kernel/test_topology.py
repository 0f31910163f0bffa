"""Packets through both tunnels of a small whole network, while the real loop switches."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from wg_migrate import control, tunnel
from wg_migrate.errors import WgMigrateError

from .client import SCOPES
from .topology import WEB, Capture, Topology, built, ping, share

WITHOUT_NUDGE = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from wg_migrate import nudge; from wg_migrate.cli import main\n"
    "nudge.Nudge.send = lambda self: True\nsys.exit(main())"
)
INTERVAL = 0.01
SECONDS = 3.0


@pytest.fixture(scope="module")
def topology() -> Iterator[Topology]:
    with built("namespace") as made:
        yield made


@pytest.fixture(scope="module")
def hosts() -> Iterator[Topology]:
    """Build the same with a client whose whole host goes through the tunnel."""
    with built("host") as made:
        yield made


@pytest.mark.parametrize("scope", SCOPES)
def test_no_ping_is_lost_and_nothing_leaks(scope: str, request: pytest.FixtureRequest) -> None:
    topology: Topology = request.getfixturevalue("hosts" if scope == "host" else "topology")
    with Capture(topology) as capture, topology.loop(INTERVAL) as status:
        before, switched = topology.sent(), status()["switches"]
        assert ping(topology, 800) == 800
        assert status()["switches"] - switched > 50
        assert share(before, topology.sent()) == pytest.approx(0.5, abs=0.1)
    assert capture.leaks() == {}
    assert sum(capture.seen.values()) > 800


@pytest.mark.faults
def test_the_capture_sees_what_leaves_bare(topology: Topology) -> None:
    with Capture(topology) as capture, topology.client.inside(), socket.socket(type=socket.SOCK_DGRAM) as bare:
        bare.sendto(b"leak", ("192.0.2.20", 9))
    assert "udp 192.0.2.20 9" in capture.leaks()


def test_nothing_leaves_the_host_bare(hosts: Topology) -> None:
    with Capture(hosts) as capture, hosts.client.inside(), socket.socket(type=socket.SOCK_DGRAM) as bare:
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        with pytest.raises(PermissionError):
            bare.sendto(b"leak", ("192.0.2.20", 9))
    assert capture.leaks() == {}


@pytest.mark.faults
def test_a_host_without_its_table_leaks(hosts: Topology) -> None:
    hosts.client.run("nft delete table inet wg_migrate")
    with Capture(hosts) as capture, hosts.client.inside(), socket.socket(type=socket.SOCK_DGRAM) as bare:
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        bare.sendto(b"leak", ("192.0.2.20", 9))
    tunnel.up(hosts.system, hosts.config)
    assert "udp 192.0.2.20 9" in capture.leaks()


class Download:
    """A steady stream of datagrams from the exit; the client asks for it, and says no more unless `upstream` is set."""

    def __init__(self, topology: Topology, upstream: bool) -> None:
        self._upstream = upstream
        with topology.exit.inside():
            self._server = socket.socket(type=socket.SOCK_DGRAM)
        with topology.client.inside(topology.config.inner_namespace):
            self._receiver = socket.socket(type=socket.SOCK_DGRAM)
        self._server.bind((WEB, 0))
        self._receiver.bind((topology.config.inner_address, 0))
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._receive)]
        self.received = 0

    def __enter__(self) -> Download:
        self._receiver.settimeout(0.5)
        self._receiver.sendto(b"", self._server.getsockname())
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._server.close()
        self._receiver.close()

    def _send(self) -> None:
        target = self._receiver.getsockname()
        while not self._over.wait(0.001):
            self._server.sendto(bytes(400), target)

    def _receive(self) -> None:
        server = self._server.getsockname()
        while not self._over.is_set():
            try:
                self._receiver.recv(2048)
            except TimeoutError:
                continue
            self.received += 1
            if self._upstream:
                self._receiver.sendto(b"", server)


def downstream_share(topology: Topology, upstream: bool = False) -> tuple[float, float]:
    """Return wgnet1's share of the packets, down and up, of some seconds of download under the loop."""
    with topology.loop(INTERVAL), Download(topology, upstream) as download:
        time.sleep(0.3)
        down, up, received = topology.received(), topology.sent(), download.received
        time.sleep(SECONDS)
        down_share = share(down, topology.received())
        assert download.received - received > 500
        after = topology.sent()
    sent = {path: after[path] - up[path] for path in up}
    return down_share, sent["wgnet1"] / max(1, sum(sent.values()))


def received_enough(topology: Topology, before: dict[str, int]) -> dict[str, int]:
    """Return the counts after a second, or after more where it takes more until they tell a share."""
    deadline = time.monotonic() + 30
    while True:
        time.sleep(1)
        after = topology.received()
        if sum(after.values()) - sum(before.values()) > 500 or time.monotonic() > deadline:
            return after


def test_a_silent_download_splits_evenly(topology: Topology) -> None:
    down, _ = downstream_share(topology)
    assert down == pytest.approx(0.5, abs=0.15)


@pytest.mark.faults
def test_without_the_small_packet_a_silent_download_stays(topology: Topology) -> None:
    """A keepalive of WireGuard's own may move it, now and then."""
    stays = []
    with topology.loop(INTERVAL, WITHOUT_NUDGE), Download(topology, upstream=False):
        for _ in range(5):
            before = topology.received()
            stays.append(abs(share(before, received_enough(topology, before)) - 0.5) > 0.45)
    assert stays.count(True) >= 3


def test_a_busy_download_follows_both_ways(topology: Topology) -> None:
    """Sticky sockets would not; what they do without our chain is shown by test_up_marks, packet by packet."""
    down, up = downstream_share(topology, upstream=True)
    assert down == pytest.approx(0.5, abs=0.15)
    assert up == pytest.approx(0.5, abs=0.15)


def test_interval_is_changed_while_it_runs_and_a_bad_one_is_refused(topology: Topology) -> None:
    path = topology.client.path(control.PATH)
    with topology.loop(3600) as status:
        assert status()["schedule"]["period"] == 3600
        with pytest.raises(WgMigrateError, match="write a number of seconds"):
            control.ask({"command": "interval", "interval": 0}, path)
        assert status()["schedule"]["period"] == 3600
        control.ask({"command": "interval", "interval": 0.001}, path)
        before = status()["switches"]
        time.sleep(1)
        assert status()["switches"] - before > 100


def test_the_loop_survives_a_path_that_vanishes_and_takes_it_back(topology: Topology) -> None:
    with topology.loop(INTERVAL) as status:
        topology.client.run("ip -n wgnet link delete wgnet1")
        assert ping(topology, 200) > 150  # what was under way is lost
        assert status()["active"] == "wgnet2"
        assert not status()["paths"]["wgnet1"]["live"]
        tunnel.up(topology.system, topology.config)
        deadline = time.monotonic() + 20
        while status()["paths"]["wgnet1"]["health"] != "up":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert ping(topology, 200) == 200


def test_a_cold_path_is_not_used(topology: Topology) -> None:
    unknown = dataclasses.replace(topology.config.paths[1], address="192.0.2.99")
    config = dataclasses.replace(topology.config, paths=[topology.config.paths[0], unknown])
    topology.client.run("ip -n wgnet link delete wgnet2")
    tunnel.up(topology.system, config)
    try:
        with topology.loop(INTERVAL, up=1) as status:
            assert ping(topology, 200) == 200
            cold = status()["paths"]["wgnet2"]
            assert (cold["live"], cold["health"], cold["switches"]) == (False, "down", 0)
            assert status()["active"] == "wgnet1"
    finally:
        topology.client.run("ip -n wgnet link delete wgnet2")
        tunnel.up(topology.system, topology.config)
