"""The plan against a model of a client on which things vanish as they do in the kernel."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from client_samples import CONFIG, KEYS, config
from hypothesis import given
from hypothesis import strategies as st
from wg_migrate.config import Config, Path
from wg_migrate.errors import WgMigrateError
from wg_migrate.tunnel_plan import Action, plan
from wg_migrate.tunnel_want import (
    ANY_PATH,
    HOST,
    LARGEST_PATH,
    Link,
    State,
    needs_loose_check,
    path_mark,
    readable,
    table_body,
    want,
)

THIRD = Path("wgnet3", "proxy3", "192.0.2.13", 51820, "PUBLIC-OF-PROXY3")
PINNED = dataclasses.replace(CONFIG.paths[1], uplink="wlan0")
WAY = {"wgnet2": "via 192.0.2.1 dev wlan0"}
CONFIGS = [
    config(scope=scope, paths=paths, dns_servers=servers, userspace=userspace)
    for scope in ("host", "namespace")
    for paths in (CONFIG.paths, CONFIG.paths[:1], CONFIG.paths[1:], [*CONFIG.paths, THIRD], [CONFIG.paths[0], PINNED])
    for servers in ([], ["10.87.16.1"])
    for userspace in (False, True)
]
MANY_PORTS: dict[str, Any] = {"management_ports": list(range(1, 101))}  # from two networks


def wanted(of: Config, strict: bool = True) -> State:
    return want(of, KEYS, strict and needs_loose_check(of), {name: WAY[name] for name in WAY if PINNED in of.paths})


class Model:
    """A client as `gather` sees it. `active` is the path on which the switching route stands."""

    def __init__(self, state: State, active: str, first_path: str = "wgnet1") -> None:
        self.state = dict(state)
        self.active = active
        self.first_path = first_path

    def carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            if action.value is None:
                self.remove(action.key)
            else:
                self._make(action)

    def _make(self, action: Action) -> None:
        key = action.key
        if key[0] == "device" and action.before is not None:
            before, after = action.before.split(), action.value.split()
            moved_only = before[1] == after[1]
            self._lose_device(key[1], keys_too=not moved_only)
        if key[0] in ("link", "wireguard"):
            assert ("device", key[-1]) in self.state or key[-1] == "lo", f"{key} before its device"
        if key[0] in ("link", "route", "rule", "sysctl", "nft") and key[1] != HOST:
            assert ("namespace", key[1]) in self.state, f"{key} before its namespace"
        if key[0] == "route" and action.value.startswith("dev "):
            assert any(each[0] == "link" and each[2] == action.value[4:] for each in self.state), "a route needs a link"
        if action.value == ANY_PATH:
            self.active = self.first_path
        self.state[key] = action.value

    def remove(self, key: Any) -> None:
        self.state.pop(key, None)
        if key[0] == "device":
            self._lose_device(key[1], keys_too=True)
        if key[0] == "namespace":
            for other in list(self.state):
                if other[0] == "device" and self.state[other].startswith(f"{key[1]} "):
                    self.remove(other)
                elif len(other) > 2 and other[1] == key[1]:
                    self.state.pop(other, None)

    def _lose_device(self, name: str, keys_too: bool) -> None:
        for other, value in list(self.state.items()):
            gone = other[0] == "link" and other[2] == name
            gone = gone or (other[0] == "route" and value == f"dev {name}")
            gone = gone or (other[0] == "route" and value == ANY_PATH and self.active == name)
            if gone or (keys_too and other == ("wireguard", name)):
                self.state.pop(other)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("number", range(len(CONFIGS)))
def test_nothing_is_done_where_all_is_as_wanted(number: int, strict: bool) -> None:
    state = wanted(CONFIGS[number], strict)
    assert plan(state, state) == []


@given(st.sampled_from(CONFIGS))
def test_from_nothing_all_is_made_in_an_order_that_works(target: Config) -> None:
    model = Model({}, "", target.paths[0].name)
    model.carry_out(plan({}, wanted(target)))
    assert model.state == wanted(target)


@given(st.data(), st.sampled_from(CONFIGS), st.sampled_from(CONFIGS))
def test_from_anything_the_wanted_is_reached_and_stays(data: st.DataObject, before: Config, target: Config) -> None:
    """Another configuration stood, and any of its resources may have vanished since."""
    start = wanted(before)
    active = data.draw(st.sampled_from([path.name for path in before.paths]), "active")
    model = Model(start, active, target.paths[0].name)
    for key in data.draw(st.lists(st.sampled_from(list(start)), max_size=6), "vanished"):
        model.remove(key)
    model.carry_out(plan(dict(model.state), wanted(target)))
    left = {key: value for key, value in model.state.items() if key not in wanted(target)}
    # Left inside namespaces of ours, where they do no harm and go with it.
    assert {key for key in left if key[0] != "sysctl"} == set()
    assert {key: model.state.get(key) for key in wanted(target)} == wanted(target)
    assert plan(dict(model.state), wanted(target)) == []


@given(st.sampled_from(CONFIGS))
def test_down_removes_all_that_is_ours(target: Config) -> None:
    model = Model(wanted(target), "wgnet1")
    actions = plan(wanted(target), {})
    assert all(action.value is None for action in actions)
    model.carry_out(actions)
    assert model.state == {}


def test_down_of_nothing_does_nothing() -> None:
    assert plan({}, {}) == []


def test_the_host_is_guarded_before_there_are_tunnels_and_until_they_are_gone() -> None:
    up = [str(action) for action in plan({}, wanted(CONFIG))]
    down = [str(action) for action in plan(wanted(CONFIG), {})]
    rules = [step for step in up if step.startswith("make rule host")]
    assert max(map(up.index, ["make nft host wg_migrate", *rules])) < up.index("make device wgnet1")
    order = ["remove device wg0", "remove rule host -4 5745", "remove nft host wg_migrate"]
    assert sorted(map(down.index, order)) == [*map(down.index, order)]


def test_a_device_that_moves_gets_back_what_it_lost() -> None:
    here, there = wanted(config(scope="namespace")), wanted(config(scope="host"))
    again = {action.key for action in plan(here, there)}
    assert {("wireguard", "wg0"), ("link", HOST, "wg0"), ("route", HOST, "-4", "22343", "0")} <= again


def test_a_device_made_anew_by_another_implementation_gets_its_keys_again() -> None:
    again = {action.key for action in plan(wanted(CONFIG), wanted(config(userspace=True)))}
    for name in ("wgnet1", "wgnet2"):
        assert {("device", name), ("wireguard", name), ("link", "wgnet", name)} <= again


def test_a_path_that_goes_takes_no_route_with_it() -> None:
    keys = [action.key for action in plan(wanted(CONFIG), wanted(config(paths=CONFIG.paths[1:])))]
    assert keys.index(("route", "wgnet", "-4", "main", "0")) < keys.index(("device", "wgnet1"))


def test_one_that_differs_is_all_that_is_changed() -> None:
    have = wanted(CONFIG)
    key = ("link", "wgnet", "wgnet1")
    have[key] = dataclasses.replace(have[key], mtu=1500)
    assert [str(action) for action in plan(have, wanted(CONFIG))] == ["change link wgnet wgnet1"]


@pytest.mark.parametrize("scope", ["host", "namespace"])
def test_a_state_is_readable_as_plain_data(scope: str) -> None:
    plain = readable(wanted(config(scope=scope)))
    assert json.loads(json.dumps(plain)) == plain
    assert plain["link wgnet wgnet1"] == {"mtu": 1420, "addresses": []}


def test_a_path_whose_proxy_is_unknown_is_left_out() -> None:
    unknown = dataclasses.replace(CONFIG.paths[1], public_key=None)
    state = wanted(config(paths=[CONFIG.paths[0], unknown]))
    assert ("device", "wgnet1") in state
    assert not [key for key in state if "wgnet2" in key]


def test_only_ours_is_wanted_in_the_host_in_scope_namespace() -> None:
    state = wanted(config(scope="namespace"))
    assert [key for key in state if HOST in key] == []


@pytest.mark.parametrize("scope", ["host", "namespace"])
def test_each_path_has_a_mark_that_picks_it(scope: str) -> None:
    paths = [Path("wgnet7", "proxy1", "192.0.2.11", 51820, "PEER"), Path("wgnet2", "proxy2", "192.0.2.12", 1, "PEER")]
    unknown = Path("wgnet3", "proxy3", "192.0.2.13", 51820)
    state = wanted(config(scope=scope, paths=[unknown, *paths]))
    assert {key[2:]: words for key, words in state.items() if key[:2] == ("rule", "wgnet")} == {
        ("-4", "5740"): "fwmark 0x5807 lookup 22535",
        ("-4", "5741"): "fwmark 0x5802 lookup 22530",
    }
    assert {key[3]: value for key, value in state.items() if key[:2] == ("route", "wgnet") and key[3] != "main"} == {
        "22535": "dev wgnet7",
        "22530": "dev wgnet2",
    }


def test_a_path_that_goes_takes_its_rule_along() -> None:
    keys = {action.key: action.value for action in plan(wanted(CONFIG), wanted(config(paths=CONFIG.paths[1:])))}
    assert {key: value for key, value in keys.items() if key[0] in ("rule", "device")} == {
        ("device", "wgnet1"): None,
        ("rule", "wgnet", "-4", "5740"): "fwmark 0x5802 lookup 22530",
        ("rule", "wgnet", "-4", "5741"): None,
    }


def test_down_takes_rules_with_their_namespace() -> None:
    rules = [action.key for action in plan(wanted(CONFIG), {}) if action.key[0] == "rule"]
    assert rules != []
    assert {key[1] for key in rules} == {HOST}


def test_a_path_made_anew_gets_its_own_route_again() -> None:
    have = wanted(CONFIG)
    have[("device", "wgnet2")] = "host kernel"
    keys = [action.key for action in plan(have, wanted(CONFIG)) if action.key[0] == "route"]
    assert keys == [("route", "wgnet", "-4", "22530", "0"), ("route", "wgnet", "-4", "main", "0")]


def test_a_mark_is_one_paths_only() -> None:
    assert [path_mark(name) for name in ("wgnet1", "wgnet2", "wgnet10")] == [0x5801, 0x5802, 0x580A]
    assert path_mark(f"wgnet{LARGEST_PATH}") == 0xFFFFFFFF
    for name in ("wgnet01", f"wgnet{LARGEST_PATH + 1}", "wgnet", "eth0"):
        with pytest.raises(WgMigrateError, match=f"{name}: write wgnet and a number up to {LARGEST_PATH} "):
            path_mark(name)


def test_more_rules_than_there_is_room_for_are_refused() -> None:
    paths = [Path(f"wgnet{number}", "proxy1", "192.0.2.11", 51820, "PEER") for number in range(1, 202)]
    assert ("rule", "wgnet", "-4", "5939") in wanted(config(paths=paths[:200]))
    for changes, said in (({"paths": paths}, "201 .* 200: write fewer paths"), (MANY_PORTS, "205 .* 200: .* ports")):
        with pytest.raises(WgMigrateError, match=said):
            wanted(config(**changes))


def over_ipv6() -> Config:
    """Return a client whose exit and first proxy are reached over IPv6, its second proxy over IPv4."""
    paths = [dataclasses.replace(CONFIG.paths[0], address="2001:db8::11"), CONFIG.paths[1]]
    return config(
        overlay_address="fd00:db8:1::5", exit=dataclasses.replace(CONFIG.exit, address="2001:db8::20"), paths=paths
    )


def test_wgnet_has_the_family_of_the_exit_and_no_other() -> None:
    for each, family in ((CONFIG, "-4"), (over_ipv6(), "-6")):
        inside = [key for key in wanted(each) if key[0] in ("route", "rule") and key[1] == "wgnet"]
        assert {key[2] for key in inside} == {family}
        assert ("route", "wgnet", family, "main", "4278198272") in inside
    state = wanted(over_ipv6())
    assert state[("link", "wgnet", "lo")] == Link(None, ("fd00:db8:1::5/128",))
    endpoints = [state[("wireguard", name)].endpoint for name in ("wgnet1", "wgnet2", "wg0")]
    assert endpoints == ["[2001:db8::11]:51820", "192.0.2.12:51821", "[2001:db8::20]:51820"]


@pytest.mark.parametrize("scope", ["host", "namespace"])
def test_applications_have_both_families_where_the_kernel_has(scope: str) -> None:
    for address6, families in (("fd00:db8::5", {"-4", "-6"}), ("", {"-4"})):
        state = wanted(config(scope=scope, inner_address6=address6))
        place = HOST if scope == "host" else "comps"
        assert {key[2] for key in state if key[0] in ("route", "rule") and key[1] == place} == families
        addresses = state[("link", place, "wg0")].addresses
        assert addresses == tuple(["10.87.16.5/32"] + [f"{address6}/128"] * bool(address6))


def test_a_resolver_on_the_lan_is_not_asked_beside_the_tunnel() -> None:
    rules = [
        value
        for key, value in wanted(config(lan_networks=["192.168.1.0/24"], dns_servers=["10.87.16.1"])).items()
        if key[:3] == ("rule", HOST, "-4")
    ]
    questions = [f"ipproto {protocol} dport 53 lookup 22343" for protocol in ("6", "17")]
    assert max(map(rules.index, questions)) < rules.index("to 192.168.1.0/24 lookup main")


@pytest.mark.parametrize("scope", ["host", "namespace"])
def test_a_pinned_path_has_a_mark_a_rule_and_a_table_of_its_own_in_the_host(scope: str) -> None:
    state = wanted(config(scope=scope, paths=[CONFIG.paths[0], PINNED]))
    assert state[("wireguard", "wgnet2")].mark == "0x5802"
    assert state[("wireguard", "wgnet1")].mark == "0x5747"
    rules = [words for key, words in state.items() if key[:3] == ("rule", HOST, "-4")]
    assert "fwmark 0x5802/0xfffeffff lookup 22530" in rules
    assert rules.index("fwmark 0x5802/0xfffeffff lookup 22530") == (0 if scope == "namespace" else len(rules) - 3)
    assert state[("route", HOST, "-4", "22530", "0")] == "via 192.0.2.1 dev wlan0"
    assert state[("route", HOST, "-4", "22530", "4278198272")] == "unreachable"


@pytest.mark.parametrize("scope", ["host", "namespace"])
def test_a_pinned_path_whose_uplink_is_away_has_no_way(scope: str) -> None:
    pinned = config(scope=scope, paths=[CONFIG.paths[0], PINNED])
    state = want(pinned, KEYS, False, {})
    assert {key: value for key, value in state.items() if key[:4] == ("route", HOST, "-4", "22530")} == {
        ("route", HOST, "-4", "22530", "4278198272"): "unreachable"
    }
    gone = [action for action in plan(wanted(pinned), state) if action.key[0] == "route"]
    assert [(str(action)) for action in gone] == ["remove route host -4 22530 0"]


def test_the_firewall_lets_a_pinned_path_to_its_proxy_by_its_own_mark_alone() -> None:
    rules = table_body(HOST, config(paths=[CONFIG.paths[0], PINNED]))
    assert "meta mark 0x5747 ip daddr . udp dport { 192.0.2.11 . 51820 } accept" in rules
    assert "meta mark 0x15802 ip daddr 192.0.2.12 udp dport 51821 accept" in rules
    assert 'meta mark { 0x5802, 0x15802 } oifname != "wlan0" counter drop' in rules


def test_a_foreign_proxy_may_send_what_comes_from_the_exit_and_nothing_else() -> None:
    foreign = dataclasses.replace(THIRD, own_address="10.64.0.7")
    state = wanted(config(paths=[*CONFIG.paths, foreign]))
    assert state[("wireguard", "wgnet3")].allowed == "192.0.2.20/32"
    assert state[("wireguard", "wgnet2")].allowed == "0.0.0.0/0,::/0"
    assert state[("link", "wgnet", "lo")].addresses == ("10.87.0.5/32",)
