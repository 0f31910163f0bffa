"""An inventory with anything in its variables, and hosts that say anything of themselves: a plan or errors."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest
from hostile import everywhere, fuzz, judge, spoilt, texts, values
from hypothesis import example, given
from hypothesis import strategies as st
from test_network_filter import FILTERS
from wg_migrate import keys
from wg_migrate.config import Config, parse
from wg_migrate.inventory import VARIABLES

_SPEC = importlib.util.spec_from_file_location("network_filter", FILTERS)
assert _SPEC is not None
assert _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)

GROUPS = {"clients": ["client1", "client2"], "proxies": ["proxy1", "proxy2"], "exits": ["exit"]}
NAMES = [name for group in GROUPS.values() for name in group]


def facts(address: str) -> dict[str, Any]:
    device = {"ipv4": {"address": address, "network": "192.0.2.0", "netmask": "255.255.255.0"}, "mtu": 1500}
    return {"interfaces": ["lo", "eth0", "wg0"], "eth0": device, "default_ipv4": {"interface": "eth0"}}


def known_keys(name: str) -> dict[str, Any]:
    peers = [*GROUPS["proxies"], *GROUPS["exits"]] if name.startswith("client") else ["wgnet"]
    return {"public_keys": dict.fromkeys(peers, "KEY"), "preshared_keys": dict.fromkeys(peers, "PSK")}


HOSTVARS: dict[str, dict[str, Any]] = {
    name: {
        "ansible_host": f"192.0.2.{number}",
        "network_listen_port": 51820,
        "network_uplink_mtu": 1500,
        "network_exit": "exit",
        "network_overlay": "10.87.0.0/24",
        "network_inner": "10.88.0.0/24",
        "network_overlay_address": f"10.87.0.{number}",
        "network_inner_address": f"10.88.0.{number}",
        "client_scope": "host",
        "migration_interval": 0.1,
        "migration_schedule": {"packets": [50, 70]},
        "ansible_facts": facts(f"192.0.2.{number}"),
        "__wireguard_keys": known_keys(name),
    }
    for number, name in enumerate(NAMES, 10)
}
anything = st.fixed_dictionaries(
    {name: st.dictionaries(st.sampled_from([*VARIABLES, "__wireguard_keys"]), values, max_size=3) for name in NAMES}
)


@st.composite
def spoilt_hosts(draw: st.DrawFn) -> dict[str, Any]:
    """Return the variables of hosts of which one has something wrong in some of them."""
    name = draw(st.sampled_from(NAMES))
    variables = draw(spoilt(HOSTVARS[name]))
    return {**HOSTVARS, name: variables if isinstance(variables, dict) else {}}


@st.composite
def agreed(draw: st.DrawFn) -> dict[str, Any]:
    """Return the variables of hosts that all have the same wrong value."""
    variable = draw(st.sampled_from([name for name in VARIABLES if name != "ansible_facts"]))
    value = draw(st.one_of(texts, values))
    return {name: {**variables, variable: value} for name, variables in HOSTVARS.items()}


def check_plan(plan: dict[str, Any]) -> None:
    """Check that there are errors or hosts, and that what the clients are told is what their modules accept."""
    assert bool(plan["errors"]) != bool(plan["hosts"])
    for error in plan["errors"]:
        judge(error)
    assert json.loads(json.dumps(plan)) == plan
    for name in GROUPS["clients"] if plan["hosts"] else []:
        check_client(plan["hosts"][name])


def check_client(told: dict[str, Any]) -> None:
    paths = [{key: value for key, value in path.items() if key != "public_key"} for path in told["paths"]]
    end = {key: value for key, value in told["exit"].items() if key != "public_key"}
    found = {"scope": "host", "userspace": False, "uplink_mtu": 1500, "exit": end, "paths": paths}
    addresses = {key: told[key] for key in ("overlay_address", "inner_address", "inner_address6", "key_directory")}
    assert isinstance(parse({**found, **addresses}), Config)
    keys.check(keys.Wanted(told["key_directory"], tuple(told["key_pairs"]), tuple(told["preshared_keys"])))


@pytest.mark.parametrize("name", ["client1", "exit"])
def test_each_thing_that_is_wrong_with_a_host_gives_a_plan_or_errors(name: str) -> None:
    for variables in everywhere(HOSTVARS[name], every=7):
        check_plan(_MODULE.wg_network({**HOSTVARS, name: variables}, GROUPS))


def test_each_network_that_is_wrong_everywhere_gives_a_plan_or_errors() -> None:
    for variable in ("network_overlay", "network_inner"):
        for wrong in everywhere({variable: "10.99.0.0/24"}):
            check_plan(_MODULE.wg_network({name: {**own, **wrong} for name, own in HOSTVARS.items()}, GROUPS))


@given(st.one_of(spoilt_hosts(), agreed(), anything))
@example(HOSTVARS)
@example({**HOSTVARS, "exit": {**HOSTVARS["exit"], "network_listen_port": 10**5000}})
@example({**HOSTVARS, "exit": {**HOSTVARS["exit"], "network_uplink_mtu": "9" * 5000}})
@example({**HOSTVARS, "exit": {**HOSTVARS["exit"], "network_address": 10**5000}})
@fuzz(50)
def test_any_variables_give_a_plan_or_errors(hostvars: dict[str, Any]) -> None:
    check_plan(_MODULE.wg_network(hostvars, GROUPS))


@given(st.dictionaries(st.sampled_from(list(GROUPS)), st.lists(texts, max_size=3, unique=True)))
@example({"clients": ["c" * 101], "proxies": ["p1", "p2"], "exits": ["exit"]})
@example({"clients": ["c"], "proxies": ["p\n", "p2"], "exits": ["exit"]})
@fuzz(40)
def test_any_names_of_hosts_give_a_plan_or_errors(groups: dict[str, list[str]]) -> None:
    names = [name for group in groups.values() for name in group]
    hostvars = {name: {"ansible_host": f"192.0.2.{number}"} for number, name in enumerate(names, 1)}
    plan = _MODULE.wg_network(hostvars, groups)
    assert bool(plan["errors"]) != bool(plan["hosts"])
    for error in plan["errors"]:
        judge(error)
    for name in groups.get("clients", []) if plan["hosts"] else []:
        check_client(plan["hosts"][name])


def test_the_sample_is_a_plan() -> None:
    """Else the fuzz tests would try only what is refused."""
    plan = _MODULE.wg_network(HOSTVARS, GROUPS)
    assert plan["errors"] == []
    assert plan["hosts"]["client1"]["exit"]["public_key"] == "KEY"
