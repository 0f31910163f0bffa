"""Devices that do not migrate in the plan of the network: what an exit is told of them, and what is refused."""

from __future__ import annotations

import base64
import ipaddress
from typing import Any

import pytest
from wg_migrate.devices import free_address
from wg_migrate.errors import WgMigrateError
from wg_migrate.inventory import Host, Inventory
from wg_migrate.network import Network, plan_network


def key(number: int) -> str:
    return base64.b64encode(bytes([number] * 32)).decode()


def device(name: Any = "phone", address: Any = "10.87.32.2", number: int = 1, **others: Any) -> dict[str, Any]:
    return {"name": name, "address": address, "public_key": key(number), **others}


def plan(
    *devices: Any, second: list[Any] | None = None, everywhere: dict[str, Any] | None = None, **on: Any
) -> Network:
    """Plan a network whose first exit has these devices and variables; SECOND are those of a second exit."""
    common = {"network_diversity": "ignore", **(everywhere or {})}
    exits = [Host("exit1", {"ansible_host": "192.0.2.21", "network_devices": list(devices), **common, **on})]
    if second is not None:
        exits.append(Host("exit2", {"ansible_host": "192.0.2.22", "network_devices": second, **common}))
    clients = [Host("client1", {"ansible_host": "192.0.2.101", "network_exit": "exit1", **common})]
    proxies = [Host("proxy1", {"ansible_host": "192.0.2.11", **common})]
    return plan_network(Inventory(clients, proxies, exits))


def test_an_exit_is_told_its_devices_and_its_resolver_answers_them() -> None:
    network = plan(device(), device("tablet", "10.87.32.9", 2))
    assert network.errors == []
    told = network.hosts["exit1"]
    assert [each["name"] for each in told["devices"]] == ["phone", "tablet"]
    assert told["devices"][1] == {
        "name": "tablet",
        "address": "10.87.32.9",
        "address6": "fd5d:6a0c:87e1:3::9",
        "public_key": key(2),
    }
    assert told["device_addresses"] == ["10.87.32.1/20", "fd5d:6a0c:87e1:3::1/64"]
    assert told["device_endpoint"] == "192.0.2.21:51821"
    assert told["resolver_addresses"][2:] == ["10.87.32.1", "fd5d:6a0c:87e1:3::1"]
    assert told["resolver_clients"][2:] == ["10.87.32.0/20", "fd5d:6a0c:87e1:3::/64"]


def test_nothing_else_changes_by_a_device() -> None:
    with_device, without = plan(device()).hosts, plan().hosts
    assert without["exit1"]["devices"] == []
    # A rotation replaces the keys named here, of which a device would not hear.
    assert with_device["exit1"]["key_pairs"] == ["wg0"]
    assert len(without["exit1"]["resolver_addresses"]) == len(without["exit1"]["resolver_clients"]) == 2
    for name in ("client1", "proxy1"):
        assert with_device[name] == without[name]
    for what in ("clients", "proxies", "addresses", "roles"):
        assert with_device["exit1"][what] == without["exit1"][what]


def test_port_and_address_are_the_operators_to_choose() -> None:
    told = plan(device(address="10.99.0.2"), network_device_port="443", network_address="2001:db8::21")
    assert "must lie in network_device_inner 10.87.32.0/20: write one from 10.87.32.2 to 10.87.47.254" in told.errors[0]
    everywhere = {"network_device_inner": "10.99.0.0/24", "network_device_inner6": "fd00:db8::/64"}
    network = plan(
        device(address="10.99.0.2"), everywhere=everywhere, network_device_port="443", network_address="2001:db8::21"
    )
    assert network.errors == []
    assert network.hosts["exit1"]["device_endpoint"] == "[2001:db8::21]:443"
    assert network.hosts["exit1"]["devices"][0]["address6"] == "fd00:db8::2"


@pytest.mark.parametrize(
    ("devices", "says"),
    [
        (["phone"], "'phone' is no device: write for example {name: phone, address: 10.87.32.2"),
        ([{"name": "phone", "public_key": key(1)}], "is no device: write for example"),
        ([device(private_key="x")], "is no device: write for example"),
        ([device("a b")], "'a b' cannot be a device's name: write at most 100 letters"),
        ([device(7)], "7 cannot be a device's name"),
        ([device("../phone")], "cannot be a device's name"),
        ([device(), device(number=2, address="10.87.32.3")], "'phone': another device or a host has that name"),
        ([device("client1")], "'client1': another device or a host has that name"),
        ([device(), device("tablet", "10.87.32.3")], "'tablet': another device has that public_key"),
        ([{**device(), "public_key": "x"}], "its public_key 'x' is no WireGuard key: write the 44 characters"),
        ([{**device(), "public_key": None}], "its public_key None is no WireGuard key"),
        ([device(), device("tablet", number=2)], "'tablet': another device has the address 10.87.32.2"),
        ([device(address="10.87.32.1")], "its address 10.87.32.1 must lie in network_device_inner"),
        ([device(address="10.87.47.255")], "its address 10.87.47.255 must lie in network_device_inner"),
        ([device(address="fd00::2")], "its address 'fd00::2' is not an IPv4 address: write one from"),
        ([device(address=2)], "its address 2 is not an IPv4 address"),
    ],
)
def test_what_is_no_device_is_refused_with_what_to_write(devices: list[Any], says: str) -> None:
    (error,) = plan(*devices).errors
    assert error.startswith("exit1: network_devices: ")
    assert says in error


def test_a_device_has_one_exit() -> None:
    (error,) = plan(device(), second=[device(address="10.87.32.3", number=2)]).errors
    assert "exit2: network_devices: 'phone': another device or a host has that name" in error
    assert plan(device(), second=[device("tablet", number=2)]).errors == []  # each exit has addresses of its own


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"network_devices": "phone"}, "exit1: network_devices is 'phone': write a list, for example"),
        ({"network_devices": None}, "exit1: network_devices is None: write a list, for example"),
        ({"network_resolver": False}, "exit1 has devices and no resolver, which is the one that they ask"),
        ({"network_device_port": 51820}, "network_device_port 51820 is its network_listen_port, too"),
        ({"network_listen_port": 51821}, "network_device_port 51821 is its network_listen_port, too"),
        ({"network_device_port": 0}, "exit1: network_device_port: 0 is no UDP port"),
    ],
)
def test_what_an_exit_with_devices_cannot_do_without(variables: dict[str, Any], says: str) -> None:
    (error,) = plan(device(), **variables).errors
    assert says in error


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("network_device_inner", "10.87.0.0/16", "network_overlay 10.87.0.0/20 and network_device_inner 10.87.0.0/16"),
        ("network_device_inner", "10.87.16.0/20", "network_inner 10.87.16.0/20 and network_device_inner 10.87.16.0/20"),
        ("network_device_inner", "192.0.2.0/24", "network_device_inner 192.0.2.0/24 collides with exit1's address"),
        ("network_device_inner", "10.87.32.1/20", "write one IPv4 network for all hosts, for example 10.87.32.0/20"),
        ("network_device_inner", "10.87.32.4/31", "network_device_inner 10.87.32.4/31 is too small for a device"),
        ("network_device_inner6", "fd00::/48", "fd00::/48 is not a /64: write one IPv6 network for all hosts"),
        ("network_device_inner6", "fd5d:6a0c:87e1:2::/64", "network_inner6 fd5d:6a0c:87e1:2::/64 and"),
    ],
)
def test_a_network_that_others_use_is_refused(variable: str, value: str, says: str) -> None:
    errors = plan(device(), everywhere={variable: value}).errors
    assert [error for error in errors if says in error], errors


def test_without_devices_their_network_may_be_somebody_elses() -> None:
    assert plan(everywhere={"network_inner": "10.87.32.0/20"}).errors == []


def test_a_new_device_gets_the_first_address_that_is_free() -> None:
    network = ipaddress.IPv4Network("10.87.32.0/29")
    assert free_address(network, set()) == "10.87.32.2"
    assert free_address(network, {"10.87.32.2", "10.87.32.4"}) == "10.87.32.3"
    with pytest.raises(WgMigrateError, match="is full: remove a device that is not used any more"):
        free_address(network, {f"10.87.32.{number}" for number in range(2, 7)})
