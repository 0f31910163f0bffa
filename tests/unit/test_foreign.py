"""Paths by proxies that are not ours, and paths pinned to an uplink, in the plan of the network."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from test_provider_file import OURS, TEXT, THEIRS
from wg_migrate.inventory import Host, Inventory
from wg_migrate.network import Network, plan_network

ITEM: dict[str, Any] = {"name": "provider", "config_file": "p.conf", "leaves_from": ["203.0.113.5", "203.0.113.64/28"]}
PLACES = ["192.0.2.11", "203.0.113.11"]
DEVICES = {
    "interfaces": ["lo", "eth0", "wlan0", "wgnet1"],
    "eth0": {"mtu": 1500, "ipv4": {"address": "192.0.2.100"}},
    "wlan0": {"mtu": 1480},
    "wgnet1": {"mtu": 1500},
    "default_ipv4": {"interface": "eth0"},
}


def plan(
    *items: Any, text: str | None = TEXT, exit_address: str = "203.0.113.20", proxies: int = 2, **client: Any
) -> Network:
    """Plan a network whose client has these foreign paths, all of the same file."""
    variables = {"ansible_host": "192.0.2.100", "client_foreign_paths": list(items), **client}
    return plan_network(
        Inventory(
            [Host("laptop", variables, {"p.conf": text})],
            [Host(f"proxy{number}", {"ansible_host": each}) for number, each in enumerate(PLACES[:proxies], 1)],
            [Host("exit", {"ansible_host": exit_address})],
        )
    )


def only_error(network: Network) -> str:
    assert len(network.errors) == 1, network.errors
    return network.errors[0]


def test_it_is_the_last_path_and_the_exit_opens_its_door_for_it() -> None:
    network = plan(ITEM)
    assert network.errors == network.warnings == []
    told = network.hosts["laptop"]
    assert told["paths"][2] == {
        "name": "wgnet3",
        "proxy": "provider",
        "address": "198.51.100.40",
        "port": 51820,
        "public_key": THEIRS,
        "own_address": "10.64.0.7",
    }
    assert network.hosts["exit"]["proxies"][2:] == [
        {"name": "provider", "address": "203.0.113.5/32"},
        {"name": "provider", "address": "203.0.113.64/28"},
    ]
    assert network.wire["endpoints"][2:] == ["198.51.100.40:51820"]


def test_its_keys_are_not_born_here_and_not_in_the_plan() -> None:
    network = plan(ITEM)
    told = network.hosts["laptop"]
    assert told["foreign"] == ["provider"]
    assert told["key_pairs"] == told["preshared_keys"] == ["proxy1", "proxy2", "exit"]
    assert OURS not in json.dumps(dataclasses.asdict(network))


def test_over_ipv6_it_is_the_other_address() -> None:
    network = plan({**ITEM, "leaves_from": ["2001:db8:40::5"]}, exit_address="2001:db8::20")
    assert network.hosts["laptop"]["paths"][2]["own_address"] == "fd00:64::7"


def test_a_schedule_may_have_a_weight_for_it() -> None:
    weights: dict[str, Any] = {
        "migration_schedule": {
            "period": 0.1,
            "strategy": "weighted",
            "weights": {"wgnet1": 1, "wgnet2": 1, "wgnet3": 2},
        }
    }
    assert plan(ITEM, **weights).errors == []
    assert "wgnet3" in only_error(plan(**weights))


def test_two_paths_are_not_one() -> None:
    assert [warning for warning in plan(proxies=1).warnings if "only proxy" in warning] != []
    assert plan(ITEM, proxies=1).warnings == []


def test_where_it_is_counts_as_of_any_proxy() -> None:
    near = plan(ITEM, text=TEXT.replace("198.51.100.40", "192.0.2.40"))
    assert near.warnings[0].startswith("proxy1 and provider share network 192.0.2.0/24: who watches there")
    first, second = ({**ITEM, "name": name, "provider": "one", "asn": "AS64496"} for name in ("first", "second"))
    told = plan(first, second).warnings
    assert told[0].startswith("first and second share provider one, AS 64496 and network 198.51.100.0/24")


def test_commands_of_a_provider_are_not_run_and_that_is_told() -> None:
    told = plan(ITEM, text=TEXT.replace("DNS", "PostUp = iptables -F\nDNS")).warnings
    assert told == ["laptop: provider: PostUp of its file are not run: no provider's commands are."]


REFUSED: dict[str, tuple[Any, str]] = {
    "no list": ("p.conf", "client_foreign_paths is 'p.conf': write a list"),
    "no item": (["p.conf"], r"'p.conf' is no path: write {name: provider, config_file: provider.conf"),
    "a key too much": ([{**ITEM, "file": 1}], "is no path: write"),
    "a bad name": ([{**ITEM, "name": "a/b"}], "'a/b' names no path"),
    "a name of a host": ([{**ITEM, "name": "exit"}], "exit is the name of another host or path"),
    "a name twice": ([ITEM, ITEM], "provider is the name of another host or path"),
    "no such file": ([{**ITEM, "config_file": "q.conf"}], "config_file 'q.conf' cannot be read: write where on the"),
    "another name": ([{**ITEM, "config_file": "p.txt"}], "is 'p.txt': write a file whose name ends in .conf"),
    "no name": ([{**ITEM, "config_file": 1}], "is 1: write a file whose name ends in .conf"),
    "no source": ([{"name": "p", "config_file": "p.conf"}], "leaves_from is None, and the exit opens its door"),
    "everybody": ([{**ITEM, "leaves_from": ["0.0.0.0/0"]}], "at most a /16"),
    "a source that is none": (
        [{**ITEM, "leaves_from": ["provider.example"]}],
        "write the addresses that the provider's",
    ),
    "a source of the other family": (
        [{**ITEM, "leaves_from": ["2001:db8::5"]}],
        "provider: leaves_from has no IPv4 address, and the exit's address 203.0.113.20 is IPv4",
    ),
    "a bad uplink": ([{**ITEM, "uplink": 'wlan0"'}], "is no uplink: write the name of a device"),
    "a bad place": ([{**ITEM, "asn": "x"}], "'x' is no AS number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused(case: str) -> None:
    value, message = REFUSED[case]
    error = only_error(plan(client_foreign_paths=value))
    assert error.startswith("laptop: client_foreign_paths")
    assert message in error.replace("\\", "")


FILES = {
    "no address of the family": (TEXT.replace("10.64.0.7/32, ", ""), "the provider gave no IPv4 address (Address)"),
    "an exit left out": (TEXT.replace("0.0.0.0/0", "10.0.0.0/8"), "leave out the exit's address 203.0.113.20: write"),
    "a name": (TEXT.replace("198.51.100.40", "vpn.example.net"), "'p.conf': its Endpoint is 'vpn.example.net:51820'"),
    "a smaller MTU": (
        TEXT.replace("DNS", "MTU = 1380\nDNS"),
        "paths have 1420: write network_uplink_mtu: 1460 for all",
    ),
    "a far smaller MTU": (
        TEXT.replace("DNS", "MTU = 1280\nDNS"),
        "and a path needs 1360: this one cannot be one of ours",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_does_not_fit_the_network_is_refused(case: str) -> None:
    text, message = FILES[case]
    assert message in only_error(plan(ITEM, text=text, ansible_facts=DEVICES))


def test_the_smaller_mtu_is_right_once_all_have_it() -> None:
    text = TEXT.replace("DNS", "MTU = 1380\nDNS")
    assert plan(ITEM, text=text, network_uplink_mtu=1460).errors == []


def test_a_path_is_pinned_to_its_uplink() -> None:
    network = plan({**ITEM, "uplink": "eth0"}, client_uplinks={"proxy2": "wlan0"}, ansible_facts=DEVICES)
    assert network.errors == []
    assert [path.get("uplink") for path in network.hosts["laptop"]["paths"]] == [None, "wlan0", "eth0"]


@pytest.mark.parametrize(
    ("uplinks", "message"),
    [
        ("wlan0", "client_uplinks is 'wlan0': write devices by proxy, as {proxy1: wlan0}"),
        ({"proxy3": "wlan0"}, "names 'proxy3', which is no proxy: write one of proxy1, proxy2; a foreign path has its"),
        ({"proxy1": "wgnet1"}, "proxy1: 'wgnet1' is no uplink: write the name of a device"),
        ({"proxy1": None}, "proxy1: None is no uplink"),
        (
            {"proxy1": "wlan1"},
            "path by proxy1 is pinned to wlan1, and there is no such device: write one of eth0, wlan0,",
        ),
    ],
)
def test_an_uplink_that_cannot_be_is_refused(uplinks: Any, message: str) -> None:
    assert message in only_error(plan(client_uplinks=uplinks, ansible_facts=DEVICES))


def test_a_foreign_path_needs_its_uplink_too() -> None:
    assert "path by provider is pinned to wlan9" in only_error(plan({**ITEM, "uplink": "wlan9"}, ansible_facts=DEVICES))


def test_before_facts_no_device_is_missed() -> None:
    assert plan(client_uplinks={"proxy1": "wlan1"}).errors == []


def test_the_smallest_of_the_uplinks_counts() -> None:
    small = {**DEVICES, "wlan0": {"mtu": 1400}}
    assert "raise the uplink's MTU to 1440" in only_error(plan(client_uplinks={"proxy1": "wlan0"}, ansible_facts=small))
    assert plan(ansible_facts=small).errors == []
