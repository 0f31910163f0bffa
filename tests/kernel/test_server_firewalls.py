"""The firewalls of a proxy and an exit as the roles render them, against packets: what passes, and all that must not.

Three namespaces stand in a row: `inside` (the clients), `router` (the host with the table), `outside` (the Internet). A
cable with the tunnel's name stands for the tunnel: the rules cannot tell.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from wg_migrate import nft
from wg_migrate.system import System

pytestmark = pytest.mark.kernel

ROLES = Path(__file__).resolve().parents[2] / "roles"
PREFIX = f"wgm-firewall-{os.getpid()}"
CLIENTS = [{"name": "client", "overlay_address": "10.87.0.2"}]
INSIDE, ROUTER, OUTSIDE = (f"{PREFIX}-{name}" for name in ("inside", "router", "outside"))

ANSWER = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind((sys.argv[1], int(sys.argv[2])))
    print("ready", flush=True)
    server.settimeout(2)
    try:
        _, sender = server.recvfrom(100)
        print(sender[0], flush=True)
        server.sendto(sender[0].encode(), sender)
    except TimeoutError:
        pass
"""
ASK = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.bind((sys.argv[1], 0))
    client.settimeout(0.5)
    client.sendto(b"?", (sys.argv[2], int(sys.argv[3])))
    try:
        client.recv(100)
        print("answered")
    except OSError:
        pass
"""
# The receiver's kernel answers by itself; a raw socket beside it is told of what came.
LISTEN_ICMP = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as listener:
    listener.bind((sys.argv[1], 0))
    print("ready", flush=True)
    while True:
        packet, sender = listener.recvfrom(100)
        if packet[20] == int(sys.argv[2]):
            print(sender[0], flush=True)
            break
"""
ASK_ICMP = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as client:
    client.bind((sys.argv[1], 0))
    client.settimeout(0.5)
    client.sendto(bytes.fromhex(sys.argv[3]), (sys.argv[2], 0))
    try:
        if client.recv(100)[20] == int(sys.argv[4]):
            print("answered")
    except OSError:
        pass
"""


@dataclass(frozen=True)
class Message:
    """A message of ICMP (RFC 792) with its checksum, its type, and the type of the answer to it."""

    packet: str
    kind: int
    answer: int


ECHO = Message("0800a0b1574d0001", 8, 0)
TIMESTAMP = Message("0d009bb1574d0001" + 12 * "00", 13, 14)


def inside(namespace: str, *argv: str) -> list[str]:
    return ["ip", "netns", "exec", namespace, *argv]


def ask(asking: str, source: str, answering: str, destination: str, port: int) -> list[str]:
    """Send a UDP packet. Return the source address that its receiver saw, and "answered" if the answer came back."""
    words = [sys.executable, "-c", ANSWER, destination, str(port)]
    with subprocess.Popen(inside(answering, *words), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        assert server.stdout.readline() == "ready\n"
        answer = System().run(inside(asking, sys.executable, "-c", ASK, source, destination, str(port)))
        server.kill()
        return [*server.stdout.read().split(), *answer.split()]


def ask_icmp(message: Message, asking: str, source: str, answering: str, destination: str) -> list[str]:
    """Send a message of ICMP; return the same as `ask`."""
    words = [sys.executable, "-c", LISTEN_ICMP, destination, str(message.kind)]
    with subprocess.Popen(inside(answering, *words), stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout
        assert listener.stdout.readline() == "ready\n"
        words = [sys.executable, "-c", ASK_ICMP, source, destination, message.packet, str(message.answer)]
        answer = System().run(inside(asking, *words))
        listener.kill()
        return [*listener.stdout.read().split(), *answer.split()]


def comes_back(source: str, destination: str, *asking: str) -> bool:
    """Tell whether a packet from inside for a host behind the tunnel is sent into the tunnel again.

    `asking` is the program that sends the packet and its arguments after the two addresses.
    """
    run = System().run
    run(["ip", "-n", ROUTER, "route", "replace", destination, "via", source])
    # The receiver cannot be another host inside, where there is one only: the packet is counted as it comes in.
    rule = f"ip saddr {source} ip daddr {destination} counter name back"
    chain = f"chain in {{ type filter hook prerouting priority raw; {rule}; }}"
    run(inside(INSIDE, "nft", "--file", "-"), stdin=f"table inet test {{ counter back {{ }}; {chain}; }}")
    program, *arguments = asking
    run(inside(INSIDE, sys.executable, "-c", program, source, destination, *arguments))
    counted = run(inside(INSIDE, "nft", "list", "counter", "inet", "test", "back"))
    run(inside(INSIDE, "nft", "delete", "table", "inet", "test"))
    return "packets 0 " not in counted


def ping(source: str, destination: str) -> bool:
    """Tell whether an echo request from inside is answered by this machine's router."""
    return "answered" in ask_icmp(ECHO, INSIDE, source, ROUTER, destination)


def rules(role: str, **inputs: Any) -> str:
    """Return the body of the table that a role renders from its defaults and these inputs, as Ansible renders it."""
    defaults = yaml.safe_load((ROLES / role / "defaults" / "main.yml").read_text())
    template = (ROLES / role / "templates" / "nftables.j2").read_text()
    templar = Templar(loader=DataLoader(), variables={**defaults, **inputs})
    return str(templar.template(trust_as_template(template)))


def load(body: str) -> None:
    System().run(inside(ROUTER, "nft", "--file", "-"), stdin=nft.render("wg_migrate_test", body))


def build(tunnel: str, inside_addresses: list[str], router_address: str, outside_addresses: list[str]) -> None:
    run = System().run
    for namespace in (INSIDE, ROUTER, OUTSIDE):
        run(["ip", "netns", "add", namespace])
        run(["ip", "-n", namespace, "link", "set", "lo", "up"])
    ends = [(INSIDE, "tunnel", tunnel, inside_addresses), (OUTSIDE, "uplink", "uplink", outside_addresses)]
    for namespace, there, here, addresses in ends:
        peer = ["peer", "name", there, "netns", namespace]
        run(["ip", "-n", ROUTER, "link", "add", here, "type", "veth", *peer])
        run(["ip", "-n", ROUTER, "link", "set", here, "up"])
        run(["ip", "-n", namespace, "link", "set", there, "up"])
        for address in addresses:
            run(["ip", "-n", namespace, "address", "add", address, "dev", there])
    run(["ip", "-n", ROUTER, "address", "add", router_address, "dev", tunnel])
    run(["ip", "-n", ROUTER, "address", "add", "192.0.2.1/24", "dev", "uplink"])
    run(["ip", "-n", ROUTER, "route", "add", "default", "via", "192.0.2.11"])
    run(["ip", "-n", INSIDE, "route", "add", "default", "via", router_address.partition("/")[0]])
    # The outside knows the way to the clients, so that only the rules can keep it out.
    run(["ip", "-n", OUTSIDE, "route", "add", "10.0.0.0/8", "via", "192.0.2.1"])
    run(inside(ROUTER, "sysctl", "--quiet", "--write", "net.ipv4.ip_forward=1"))


@pytest.fixture(autouse=True)
def _no_namespaces_are_left() -> Iterator[None]:
    yield
    for namespace in (INSIDE, ROUTER, OUTSIDE):
        System().attempt(["ip", "netns", "delete", namespace])


@pytest.fixture
def proxy() -> None:
    build("wgnet", ["10.87.0.2/24", "10.87.0.66/24"], "10.87.0.1/24", ["192.0.2.20/24", "192.0.2.11/24"])
    load(rules("proxy", proxy_clients=CLIENTS, proxy_exits=[{"name": "exit", "address": "192.0.2.20", "port": 51820}]))


@pytest.fixture
def exit_inputs() -> dict[str, Any]:
    internet = ["203.0.113.5/32", "192.168.7.7/32", "169.254.169.254/32"]
    neighbours = ["192.0.2.11/24", "192.0.2.99/24", *internet]
    build("wg0", ["10.87.16.2/20", "10.87.16.66/20"], "10.87.16.1/20", neighbours)
    return {
        "exit_node_clients": [{"name": "client", "inner_address": "10.87.16.2"}],
        "exit_node_proxies": [{"name": "proxy", "address": "192.0.2.11"}],
    }


@pytest.fixture
def exit_node(exit_inputs: dict[str, Any]) -> None:
    load(rules("exit_node", **exit_inputs))


@pytest.mark.usefixtures("proxy")
def test_proxy_forwards_clients_to_the_exit_under_its_own_address_and_answers_back() -> None:
    assert ask(INSIDE, "10.87.0.2", OUTSIDE, "192.0.2.20", 51820) == ["192.0.2.1", "answered"]


@pytest.mark.usefixtures("proxy")
@pytest.mark.parametrize(
    ("source", "destination", "port"),
    [
        ("10.87.0.66", "192.0.2.20", 51820),
        ("10.87.0.2", "192.0.2.20", 22),
        ("10.87.0.2", "192.0.2.11", 51820),
    ],
    ids=["not-a-client", "another-port", "another-host"],
)
def test_proxy_forwards_nothing_else(source: str, destination: str, port: int) -> None:
    assert ask(INSIDE, source, OUTSIDE, destination, port) == []


@pytest.mark.usefixtures("proxy")
def test_proxy_forwards_pings_of_clients_to_the_exit_under_its_own_address_and_answers_back() -> None:
    assert ask_icmp(ECHO, INSIDE, "10.87.0.2", OUTSIDE, "192.0.2.20") == ["192.0.2.1", "answered"]


@pytest.mark.usefixtures("proxy")
@pytest.mark.parametrize(
    ("message", "source", "destination"),
    [
        (ECHO, "10.87.0.66", "192.0.2.20"),
        (ECHO, "10.87.0.2", "192.0.2.11"),
        (TIMESTAMP, "10.87.0.2", "192.0.2.20"),
    ],
    ids=["not-a-client", "another-host", "timestamp"],
)
def test_proxy_forwards_nothing_else_of_icmp(message: Message, source: str, destination: str) -> None:
    assert ask_icmp(message, INSIDE, source, OUTSIDE, destination) == []
    # That it would be answered, had it passed:
    load("")
    assert "answered" in ask_icmp(message, INSIDE, source, OUTSIDE, destination)


@pytest.mark.usefixtures("proxy")
def test_proxy_sends_nothing_back_into_the_tunnel() -> None:
    load(rules("proxy", proxy_clients=CLIENTS, proxy_exits=[{"name": "exit", "address": "10.99.9.9", "port": 51820}]))
    assert not comes_back("10.87.0.2", "10.99.9.9", ASK, "51820")
    assert not comes_back("10.87.0.2", "10.99.9.9", ASK_ICMP, ECHO.packet, str(ECHO.answer))


@pytest.mark.usefixtures("proxy")
def test_proxy_lets_nobody_begin_towards_a_client() -> None:
    assert ask(OUTSIDE, "192.0.2.20", INSIDE, "10.87.0.2", 9000) == []
    assert ask_icmp(ECHO, OUTSIDE, "192.0.2.20", INSIDE, "10.87.0.2") == []


@pytest.mark.usefixtures("proxy")
@pytest.mark.parametrize("destination", ["10.87.0.1", "192.0.2.1"])
def test_proxy_itself_is_closed_to_the_tunnel(destination: str) -> None:
    assert ask(INSIDE, "10.87.0.2", ROUTER, destination, 9000) == []
    assert not ping("10.87.0.2", destination)


@pytest.mark.usefixtures("proxy")
def test_proxys_other_traffic_is_not_judged() -> None:
    assert ask(OUTSIDE, "192.0.2.20", ROUTER, "192.0.2.1", 51820) == ["192.0.2.20", "answered"]
    assert ask(ROUTER, "192.0.2.1", OUTSIDE, "192.0.2.11", 9000) == ["192.0.2.1", "answered"]


@pytest.mark.usefixtures("exit_node")
def test_exit_takes_clients_to_the_internet_under_its_own_address() -> None:
    assert ask(INSIDE, "10.87.16.2", OUTSIDE, "203.0.113.5", 443) == ["192.0.2.1", "answered"]


@pytest.mark.usefixtures("exit_node")
@pytest.mark.parametrize(
    ("source", "destination"),
    [("10.87.16.66", "203.0.113.5"), ("10.87.16.2", "192.168.7.7"), ("10.87.16.2", "169.254.169.254")],
    ids=["not-a-client", "private", "metadata"],
)
def test_exit_forwards_nothing_else(source: str, destination: str) -> None:
    assert ask(INSIDE, source, OUTSIDE, destination, 80) == []


def test_exit_makes_exceptions_that_are_asked_for(exit_inputs: dict[str, Any]) -> None:
    load(rules("exit_node", **exit_inputs, exit_node_allowed_networks=["192.168.7.0/24"]))
    assert ask(INSIDE, "10.87.16.2", OUTSIDE, "192.168.7.7", 80) == ["192.0.2.1", "answered"]
    assert ask(INSIDE, "10.87.16.2", OUTSIDE, "169.254.169.254", 80) == []


def test_exit_sends_nothing_back_into_the_tunnel(exit_inputs: dict[str, Any]) -> None:
    load(rules("exit_node", **exit_inputs, exit_node_allowed_networks=["10.99.9.0/24"]))
    assert not comes_back("10.87.16.2", "10.99.9.9", ASK, "80")


@pytest.mark.usefixtures("exit_node")
def test_exit_lets_nobody_begin_towards_a_client() -> None:
    assert ask(OUTSIDE, "192.0.2.99", INSIDE, "10.87.16.2", 9000) == []


@pytest.mark.usefixtures("exit_node")
def test_exits_port_is_open_to_proxies_only() -> None:
    assert ask(OUTSIDE, "192.0.2.11", ROUTER, "192.0.2.1", 51820) == ["192.0.2.11", "answered"]
    assert ask(OUTSIDE, "192.0.2.99", ROUTER, "192.0.2.1", 51820) == []
    assert ask(OUTSIDE, "192.0.2.99", ROUTER, "192.0.2.1", 9000) == ["192.0.2.99", "answered"]


@pytest.mark.usefixtures("exit_node")
def test_exit_answers_pings_that_a_proxy_forwards() -> None:
    assert ask_icmp(ECHO, OUTSIDE, "192.0.2.11", ROUTER, "192.0.2.1") == ["192.0.2.11", "answered"]


@pytest.mark.usefixtures("exit_node")
def test_exit_answers_pings_of_clients_and_is_silent_otherwise() -> None:
    assert ask(INSIDE, "10.87.16.2", ROUTER, "10.87.16.1", 9) == []
    assert ping("10.87.16.2", "10.87.16.1")
    assert not ping("10.87.16.66", "10.87.16.1")
    assert not ping("10.87.16.2", "192.0.2.1")
