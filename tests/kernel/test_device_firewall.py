"""What an exit lets devices do that do not migrate: the same table as the clients', for an interface of their own."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.template import trust_as_template
from wg_migrate import nft
from wg_migrate.system import System

from .router import ASK, INSIDE, OUTSIDE, ROUTER, ask, build, comes_back, inside, load, ping, rules

pytestmark = pytest.mark.usefixtures("no_namespaces_are_left")

PHONE, TABLET, STRANGER, OWN = "10.87.32.2", "10.87.32.3", "10.87.32.66", "10.87.32.1"
CLIENT, CLIENTS_OWN = "10.87.16.2", "10.87.16.1"
DEVICES = [{"name": name, "address": address} for name, address in (("phone", PHONE), ("tablet", TABLET))]


def table(**inputs: Any) -> str:
    """Return the body of the devices' table."""
    facts = {"__exit_node_table": trust_as_template("{{ __exit_node_device_table }}"), "exit_node_devices": DEVICES}
    return rules("exit_node", **facts, **inputs)


@pytest.fixture
def exit_node() -> None:
    private = ["192.168.7.7/32", "169.254.169.254/32", "100.64.0.7/32", "10.99.9.9/32"]
    neighbours = ["192.0.2.11/24", "192.0.2.99/24", "203.0.113.5/32", *private, f"{CLIENT}/32"]
    build("wgdev", [f"{address}/20" for address in (PHONE, TABLET, STRANGER)], f"{OWN}/20", neighbours)
    System().run(["ip", "-n", ROUTER, "address", "add", f"{CLIENTS_OWN}/32", "dev", "lo"])
    load(table())


@pytest.mark.usefixtures("exit_node")
def test_devices_reach_the_internet_under_the_exits_address_and_strangers_do_not() -> None:
    for device in (PHONE, TABLET):
        assert ask(INSIDE, device, OUTSIDE, "203.0.113.5", 443) == ["192.0.2.1", "answered"]
    assert ask(INSIDE, STRANGER, OUTSIDE, "203.0.113.5", 443) == []


@pytest.mark.usefixtures("exit_node")
@pytest.mark.parametrize("destination", ["192.168.7.7", "169.254.169.254", "100.64.0.7", "10.99.9.9", CLIENT])
def test_devices_reach_nothing_that_is_not_the_internet_whatever_clients_may_reach(destination: str) -> None:
    load(table(exit_node_allowed_networks=["10.0.0.0/8", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"]))
    assert ask(INSIDE, PHONE, OUTSIDE, destination, 80) == []
    # That it would be answered, were it not forbidden:
    load(table(exit_node_forbidden_networks=[]))
    assert ask(INSIDE, PHONE, OUTSIDE, destination, 80) == ["192.0.2.1", "answered"]


@pytest.mark.usefixtures("exit_node")
def test_devices_do_not_reach_clients_by_the_clients_own_table() -> None:
    load(table(exit_node_forbidden_networks=[]))
    client = [{"name": "client", "inner_address": CLIENT}]
    body = rules("exit_node", exit_node_interface="uplink", exit_node_clients=client, exit_node_forbidden_networks=[])
    System().run(inside(ROUTER, "nft", "--file", "-"), stdin=nft.render("wg_migrate_clients", body))
    assert ask(INSIDE, PHONE, OUTSIDE, CLIENT, 80) == []
    assert ask(OUTSIDE, CLIENT, INSIDE, PHONE, 80) == []


@pytest.mark.usefixtures("exit_node")
def test_devices_do_not_reach_each_other_and_nobody_begins_towards_one() -> None:
    load(table(exit_node_forbidden_networks=[]))
    assert not comes_back(PHONE, "10.99.9.9", ASK, "80")
    assert ask(OUTSIDE, "192.0.2.99", INSIDE, PHONE, 9000) == []


@pytest.mark.usefixtures("exit_node")
def test_the_exit_answers_devices_questions_for_dns_and_pings_and_is_silent_otherwise() -> None:
    assert ask(INSIDE, PHONE, ROUTER, OWN, 53) == [PHONE, "answered"]
    assert ping(PHONE, OWN)
    assert not ping(STRANGER, OWN)
    assert ask(INSIDE, STRANGER, ROUTER, OWN, 53) == []
    for destination, port in ((OWN, 22), ("192.0.2.1", 22), ("192.0.2.1", 53), (CLIENTS_OWN, 53), (OWN, 51821)):
        assert ask(INSIDE, PHONE, ROUTER, destination, port) == []


@pytest.mark.usefixtures("exit_node")
def test_anybody_may_knock_at_the_devices_port_as_they_roam() -> None:
    assert ask(OUTSIDE, "192.0.2.99", ROUTER, "192.0.2.1", 51821) == ["192.0.2.99", "answered"]
