from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from wg_migrate.inventory import DEFAULT_OVERLAY, DEFAULT_OVERLAY6, Host, Inventory
from wg_migrate.network import Network, assign_addresses, plan_network

OVERLAY = ipaddress.IPv4Network(DEFAULT_OVERLAY)


def hosts(prefix: str, first: int, *variables: dict[str, Any]) -> list[Host]:
    return [
        Host(f"{prefix}{number}", {"ansible_host": f"192.0.2.{first + number}", **each})
        for number, each in enumerate(variables, 1)
    ]


def plan(
    clients: int = 1, proxies: int = 2, exits: int = 1, everywhere: dict[str, Any] | None = None, **first: Any
) -> Network:
    """Plan a network of so many hosts; `first` are variables of the first client, `everywhere` of all hosts."""
    common = everywhere or {}
    return plan_network(
        Inventory(
            hosts("client", 100, *([{**common, **first}] + [common] * (clients - 1))[:clients]),
            hosts("proxy", 10, *[common] * proxies),
            hosts("exit", 20, *[common] * exits),
        )
    )


def only_error(network: Network) -> str:
    assert network.hosts == {}
    assert len(network.errors) == 1, network.errors
    return network.errors[0]


def test_a_good_inventory_has_no_errors() -> None:
    network = plan(everywhere={"network_diversity": "ignore"})  # all are in one /24
    assert network.errors == []
    assert network.warnings == []
    assert sorted(network.hosts) == ["client1", "exit1", "proxy1", "proxy2"]


def test_each_host_is_told_its_peers() -> None:
    told = plan(clients=2, proxies=3).hosts
    client = told["client1"]
    assert [path["name"] for path in client["paths"]] == ["wgnet1", "wgnet2", "wgnet3"]
    assert client["paths"][1] == {"name": "wgnet2", "proxy": "proxy2", "address": "192.0.2.12", "port": 51820}
    assert client["exit"]["inner_address"] == "10.87.16.1"
    assert client["key_pairs"] == client["preshared_keys"] == ["proxy1", "proxy2", "proxy3", "exit1"]
    assert [each["name"] for each in told["proxy2"]["clients"]] == ["client1", "client2"]
    assert told["proxy2"]["clients"][0]["overlay_address"] == client["overlay_address"]
    assert told["proxy2"]["exits"] == [{"name": "exit1", "address": "192.0.2.21", "port": 51820}]
    assert told["exit1"]["addresses"] == ["10.87.16.1/20", "fd5d:6a0c:87e1:2::1/64"]
    assert told["exit1"]["clients"][0] == {
        "name": "client1",
        "inner_address": client["inner_address"],
        "inner_address6": client["inner_address6"],
    }
    assert told["exit1"]["proxies"][0] == {"name": "proxy1", "address": "192.0.2.11"}
    assert told["proxy1"]["preshared_keys"] == told["exit1"]["preshared_keys"] == []


def test_the_plan_is_plain_data() -> None:
    told = plan(clients=2).hosts
    assert json.loads(json.dumps(told)) == told


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("clients", "put at least one host into group 'clients'"),
        ("proxies", "put at least one host into group 'proxies'"),
        ("exits", "put at least one host into group 'exits'"),
    ],
)
def test_an_empty_group_is_refused(group: str, message: str) -> None:
    counts = {"clients": 1, "proxies": 2, "exits": 1, group: 0}
    assert message in only_error(plan(counts["clients"], counts["proxies"], counts["exits"]))


def test_an_empty_inventory_is_told_all_that_it_lacks() -> None:
    assert len(plan(clients=0, proxies=0, exits=0).errors) == 3


def test_two_exits_for_one_client_are_refused() -> None:
    error = only_error(plan(exits=2))
    assert "client1" in error
    assert "write network_exit: exit1" in error


def test_a_client_may_choose_its_exit() -> None:
    network = plan(clients=2, exits=2, everywhere={"network_exit": "exit2"})
    assert network.errors == []
    assert network.hosts["client1"]["exit"]["name"] == "exit2"
    assert network.hosts["exit1"]["clients"] == []
    assert len(network.hosts["exit2"]["clients"]) == 2


def test_an_unknown_exit_is_refused() -> None:
    assert "write one of exit1, exit2" in only_error(plan(exits=2, network_exit="exti"))


def test_two_hosts_with_one_address_are_refused() -> None:
    error = only_error(plan(ansible_host="192.0.2.11"))
    assert "client1 and proxy1 have one address, 192.0.2.11" in error
    assert "ansible_host or network_address" in error


def test_network_address_goes_before_ansible_host() -> None:
    assert plan(ansible_host="192.0.2.11", network_address="192.0.2.99").errors == []


@pytest.mark.parametrize("address", ["client.example.org", "fe80::1", "192.0.2", "192.0.2.256", ""], ids=repr)
def test_a_host_needs_an_address(address: str) -> None:
    error = only_error(plan(ansible_host=address))
    assert "is no address that other hosts can use: write ansible_host" in error


@pytest.mark.parametrize(
    ("overlay", "inner"),
    [("10.1.0.0/16", "10.1.2.0/24"), ("10.1.2.0/24", "10.1.0.0/16"), ("10.1.0.0/24", "10.1.0.0/24")],
)
def test_overlapping_networks_are_refused(overlay: str, inner: str) -> None:
    error = only_error(plan(everywhere={"network_overlay": overlay, "network_inner": inner}))
    assert "overlap: write two that do not, for example 10.87.0.0/20 and 10.87.16.0/20" in error


@pytest.mark.parametrize("variable", ["network_overlay", "network_inner"])
@pytest.mark.parametrize("network", ["10.9.0.0/32", "10.9.0.0/31", "10.9.0.0/30", "10.9.0.0/29"])
def test_a_network_that_is_too_small_is_refused(variable: str, network: str) -> None:
    error = only_error(plan(clients=6, everywhere={variable: network}))
    assert variable in error
    assert "too small" in error
    assert "the inventory has 6. Write a larger one" in error


def test_a_network_that_is_just_large_enough_is_taken() -> None:
    network = plan(clients=5, everywhere={"network_overlay": "10.9.0.0/29"})
    assert network.errors == []
    assert {network.hosts[f"client{number}"]["overlay_address"] for number in range(1, 6)} == {
        f"10.9.0.{last}" for last in range(2, 7)
    }


@pytest.mark.parametrize("text", ["10.87.0.1/20", "10.87.0.0/33", "abc", "fd00::/64", 5], ids=repr)
def test_what_is_no_network_is_refused(text: object) -> None:
    error = only_error(plan(everywhere={"network_overlay": text}))
    assert "network_overlay" in error
    assert "write one IPv4 network for all hosts, for example 10.87.0.0/20" in error


def test_hosts_that_disagree_about_a_network_are_refused() -> None:
    assert "the hosts disagree: 10.87.0.0/20, 10.9.0.0/16" in only_error(plan(network_overlay="10.9.0.0/16"))


def facts(**devices: dict[str, str]) -> dict[str, Any]:
    return {"interfaces": list(devices), **{name: {"ipv4": ipv4} for name, ipv4 in devices.items()}}


def test_a_network_that_collides_with_an_uplink_is_refused() -> None:
    eth0 = {"address": "10.87.3.4", "network": "10.87.0.0", "netmask": "255.255.252.0"}
    error = only_error(plan(ansible_facts=facts(eth0=eth0)))
    assert "network_overlay 10.87.0.0/20 collides with client1's network 10.87.0.0/22 of its eth0" in error
    assert "write a network that nothing else uses" in error


def test_a_device_with_a_dash_in_its_name_collides_too() -> None:
    found = {"interfaces": ["wgm-lab"], "wgm_lab": {"ipv4": {"network": "10.87.16.0", "netmask": "255.255.255.0"}}}
    assert "collides with client1's network 10.87.16.0/24 of its wgm-lab" in only_error(plan(ansible_facts=found))


def test_our_own_devices_do_not_collide() -> None:
    ours = {"network": "10.87.16.0", "netmask": "255.255.240.0"}
    assert plan(ansible_facts=facts(wg0=ours, wgnet=ours, wgnet1=ours)).errors == []


def test_a_host_whose_address_is_in_our_network_is_refused() -> None:
    assert "collides with client1's address 10.87.1.1" in only_error(plan(ansible_host="10.87.1.1"))


@pytest.mark.parametrize("mtu", [1, 1280, 1439, "1439"], ids=repr)
def test_an_uplink_over_which_wg0_would_be_too_small_is_refused(mtu: object) -> None:
    error = only_error(plan(network_uplink_mtu=mtu))
    assert "needs 1280: raise the uplink's MTU to 1440 or more" in error


@pytest.mark.parametrize("mtu", [0, "0", 1440, "1500", 9000], ids=repr)
def test_an_uplink_that_is_large_enough_is_taken(mtu: object) -> None:
    assert plan(network_uplink_mtu=mtu).errors == []


@pytest.mark.parametrize("mtu", ["auto", -1, 1500.5, True, None], ids=repr)
def test_what_is_no_mtu_is_refused(mtu: object) -> None:
    assert "write 0 to read it from the uplink, or bytes" in only_error(plan(network_uplink_mtu=mtu))


@pytest.mark.parametrize("scope", ["Host", "machine", "", None, True, ["host"]], ids=repr)
def test_an_unknown_scope_is_refused(scope: object) -> None:
    error = only_error(plan(client_scope=scope))
    assert "is no client scope: write host (all traffic of the machine) or namespace" in error


@pytest.mark.parametrize("interval", [0, -1, "abc", 1e-9, float("nan")], ids=repr)
def test_what_is_no_interval_is_refused(interval: object) -> None:
    error = only_error(plan(migration_interval=interval))
    assert "migration_interval: interval" in error
    assert "write a number of seconds from 0.001 to 86400" in error


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"strategy": "random"}, "write round_robin, uniform, weighted or dirichlet"),
        ({"strategy": "weighted", "weights": [1, 2, 3]}, "3 weights are given, and there are 2 paths (wgnet1, wgnet2)"),
        ("every second", "is no object"),
    ],
)
def test_a_schedule_that_is_none_is_refused(schedule: object, message: str) -> None:
    error = only_error(plan(migration_schedule=schedule))
    assert "migration_schedule: " in error
    assert message in error


def test_a_schedule_is_accepted() -> None:
    assert plan(migration_schedule={"packets": [50, 70], "strategy": "weighted", "weights": [1, 2]}).errors == []


@pytest.mark.parametrize("port", [0, 65536, -1, "http", 51820.5, None], ids=repr)
def test_what_is_no_port_is_refused(port: object) -> None:
    assert "is no UDP port: write a number from 1 to 65535" in only_error(plan(network_listen_port=port))


def test_one_mistake_on_many_hosts_is_told_once() -> None:
    error = only_error(plan(clients=2, everywhere={"network_listen_port": 0}))
    assert error.startswith("client1, client2, proxy1, proxy2, exit1: ")


def test_a_host_in_two_groups_is_refused() -> None:
    twice = hosts("host", 30, {})
    network = plan_network(Inventory(twice, hosts("proxy", 10, {}), twice))
    assert any("host1 is in more than one of the groups" in error for error in network.errors)


@pytest.mark.parametrize("name", ["a b", "../x", "", "-x", "ä", "a/b", "a;reboot"], ids=repr)
def test_a_name_that_cannot_be_a_file_is_refused(name: str) -> None:
    client = Host(name, {"ansible_host": "192.0.2.1"})
    network = plan_network(Inventory([client], hosts("proxy", 10, {}), hosts("exit", 20, {})))
    assert "cannot be a host's name here" in only_error(network)


def test_all_mistakes_are_told_at_once() -> None:
    network = plan(exits=0, client_scope="x", migration_interval=0, ansible_host="x", network_overlay="x")
    assert len(network.errors) >= 5
    assert all(error.endswith(".") for error in network.errors)


def test_a_single_proxy_is_a_warning() -> None:
    network = plan(proxies=1)
    assert network.errors == []
    assert "dd a second host to group 'proxies'" in network.warnings[0]


def test_a_chosen_address_is_kept() -> None:
    network = plan(clients=2, network_overlay_address="10.87.1.2", network_inner_address="10.87.17.2")
    assert network.hosts["client1"]["overlay_address"] == "10.87.1.2"
    assert network.hosts["client1"]["inner_address"] == "10.87.17.2"


@pytest.mark.parametrize("address", ["10.87.0.0", "10.87.0.1", "10.87.15.255", "10.88.0.2", "x"], ids=repr)
def test_a_chosen_address_that_cannot_be_is_refused(address: str) -> None:
    error = only_error(plan(network_overlay_address=address))
    assert f"client1: network_overlay_address {address!r} is not" in error or "from 10.87.0.2 to 10.87.15.254" in error


def test_one_address_chosen_twice_is_refused() -> None:
    error = only_error(plan(clients=2, everywhere={"network_overlay_address": "10.87.1.2"}))
    assert "client1 and client2 have one network_overlay_address, 10.87.1.2" in error


NAMES = st.lists(st.from_regex(r"[a-z][a-z0-9]{0,6}", fullmatch=True), min_size=1, max_size=30, unique=True)


def assigned(names: list[str], network: ipaddress.IPv4Network = OVERLAY) -> dict[str, str]:
    return assign_addresses(network, [Host(name) for name in names], "network_overlay_address")


@given(NAMES)
def test_addresses_never_collide_and_lie_in_the_network(names: list[str]) -> None:
    small = ipaddress.IPv4Network("10.9.0.0/27")
    assume(len(names) <= small.num_addresses - 3)
    found = [ipaddress.IPv4Address(address) for address in assigned(names, small).values()]
    assert len(set(found)) == len(names)
    assert all(small[2] <= address <= small[-2] for address in found)


@given(NAMES, st.randoms())
def test_the_order_of_the_inventory_changes_no_address(names: list[str], random: Any) -> None:
    shuffled = list(names)
    random.shuffle(shuffled)
    for network in (OVERLAY, ipaddress.IPv4Network("10.9.0.0/26")):
        assert assigned(shuffled, network) == assigned(names, network)


def test_a_fleet_keeps_its_addresses_when_one_leaves() -> None:
    names = [f"client{number}" for number in range(1, 11)]
    everybody = assigned(names)
    assert {assigned([name])[name] for name in names} == set(everybody.values())
    assert assigned(names[1:]) == {name: everybody[name] for name in names[1:]}


@given(NAMES)
def test_adding_or_removing_a_host_moves_no_other(names: list[str]) -> None:
    alone = [assigned([name])[name] for name in names]
    assume(len(set(alone)) == len(alone))  # two names on one address are told apart by their order
    everybody = assigned(names)
    for name in names:
        rest = assigned([other for other in names if other != name])
        assert rest == {other: address for other, address in everybody.items() if other != name}


@given(NAMES, st.integers(2, 4094))
def test_a_derived_address_gives_way_to_a_chosen_one(names: list[str], number: int) -> None:
    chosen = Host("chooser-1", {"network_overlay_address": str(OVERLAY[number])})
    found = assign_addresses(OVERLAY, [*map(Host, names), chosen], "network_overlay_address")
    assert found["chooser-1"] == str(OVERLAY[number])
    assert len(set(found.values())) == len(names) + 1


def test_addresses_of_both_families_have_the_same_number() -> None:
    told = plan(network_inner_address="10.87.17.2", network_overlay_address="10.87.1.3").hosts
    assert told["client1"]["inner_address6"] == "fd5d:6a0c:87e1:2::102"
    assert told["client1"]["overlay_address"] == told["proxy1"]["clients"][0]["overlay_address"] == "10.87.1.3"


def test_an_exit_reached_over_ipv6_makes_the_paths_carry_ipv6() -> None:
    variables = {"ansible_host": "192.0.2.20", "network_address": "2001:DB8:0::20"}
    inventory = Inventory(hosts("client", 100, {}), hosts("proxy", 10, {}, {}), [Host("exit", variables)])
    told = plan_network(inventory).hosts
    assert ipaddress.IPv6Address(told["client1"]["overlay_address"]) in ipaddress.IPv6Network(DEFAULT_OVERLAY6)
    assert told["proxy1"]["clients"][0]["overlay_address"] == told["client1"]["overlay_address"]
    assert told["client1"]["exit"]["address"] == told["proxy1"]["exits"][0]["address"] == "2001:db8::20"
    assert told["client1"]["paths"][0]["address"] == "192.0.2.11"


def test_ipv6_networks_collide_with_each_other_and_with_what_a_host_uses() -> None:
    both = {"network_overlay6": "fd00:1::/64", "network_inner6": "fd00:1::/64"}
    assert "network_inner6 fd00:1::/64 overlap: write two that do not" in only_error(plan(everywhere=both))
    address = {"address": "fd00:1::9", "prefix": "48", "scope": "global"}
    found = {"interfaces": ["eth0", "wg0"], "eth0": {"ipv6": [address]}, "wg0": {"ipv6": [address]}}
    error = only_error(plan(everywhere={"network_inner6": "fd00:1::/64"}, ansible_facts=found))
    assert "network_inner6 fd00:1::/64 collides with client1's network fd00:1::/48 of its eth0" in error
    error = only_error(plan(everywhere={"network_inner6": "fd00:1::/64"}, ansible_host="fd00:1::9"))
    assert "collides with client1's address fd00:1::9" in error


@pytest.mark.parametrize("variable", ["network_inner6", "network_overlay6"])
@pytest.mark.parametrize("network", ["10.0.0.0/20", "fd00::/63", "fd00::1/64", "fe80::/64", "all"])
def test_a_bad_ipv6_network_is_refused(variable: str, network: str) -> None:
    error = only_error(plan(everywhere={variable: network}))
    assert f"{variable}: " in error
    assert "write one IPv6 network for all hosts, for example fd5d:6a0c:87e1:" in error


def test_the_exits_resolver_is_asked_unless_there_is_none() -> None:
    told = plan().hosts
    assert told["client1"]["resolvers"] == told["exit1"]["resolver_addresses"] == ["10.87.16.1", "fd5d:6a0c:87e1:2::1"]
    assert told["exit1"]["roles"] == ["exit_node", "resolver"]
    told = plan(everywhere={"network_resolver": False}).hosts
    assert told["client1"]["resolvers"] == told["exit1"]["resolver_addresses"] == []
    assert told["exit1"]["roles"] == ["exit_node"]
    assert "network_resolver: 'no' is neither true nor false" in only_error(plan(everywhere={"network_resolver": "no"}))


def test_a_client_is_known_on_the_wire_by_all_its_addresses() -> None:
    facts = {"all_ipv4_addresses": ["192.0.2.101", "10.87.16.7"], "all_ipv6_addresses": ["fe80::1"]}
    assert plan(ansible_facts=facts).wire["clients"] == ["192.0.2.101", "10.87.16.7", "fe80::1"]
    assert plan().wire["clients"] == ["192.0.2.101"]
