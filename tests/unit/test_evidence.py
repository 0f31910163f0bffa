"""What verify.yml takes for a leak on each uplink of a client."""

from __future__ import annotations

import dataclasses

from client_samples import CONFIG, config
from fake_system import FakeSystem
from wg_migrate.evidence import allowed_by_uplink

ANSWERS = {
    "ip -json -4 route show default": '[{"dst":"default","dev":"eth0"}]',
    "ip -json address show dev eth0": '[{"addr_info":[{"local":"192.0.2.10"}]}]',
    "ip -json address show dev wlan0": '[{"addr_info":[{"local":"198.51.100.10"},{"local":"fe80::10"}]}]',
}
PINNED = config(paths=[CONFIG.paths[0], dataclasses.replace(CONFIG.paths[1], uplink="wlan0")])


def test_on_each_uplink_there_are_its_own_paths_alone() -> None:
    allowed = allowed_by_uplink(FakeSystem(dict(ANSWERS), {"/sys/class/net/wlan0/mtu": ""}), PINNED)
    assert {device: each.endpoints for device, each in allowed.items()} == {
        "eth0": {("192.0.2.11", 51820)},
        "wlan0": {("192.0.2.12", 51821)},
    }
    assert allowed["wlan0"].clients == {"198.51.100.10", "fe80::10"}


def test_an_uplink_that_is_away_is_not_watched_and_its_paths_are_leaks_elsewhere() -> None:
    allowed = allowed_by_uplink(FakeSystem(dict(ANSWERS)), PINNED)
    assert {device: each.endpoints for device, each in allowed.items()} == {"eth0": {("192.0.2.11", 51820)}}


def test_a_path_pinned_to_the_default_uplink_is_at_home_there() -> None:
    pinned = config(paths=[CONFIG.paths[0], dataclasses.replace(CONFIG.paths[1], uplink="eth0")])
    system = FakeSystem(dict(ANSWERS), {"/sys/class/net/eth0/mtu": ""})
    assert len(allowed_by_uplink(system, pinned)["eth0"].endpoints) == 2
