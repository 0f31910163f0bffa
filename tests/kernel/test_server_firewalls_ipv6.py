"""The same firewalls against IPv6: of a proxy, and of an exit that has IPv6 or has none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from wg_migrate.system import System

from .router import ECHO6, INSIDE, OUTSIDE, ROUTER, ask, ask_icmp, build, inside, load, rules

pytestmark = pytest.mark.usefixtures("no_namespaces_are_left")

CLIENT, STRANGER = "fd00:db8::2", "fd00:db8::66"
UPLINK, PROXY, OTHER = "2001:db8::1", "2001:db8::11", "2001:db8::99"


def build6(tunnel: str, outside_addresses: list[str]) -> None:
    """Give the three namespaces IPv6: the clients fd00:db8::/64, the wire outside 2001:db8::/64."""
    run = System().run
    build(tunnel, ["10.87.0.2/24"], "10.87.0.1/24", ["192.0.2.11/24"])
    for namespace, device, addresses in (
        (INSIDE, "tunnel", [f"{CLIENT}/64", f"{STRANGER}/64"]),
        (ROUTER, tunnel, ["fd00:db8::1/64"]),
        (ROUTER, "uplink", [f"{UPLINK}/64"]),
        (OUTSIDE, "uplink", [f"{PROXY}/64", f"{OTHER}/64", *outside_addresses]),
    ):
        for address in addresses:
            run(["ip", "-n", namespace, "address", "add", address, "dev", device, "nodad"])
    # A tunnel has no neighbours to discover, and the rules let nobody ask.
    for asking, device, answering, other, addresses in (
        (INSIDE, "tunnel", ROUTER, tunnel, ["fd00:db8::1"]),
        (ROUTER, tunnel, INSIDE, "tunnel", [CLIENT, STRANGER]),
    ):
        card = json.loads(run(["ip", "-n", answering, "-json", "link", "show", "dev", other]))[0]["address"]
        for address in addresses:
            run(["ip", "-n", asking, "neighbour", "replace", address, "lladdr", card, "dev", device])
    run(["ip", "-n", INSIDE, "route", "add", "default", "via", "fd00:db8::1"])
    run(["ip", "-n", ROUTER, "route", "add", "default", "via", PROXY])
    run(["ip", "-n", OUTSIDE, "route", "add", "fd00:db8::/64", "via", UPLINK])
    run(inside(ROUTER, "sysctl", "--quiet", "--write", "net.ipv6.conf.all.forwarding=1"))


@pytest.fixture
def proxy() -> None:
    build6("wgnet", [])
    clients = [{"name": "client", "overlay_address": CLIENT}]
    load(rules("proxy", proxy_clients=clients, proxy_exits=[{"name": "exit", "address": PROXY, "port": 51820}]))


@pytest.fixture
def exit_inputs() -> dict[str, Any]:
    build6("wg0", ["2001:db8:5::5/128", "fd00:ec2::254/128", "fe80::bad/128"])
    return {
        "exit_node_clients": [{"name": "client", "inner_address": "10.87.16.2", "inner_address6": CLIENT}],
        "exit_node_proxies": [{"name": "proxy", "address": PROXY}],
        "exit_node_addresses": ["10.87.16.1/20", "fd00:db8::1/64"],
        "ansible_facts": {"all_ipv6_addresses": [UPLINK], "default_ipv6": {"interface": "uplink"}},
    }


@pytest.fixture
def exit_node(exit_inputs: dict[str, Any]) -> None:
    load(rules("exit_node", **exit_inputs))


@pytest.mark.usefixtures("proxy")
def test_proxy_forwards_clients_to_the_exit_under_its_own_address_and_nothing_else() -> None:
    assert ask(INSIDE, CLIENT, OUTSIDE, PROXY, 51820) == [UPLINK, "answered"]
    assert ask(INSIDE, STRANGER, OUTSIDE, PROXY, 51820) == []
    assert ask(INSIDE, CLIENT, OUTSIDE, PROXY, 22) == []
    assert ask(INSIDE, CLIENT, OUTSIDE, OTHER, 51820) == []
    assert ask(OUTSIDE, PROXY, INSIDE, CLIENT, 9000) == []
    assert ask(INSIDE, CLIENT, ROUTER, UPLINK, 9000) == []


@pytest.mark.usefixtures("proxy")
def test_proxy_forwards_pings_of_clients_to_the_exit_alone() -> None:
    assert ask_icmp(ECHO6, INSIDE, CLIENT, OUTSIDE, PROXY) == [UPLINK, "answered"]
    assert ask_icmp(ECHO6, INSIDE, CLIENT, OUTSIDE, OTHER) == []
    assert ask_icmp(ECHO6, INSIDE, STRANGER, OUTSIDE, PROXY) == []


@pytest.mark.usefixtures("exit_node")
def test_exit_takes_clients_to_the_internet_under_its_own_address_and_nowhere_else() -> None:
    assert ask(INSIDE, CLIENT, OUTSIDE, "2001:db8:5::5", 443) == [UPLINK, "answered"]
    assert ask(INSIDE, STRANGER, OUTSIDE, "2001:db8:5::5", 443) == []
    assert ask(INSIDE, CLIENT, OUTSIDE, "fd00:ec2::254", 80) == []
    assert ask(OUTSIDE, OTHER, INSIDE, CLIENT, 9000) == []


@pytest.mark.usefixtures("exit_node")
def test_exits_port_is_open_to_proxies_only() -> None:
    assert ask(OUTSIDE, PROXY, ROUTER, UPLINK, 51820) == [PROXY, "answered"]
    assert ask(OUTSIDE, OTHER, ROUTER, UPLINK, 51820) == []
    assert ask(OUTSIDE, OTHER, ROUTER, UPLINK, 9000) == [OTHER, "answered"]


@pytest.mark.usefixtures("exit_node")
def test_exit_answers_clients_questions_for_dns_and_is_silent_otherwise() -> None:
    assert ask(INSIDE, CLIENT, ROUTER, "fd00:db8::1", 53) == [CLIENT, "answered"]
    assert ask(INSIDE, STRANGER, ROUTER, "fd00:db8::1", 53) == []
    assert ask(INSIDE, CLIENT, ROUTER, "fd00:db8::1", 9) == []
    assert ask(INSIDE, CLIENT, ROUTER, UPLINK, 53) == []


def test_exit_without_ipv6_refuses_it_at_once(exit_inputs: dict[str, Any]) -> None:
    facts = {"all_ipv6_addresses": [UPLINK], "default_ipv6": {}}
    load(rules("exit_node", **exit_inputs | {"ansible_facts": facts}))
    System().run(inside(ROUTER, "sysctl", "--quiet", "--write", "net.ipv6.conf.all.forwarding=0"))
    assert ask(INSIDE, CLIENT, OUTSIDE, "2001:db8:5::5", 443) == ["Permission-denied"]
    assert ask(INSIDE, CLIENT, ROUTER, "fd00:db8::1", 53) == [CLIENT, "answered"]
