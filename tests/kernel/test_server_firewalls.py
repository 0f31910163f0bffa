"""The firewalls of a proxy and an exit as the roles render them, against packets."""

from __future__ import annotations

from typing import Any

import pytest

from .router import (
    ASK,
    ASK_ICMP,
    ECHO,
    INSIDE,
    OUTSIDE,
    ROUTER,
    TIMESTAMP,
    Message,
    ask,
    ask_icmp,
    build,
    comes_back,
    load,
    ping,
    rules,
)

pytestmark = pytest.mark.usefixtures("no_namespaces_are_left")

CLIENTS = [{"name": "client", "overlay_address": "10.87.0.2"}]


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


def test_exits_port_is_open_to_the_networks_of_proxies_that_are_not_ours(exit_inputs: dict[str, Any]) -> None:
    provider = [{"name": "provider", "address": network} for network in ("192.0.2.96/30", "192.0.2.99/32")]
    load(rules("exit_node", **{**exit_inputs, "exit_node_proxies": [*exit_inputs["exit_node_proxies"], *provider]}))
    assert ask(OUTSIDE, "192.0.2.99", ROUTER, "192.0.2.1", 51820) == ["192.0.2.99", "answered"]
    assert ask(OUTSIDE, "192.0.2.11", ROUTER, "192.0.2.1", 51820) == ["192.0.2.11", "answered"]
    assert ask(OUTSIDE, "203.0.113.5", ROUTER, "192.0.2.1", 51820) == []


@pytest.mark.usefixtures("exit_node")
def test_exit_answers_pings_that_a_proxy_forwards() -> None:
    assert ask_icmp(ECHO, OUTSIDE, "192.0.2.11", ROUTER, "192.0.2.1") == ["192.0.2.11", "answered"]


@pytest.mark.usefixtures("exit_node")
def test_exit_answers_pings_of_clients_and_is_silent_otherwise() -> None:
    assert ask(INSIDE, "10.87.16.2", ROUTER, "10.87.16.1", 9) == []
    assert ping("10.87.16.2", "10.87.16.1")
    assert not ping("10.87.16.66", "10.87.16.1")
    assert not ping("10.87.16.2", "192.0.2.1")
