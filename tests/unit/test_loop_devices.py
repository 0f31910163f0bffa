"""Devices that go, come back or refuse, and paths that fall silent."""

from __future__ import annotations

import errno
import itertools
from typing import Any

import pytest
from client_samples import public_key
from loop_rig import Rig

BATCHES = {"packets": [50, 70], "strategy": "uniform", "batches": 32}


@pytest.mark.parametrize("schedule", [{"period": 0.1}, BATCHES], ids=["period", "packets"])
def test_without_any_device_nothing_is_switched_and_the_loop_goes_on(schedule: dict[str, Any]) -> None:
    rig = Rig(schedule)
    rig.world.remove("wgnet1", "wgnet2")
    assert rig.run(5, up=100) == []
    assert rig.status()["all_down"]
    rig.world.make_anew("wgnet1", 21)
    rig.world.make_anew("wgnet2", 23)
    rig.find()
    rig.run(5, up=1000)
    assert not rig.status()["all_down"]
    assert all(path["packets_up_session"] > 0 for path in rig.status()["paths"].values())


@pytest.mark.parametrize("reason", [errno.ENODEV, errno.ENETDOWN, errno.EINVAL], ids=errno.errorcode.get)
def test_a_device_that_refuses_the_route_is_left_out_at_once(reason: int) -> None:
    rig = Rig()
    rig.run(0.1 - rig.now % 0.1)
    rig.switch.broken[rig.message("wgnet2")] = reason
    told = rig.nudge.sent
    while not rig.status()["switches_failed"]:
        rig.loop.step(rig.loop.wake())
    assert rig.active() == "wgnet1"
    assert rig.loop.next_find <= rig.loop.wake()
    assert rig.nudge.sent == told + 1  # the exit is told where the route stands now
    assert rig.status()["switches_failed"] == 1


def test_an_error_of_another_kind_ends_the_loop() -> None:
    rig = Rig()
    for name in rig.names:
        rig.switch.broken[rig.message(name)] = errno.EPERM
    with pytest.raises(OSError, match="broken"):
        rig.run(1)


def test_a_device_that_was_made_anew_is_known_by_its_new_number() -> None:
    rig = Rig()
    rig.world.make_anew("wgnet2", 42)
    rig.find()
    rig.run(0.3)
    assert rig.message("wgnet2") in rig.switch.sent[-3:]


def test_a_device_that_is_gone_is_asked_for_more_and_more_seldom() -> None:
    rig = Rig()
    rig.run(5)
    assert not rig.repairs()
    rig.world.remove("wgnet2")
    asked = []
    for _ in range(300):
        rig.run(0.1)
        if rig.repairs():
            asked.append(round(rig.now, 1))
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert pauses == pytest.approx([1, 2, 4, 8], abs=0.3)
    assert rig.status()["repairs"] == len(asked)


def test_a_lost_wg0_is_asked_for() -> None:
    rig = Rig()
    rig.nudge.gone = True
    rig.run(0.2)
    assert rig.repairs()


def test_the_endpoint_of_wg0_is_set_anew_when_a_device_comes_or_goes() -> None:
    rig = Rig()
    unpin = f"wg set wg0 peer {public_key('EXIT')} endpoint 192.0.2.20:51820"
    assert unpin not in rig.system.ran
    rig.world.remove("wgnet2")
    rig.run(1)
    assert rig.system.ran.count(unpin) == 1
    rig.world.make_anew("wgnet2", 42)
    rig.run(1)
    assert rig.system.ran.count(unpin) == 2


def test_a_path_that_falls_silent_is_made_to_ask_the_routes_once_each_time() -> None:
    rig = Rig(count=2)
    unpin = f"wg set wgnet1 peer {public_key('PROXY1')} endpoint 192.0.2.11:51820"
    for times in (1, 2):
        rig.world.alive["wgnet1"] = False
        rig.run(5)
        assert rig.system.ran.count(unpin) == times
        rig.world.alive["wgnet1"] = True
        rig.run(8)
    # Also one that answers for a moment only, and is down all the time.
    rig.world.alive["wgnet1"] = False
    rig.run(5)
    rig.world.alive["wgnet1"] = True
    rig.run(1)
    rig.world.alive["wgnet1"] = False
    rig.run(5)
    assert rig.system.ran.count(unpin) == 4
    assert not [line for line in rig.system.ran if line.startswith("wg set wgnet2")]
