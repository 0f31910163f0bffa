"""What verify.yml takes for a leak on each uplink of a client, and how it looks at the exit."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
from client_samples import CONFIG, config
from fake_system import FakeSystem
from wg_migrate import evidence
from wg_migrate.evidence import SAMPLE, allowed_by_uplink, of_exit
from wg_migrate.system import Outcome

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


class SlowExit(FakeSystem):
    """An exit whose client comes from two proxies by turns of 0.1 s, and where a look takes what makes it keep step."""

    now = 0.0

    def attempt(self, argv: list[str], stdin: str | None = None) -> Outcome:
        if argv[0] != "wg":
            return super().attempt(argv, stdin)
        proxy = 11 + round(self.now / 0.1) % 2
        self.now += 0.2 - SAMPLE
        return Outcome(0, f"KEY\t192.0.2.{proxy}:51820\n", "")

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_looks_in_step_with_the_loop_still_see_both_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    more = {"ip -json link show dev wg0": '[{"mtu":1340}]', "cat /proc/net/snmp": "Ip: FragCreates\nIp: 0\n"}
    exit_ = SlowExit({**ANSWERS, **more})
    monkeypatch.setattr(evidence, "time", SimpleNamespace(monotonic=lambda: exit_.now, sleep=exit_.sleep))
    heard = of_exit(exit_, "wg0", 20)["heard"]["KEY"]
    assert set(heard) == {"192.0.2.11", "192.0.2.12"}
