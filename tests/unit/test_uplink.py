from __future__ import annotations

import pytest
from fake_system import Answer, FakeSystem
from wg_migrate.errors import WgMigrateError
from wg_migrate.mtu import inner_mtu, outer_mtu, refuse_small_uplink
from wg_migrate.system import Outcome
from wg_migrate.units import plan_disabled, plan_enabled
from wg_migrate.uplink import kernel_has_wireguard, read_uplink_mtu

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
