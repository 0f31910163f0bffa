"""What a hostile network, a hostile exit, or a client's own network managers try: nothing gets out, nobody gets in."""

from __future__ import annotations

import dataclasses
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from wg_migrate import tunnel

from .client import SCOPES
from .machine import connect
from .topology import CLIENT, WEB, Capture, Topology, built, ping, wait_for

GATEWAY = "192.0.2.11"
"""A neighbour that would take packets: what goes to one that is not there ends with a question for its address."""
PUSHED = [
    f"ip route add 0.0.0.0/1 via {GATEWAY} dev eth0",
    f"ip route add 128.0.0.0/1 via {GATEWAY} dev eth0",
    f"ip route add {WEB}/32 via {GATEWAY} dev eth0",
    f"ip route add 10.87.16.0/20 via {GATEWAY} dev eth0",
    f"ip route add default via {GATEWAY} dev eth0 metric 5",
    "ip -6 route add default via fe80::1 dev eth0 proto ra",
    "ip -6 address add 2001:db8::10/64 dev eth0",
]
"""Routes as a DHCP server may push them (option 121: TunnelVision, CVE-2024-3661), and as a router may advertise."""
DEFAULT_ROUTE = "ip route replace default via 192.0.2.1"
NEIGHBOUR, STRANGER = "192.0.2.200", "192.0.2.201"


@pytest.fixture(scope="module")
def hosts() -> Iterator[Topology]:
    with built("host") as made:
        yield made


@pytest.fixture(scope="module")
def applications() -> Iterator[Topology]:
    with built("namespace") as made:
        yield made


@pytest.fixture(params=SCOPES)
def topology(request: pytest.FixtureRequest) -> Topology:
    found: Topology = request.getfixturevalue("hosts" if request.param == "host" else "applications")
    return found


@contextmanager
def undone(topology: Topology, lines: list[str]) -> Iterator[None]:
    """Run commands that add something, and take it away again."""
    for line in lines:
        topology.client.run(line)
    try:
        yield
    finally:
        for line in lines:
            topology.client.run(line.replace(" add ", " delete "))


def speak(topology: Topology, address: str, port: int = 9, family: socket.AddressFamily = socket.AF_INET) -> None:
    """Send a datagram from the host, as any program would; that it is refused is no error here."""
    with topology.client.inside(), socket.socket(family, socket.SOCK_DGRAM) as program:
        try:
            program.sendto(b"", (address, port))
        except OSError as refusal:
            print(f"{address}: {refusal}")


def test_pushed_routes_draw_nothing_out(hosts: Topology) -> None:
    with hosts.loop(0.01), undone(hosts, PUSHED), Capture(hosts) as capture:
        assert ping(hosts, 200) == 200
        for address in (WEB, "203.0.113.7", "10.87.16.1", GATEWAY):
            speak(hosts, address)
        for address in ("2001:db8:1::7", "2001:db8::1"):
            speak(hosts, address, family=socket.AF_INET6)
    assert capture.leaks() == {}
    assert sum(capture.seen.values()) > 200


@pytest.mark.faults
def test_pushed_routes_draw_out_what_table_main_is_asked_for(hosts: Topology) -> None:
    """The fault that the test before is about: with our rules and our table gone, they do."""
    with undone(hosts, PUSHED[:2]), Capture(hosts) as capture:
        hosts.client.run("nft delete table inet wg_migrate")
        hosts.client.run("ip rule delete priority 5744")
        speak(hosts, WEB)
    tunnel.up(hosts.system, hosts.config)
    assert f"udp {WEB} 9" in capture.leaks()


def test_a_new_uplink_is_used_for_nothing_but_the_paths(hosts: Topology) -> None:
    connect(hosts.wire, hosts.client, "second", "192.0.2.70/24", "eth1")
    try:
        hosts.client.run(f"ip route add default via {GATEWAY} dev eth1 metric 1")
        with hosts.loop(0.01), Capture(hosts, "second") as second, Capture(hosts) as first:
            assert ping(hosts, 200) == 200
            speak(hosts, "203.0.113.7")
        assert first.leaks() == second.leaks() == {}
    finally:
        hosts.client.run("ip link delete eth1")


def move(topology: Topology, address: str) -> None:
    """Give the client another address, as its network may."""
    for line in ("ip address flush dev eth0", f"ip address add {address}/24 dev eth0", DEFAULT_ROUTE):
        topology.client.run(line)


def test_another_uplink_address_recovers_by_itself_within_seconds(topology: Topology) -> None:
    """WireGuard in user space alone would take 15 s, until it gives the sessions up."""
    with topology.loop(0.01) as status, Capture(topology) as capture:
        move(topology, "192.0.2.99")
        try:
            assert soon(lambda: ping(topology, 20, 0.5) == 20), "the paths go on from the new address"
        finally:
            move(topology, CLIENT)
        assert soon(lambda: ping(topology, 20, 0.5) == 20), "and from the old one again"
        wait_for(lambda: {path["health"] for path in status()["paths"].values()} == {"up"}, "on both paths")
    assert capture.leaks() == {}


def soon(condition: Callable[[], bool]) -> bool:
    """Tell whether the condition holds within 8 s, about half the time after which WireGuard helps itself."""
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        if condition():
            return True
    return False


def heard(topology: Topology, knock: Callable[[int], None]) -> bool:
    """Tell whether a program of the client that listens everywhere hears somebody who knocks at its port."""
    with (
        topology.client.inside(topology.config.inner_namespace),
        socket.socket() as connections,
        socket.socket(type=socket.SOCK_DGRAM) as datagrams,
    ):
        connections.bind(("", 0))
        connections.listen()
        port = connections.getsockname()[1]
        datagrams.bind(("", port))
        knock(port)
        ready, _, _ = select.select([connections, datagrams], [], [], 0.3)
        return ready != []


def knock_from(topology: Topology, source: str) -> Callable[[int], None]:
    """Return somebody at the exit, with this address, who opens a connection to the client and sends a datagram."""

    def knock(port: int) -> None:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with topology.exit.inside(), socket.socket(type=kind) as stranger:
                stranger.bind((source, 0))
                stranger.settimeout(0.3)
                try:
                    stranger.connect((topology.config.inner_address, port))
                    stranger.send(b"knock")
                except TimeoutError:
                    continue

    return knock


@pytest.mark.parametrize("source", ["10.87.16.1", WEB])
def test_nobody_at_the_other_end_can_open_a_connection(topology: Topology, source: str) -> None:
    assert not heard(topology, knock_from(topology, source))


@pytest.mark.faults
def test_without_the_table_the_exit_could(topology: Topology) -> None:
    namespace = topology.config.inner_namespace
    topology.client.run("nft delete table inet wg_migrate", namespace)
    assert heard(topology, knock_from(topology, WEB))
    tunnel.up(topology.system, topology.config)


def knock_from_the_uplink(topology: Topology) -> Callable[[int], None]:
    """Return a neighbour who tries whether wg0 has the address that he guesses (CVE-2019-14899)."""

    def knock(port: int) -> None:
        neighbour, address = topology.proxies[0], topology.config.inner_address
        neighbour.run(f"ip route add {address}/32 via {CLIENT}")
        try:
            with neighbour.inside(), socket.socket(type=socket.SOCK_DGRAM) as stranger:
                stranger.sendto(b"knock", (address, port))
        finally:
            neighbour.run(f"ip route delete {address}/32")

    return knock


def test_packets_for_wg0_that_come_by_the_uplink_are_dropped(hosts: Topology) -> None:
    assert not heard(hosts, knock_from_the_uplink(hosts))


@pytest.mark.faults
def test_without_that_chain_the_uplink_could(hosts: Topology) -> None:
    hosts.client.run("nft flush chain inet wg_migrate from_uplink")
    assert heard(hosts, knock_from_the_uplink(hosts))
    tunnel.up(hosts.system, hosts.config)


def test_only_the_listed_neighbours_are_reached_beside_the_tunnel(hosts: Topology) -> None:
    for address in (NEIGHBOUR, STRANGER):
        hosts.proxies[1].run(f"ip address add {address}/24 dev eth0")
    tunnel.up(hosts.system, dataclasses.replace(hosts.config, lan_networks=[f"{NEIGHBOUR}/32"]))
    with Capture(hosts) as capture:
        speak(hosts, NEIGHBOUR)
        speak(hosts, STRANGER)
    tunnel.up(hosts.system, hosts.config)
    with Capture(hosts) as afterwards:
        speak(hosts, NEIGHBOUR)
    assert capture.leaks() == {f"udp {NEIGHBOUR} 9": 1}
    assert afterwards.leaks() == {}


def test_a_lease_is_renewed_from_the_server_itself(hosts: Topology) -> None:
    with Capture(hosts) as capture, hosts.client.inside(), socket.socket(type=socket.SOCK_DGRAM) as dhcp:
        dhcp.bind(("", 68))
        dhcp.sendto(b"renew", (GATEWAY, 67))
        time.sleep(0.1)
    assert capture.leaks() == {f"udp {GATEWAY} 67": 1}


def test_what_the_host_forwards_ends_in_the_guard_while_there_is_no_tunnel(hosts: Topology) -> None:
    """Without keys no tunnel comes up, and a container's packets go nowhere: rules stand with the firewall."""
    hosts.client.run("ip link delete wg0")
    connect(hosts.wire, hosts.client, "container", "172.30.0.1/24", "guest")
    hosts.client.run("sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.conf.guest.rp_filter=0 net.ipv4.conf.all.rp_filter=0")
    try:
        with pytest.raises(AssertionError, match="No route to host"):
            hosts.client.run("ip route get 203.0.113.7 from 172.30.0.2 iif guest")
    finally:
        hosts.client.run("ip link delete guest")
        tunnel.up(hosts.system, hosts.config)
