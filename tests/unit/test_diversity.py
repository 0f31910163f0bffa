"""Whether two proxies are in one network: what they share is told, or refused, or left alone."""

from __future__ import annotations

from typing import Any

import pytest
from wg_migrate.inventory import Host, Inventory
from wg_migrate.network import Network, plan_network

APART: list[dict[str, Any]] = [
    {"ansible_host": "192.0.2.11", "network_provider": "one", "network_region": "north", "network_asn": 64496},
    {"ansible_host": "198.51.100.11", "network_provider": "two", "network_region": "south", "network_asn": "AS64497"},
    {"ansible_host": "203.0.113.11", "network_provider": "three", "network_region": "west", "network_asn": "64498"},
]


def plan(*proxies: dict[str, Any], **everywhere: object) -> Network:
    """Plan a network whose proxies have these variables, apart from each other where they do not say otherwise."""
    named = [
        Host(f"proxy{number}", {**apart, **proxy, **everywhere})
        for number, (apart, proxy) in enumerate(zip(APART, proxies, strict=False), 1)
    ]
    client = Host("laptop", {"ansible_host": "192.0.2.100", **everywhere})
    return plan_network(Inventory([client], named, [Host("exit", {"ansible_host": "192.0.2.12", **everywhere})]))


def test_proxies_apart_are_no_warning() -> None:
    assert plan({}, {}, {}).warnings == []


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ({"network_provider": " One"}, "provider one"),
        ({"network_region": "North"}, "region north"),
        ({"network_asn": "as64496"}, "AS 64496"),
        ({"ansible_host": "192.0.2.200"}, "network 192.0.2.0/24"),
        ({"network_address": "192.0.2.200"}, "network 192.0.2.0/24"),
    ],
)
def test_what_two_proxies_share_is_told(second: dict[str, Any], told: str) -> None:
    network = plan({}, second, {})
    assert network.errors == []
    assert [warning.split(":")[0] for warning in network.warnings] == [f"proxy1 and proxy2 share {told}"]
    assert "write network_diversity: ignore" in network.warnings[0]


def test_neighbours_beyond_a_24_are_apart() -> None:
    assert plan({"ansible_host": "192.0.2.255"}, {"ansible_host": "192.0.3.0"}).warnings == []


def test_all_that_a_set_of_proxies_shares_is_one_sentence() -> None:
    shared = {"network_provider": "one", "network_region": "north", "network_asn": 64496}
    told = plan({}, shared, shared).warnings
    assert [warning.split(":")[0] for warning in told] == [
        "proxy1, proxy2 and proxy3 share provider one, region north and AS 64496"
    ]


def test_labels_that_nobody_wrote_are_not_shared() -> None:
    proxies = [Host(f"proxy{number}", {"ansible_host": f"192.0.{number}.11"}) for number in (1, 2)]
    client, leaving = Host("laptop", {"ansible_host": "192.0.2.100"}), Host("exit", {"ansible_host": "192.0.2.12"})
    assert plan_network(Inventory([client], proxies, [leaving])).warnings == []


def test_sharing_is_refused_where_that_is_said() -> None:
    network = plan({}, {"network_provider": "one"}, network_diversity="refuse")
    assert network.hosts == {}
    assert [error.split(":")[0] for error in network.errors] == ["proxy1 and proxy2 share provider one"]
    assert plan({}, {}, network_diversity="refuse").errors == []


def test_sharing_is_passed_over_where_that_is_said() -> None:
    network = plan({}, {"network_provider": "one"}, network_diversity="ignore")
    assert (network.errors, network.warnings) == ([], [])


@pytest.mark.parametrize("value", ["Warn", "no", "", None, False, ["warn"]], ids=repr)
def test_what_is_no_choice_is_refused(value: object) -> None:
    assert any("write warn, refuse or ignore" in error for error in plan({}, {}, network_diversity=value).errors)


def test_hosts_that_disagree_are_refused() -> None:
    network = plan({"network_diversity": "ignore"}, {})
    assert ["the hosts disagree" in error for error in network.errors] == [True]


@pytest.mark.parametrize(
    ("variable", "value", "instead"),
    [
        ("network_asn", "hetzner", "for example 64496"),
        ("network_asn", 0, "for example 64496"),
        ("network_asn", 2**32, "for example 64496"),
        ("network_provider", "", "write a short text"),
        ("network_provider", 7, "write a short text"),
        ("network_region", "a\nb", "write a short text"),
    ],
)
def test_a_label_that_is_none_is_refused(variable: str, value: object, instead: str) -> None:
    assert [instead in error for error in plan({variable: value}, {}).errors] == [True]


def test_a_machine_of_the_cloud_that_the_inventory_does_not_show_is_refused() -> None:
    wanted: dict[str, Any] = {"proxy1": {}, "proxy4": {}, "exit": {}}
    network = plan({}, {}, cloud_hosts=wanted)
    assert ["'proxy4' is one of cloud_hosts" in error for error in network.errors] == [True]
    assert "deploy it with playbooks/provision.yml" in network.errors[0]
    assert plan({}, {}, cloud_hosts={"proxy1": {}, "exit": {}}).errors == []


def test_paths_keep_their_numbers_whatever_order_the_clouds_show() -> None:
    written: dict[str, Any] = {"proxy3": {}, "proxy1": {}, "exit": {}}
    network = plan({}, {}, {}, cloud_hosts=written)
    assert [path["proxy"] for path in network.hosts["laptop"]["paths"]] == ["proxy2", "proxy3", "proxy1"]
