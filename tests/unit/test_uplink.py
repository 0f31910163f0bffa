from __future__ import annotations

from typing import Any

import pytest
from fake_system import Answer, FakeSystem
from wg_migrate.errors import WgMigrateError
from wg_migrate.mtu import inner_mtu, outer_mtu, refuse_small_uplink
from wg_migrate.system import Outcome
from wg_migrate.units import plan_disabled, plan_enabled
from wg_migrate.uplink import kernel_has_wireguard, read_uplink_mtu, way_by, way_of

ROUTE = '[{"dst":"default","gateway":"192.0.2.1","dev":"eth0","flags":[]}]'
NO, YES = Outcome(3, "", ""), Outcome(0, "", "")


@pytest.mark.parametrize(
    ("ipv4", "ipv6"), [(ROUTE, "[]"), ("[]", ROUTE), ("", ROUTE)], ids=["IPv4", "IPv6", "IPv6 alone"]
)
def test_the_uplinks_mtu_is_read(ipv4: str, ipv6: str) -> None:
    answers: dict[str, Answer] = {
        "ip -json -4 route": ipv4,
        "ip -json -6 route": ipv6,
        "ip -json link show dev eth0": '[{"ifname":"eth0","mtu":1500}]',
    }
    assert read_uplink_mtu(FakeSystem(answers)) == 1500


def test_without_a_default_route_the_variable_is_named() -> None:
    with pytest.raises(WgMigrateError, match="write network_uplink_mtu"):
        read_uplink_mtu(FakeSystem({"ip -json": "[]"}))


def test_the_smallest_of_all_uplinks_counts_as_far_as_they_are_there() -> None:
    answers: dict[str, Answer] = {
        "ip -json -4 route": ROUTE,
        "ip -json link show dev eth0": '[{"ifname":"eth0","mtu":1500}]',
        "ip -json link show dev wlan0": '[{"ifname":"wlan0","mtu":1480}]',
    }
    system = FakeSystem(answers, {"/sys/class/net/wlan0/mtu": "1480\n"})
    assert read_uplink_mtu(system, ["wlan0", "away0"]) == 1480


ROUTES: list[dict[str, Any]] = [
    {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0", "metric": 100, "flags": []},
    {"dst": "default", "gateway": "198.51.100.2", "dev": "wlan0", "metric": 700, "flags": []},
    {"dst": "default", "gateway": "198.51.100.1", "dev": "wlan0", "metric": 600, "flags": []},
    {"dst": "198.51.100.0/24", "dev": "wlan0", "metric": 600, "flags": []},
    {"dst": "203.0.113.0/25", "dev": "eth0", "flags": []},
    {"type": "unreachable", "dst": "203.0.113.128/25", "dev": "wlan0", "flags": []},
    {"dst": "203.0.113.64/26", "gateway": "198.51.100.9", "dev": "wlan0", "flags": ["linkdown"]},
    {"dst": "192.0.2.128/25", "nexthops": [{"gateway": "192.0.2.3", "dev": "eth0"}, {"dev": "wlan0", "flags": []}]},
    {"dst": "192.0.2.64/26", "via": {"family": "inet6", "host": "fe80::1"}, "dev": "wlan0", "flags": []},
    {"dst": "default", "dev": "ppp0", "flags": []},
    {"dst": "no network"},
]


@pytest.mark.parametrize(
    ("device", "address", "way"),
    [
        ("eth0", "203.0.113.200", "via 192.0.2.1 dev eth0"),
        ("wlan0", "203.0.113.200", "via 198.51.100.1 dev wlan0"),
        ("wlan0", "203.0.113.7", "via 198.51.100.1 dev wlan0"),
        ("wlan0", "203.0.113.70", "via 198.51.100.1 dev wlan0"),
        ("wlan0", "198.51.100.11", "dev wlan0"),
        ("wlan0", "192.0.2.200", "dev wlan0"),
        ("wlan0", "192.0.2.70", "via inet6 fe80::1 dev wlan0"),
        ("ppp0", "203.0.113.7", "dev ppp0"),
        ("wlan1", "203.0.113.7", None),
    ],
)
def test_the_way_by_an_uplink_is_the_one_that_main_would_take_if_there_were_no_other(
    device: str, address: str, way: str | None
) -> None:
    assert way_of(ROUTES, device, address) == way


def test_a_table_without_routes_has_no_way() -> None:
    assert way_by(FakeSystem(), "wlan0", "192.0.2.7") is None
    assert way_by(FakeSystem({"ip -json -6 route show table main": ""}), "wlan0", "2001:db8::7") is None


def test_the_kernel_is_asked_for_a_device_in_a_namespace_of_its_own() -> None:
    assert kernel_has_wireguard(FakeSystem({"unshare --net ip link add": ""}))
    assert not kernel_has_wireguard(FakeSystem({"unshare --net ip link add": Outcome(2, "", "Unknown device type")}))


def test_each_layer_costs_80_bytes() -> None:
    assert (outer_mtu(1500), inner_mtu(1500)) == (1420, 1340)
    refuse_small_uplink(1440)
    with pytest.raises(WgMigrateError, match="raise the uplink's MTU to 1440 or more"):
        refuse_small_uplink(1439)


def unit(active: Outcome, enabled: Outcome) -> FakeSystem:
    return FakeSystem(
        {
            "systemctl --quiet is-active": active,
            "systemctl --quiet is-enabled": enabled,
            "systemctl --quiet is-failed": NO,
        }
    )


def test_only_what_is_missing_is_done_to_a_unit() -> None:
    assert plan_enabled(unit(YES, YES), "x.service") == []
    assert plan_enabled(unit(NO, NO), "x.service") == [
        ["systemctl", "enable", "--quiet", "x.service"],
        ["systemctl", "start", "x.service"],
    ]
    assert plan_disabled(unit(NO, NO), "x.service") == []
    assert plan_disabled(unit(YES, YES), "x.service") == [
        ["systemctl", "stop", "x.service"],
        ["systemctl", "disable", "--quiet", "x.service"],
    ]
