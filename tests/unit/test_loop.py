from __future__ import annotations

import errno
import json
import socket
import time
from typing import Any

import pytest
from client_samples import CONFIG, config
from fake_system import FakeSystem
from wg_migrate.errors import WgMigrateError
from wg_migrate.loop import CHECK_WHILE_COLD, CHECK_WHILE_WARM, Loop
from wg_migrate.route_switch import encode


class FakeSwitch:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.broken: dict[bytes, int] = {}

    def send(self, message: bytes) -> None:
        if message in self.broken:
            raise OSError(self.broken[message], "broken")
        self.sent.append(message)


class FakeNudge:
    def __init__(self) -> None:
        self.sent = 0
        self.full = False

    def send(self) -> bool:
        self.sent += 1
        return not self.full


INDICES = {"lo": 1, "wgnet1": 7, "wgnet2": 9, "wgnet3": 11}
MESSAGES = {name: encode(index, CONFIG.overlay_address) for name, index in INDICES.items()}


def dump(**ages: float | None) -> str:
    now = time.time()
    return "".join(
        f"{name}\tPEER\tPRESHARED\t192.0.2.1:1\t0.0.0.0/0\t{0 if age is None else int(now - age)}\t1\t2\t20\n"
        for name, age in ages.items()
    )


class Rig:
    """A loop with nothing real around it: `now` is the time that it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **ages: float | None) -> None:
        self.present = dict(INDICES)
        monkeypatch.setattr(socket, "if_nameindex", lambda: [(index, name) for name, index in self.present.items()])
        self.system = FakeSystem({"wg show all dump": dump(**ages)})
        self.switch, self.nudge = FakeSwitch(), FakeNudge()
        switch: Any = self.switch
        nudge: Any = self.nudge
        self.loop = Loop(CONFIG, 0.1, self.system, switch, nudge)
        self.now = self.loop.deadlines.next
        self.loop.check(self.now)

    def switch_times(self, count: int) -> list[str]:
        """Switch on so many deadlines; return where the loop stood after each."""
        stood = []
        for _ in range(count):
            self.loop.switch(self.now)
            self.now = self.loop.deadlines.next
            stood.append(self.loop.active)
        return stood


def test_each_deadline_moves_to_the_next_path_and_nudges(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, wgnet1=10, wgnet2=10)
    assert rig.switch_times(4) == ["wgnet1", "wgnet2", "wgnet1", "wgnet2"]
    assert rig.switch.sent == [MESSAGES["wgnet1"], MESSAGES["wgnet2"]] * 2
    assert rig.nudge.sent == 4
    assert rig.loop.status()["paths"] == {
        "wgnet1": {"live": True, "switches": 2},
        "wgnet2": {"live": True, "switches": 2},
    }


@pytest.mark.parametrize("age", [None, 180, 100000])
def test_a_path_without_a_live_session_is_left_out(monkeypatch: pytest.MonkeyPatch, age: float | None) -> None:
    rig = Rig(monkeypatch, wgnet1=10, wgnet2=age)
    assert rig.switch_times(3) == ["wgnet1", "wgnet1", "wgnet1"]
    assert rig.switch.sent == [MESSAGES["wgnet1"]]


def test_without_any_live_path_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch)
    assert rig.switch_times(2) == ["", ""]
    assert rig.switch.sent == []
    assert rig.nudge.sent == 0


def test_a_path_whose_proxy_is_unknown_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, wgnet1=10, wgnet2=10, wgnet3=10)
    assert "wgnet3" not in rig.switch_times(6)


def test_sessions_are_looked_at_more_often_while_a_path_is_cold(monkeypatch: pytest.MonkeyPatch) -> None:
    warm, cold = Rig(monkeypatch, wgnet1=10, wgnet2=10), Rig(monkeypatch, wgnet1=10)
    assert warm.loop.next_check == pytest.approx(warm.now + CHECK_WHILE_WARM)
    assert cold.loop.next_check == pytest.approx(cold.now + CHECK_WHILE_COLD)


def test_a_path_that_warms_up_is_taken_in(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, wgnet1=10)
    rig.switch_times(2)
    rig.system.answers["wg show all dump"] = dump(wgnet1=10, wgnet2=1)
    rig.loop.check(rig.now)
    assert rig.switch_times(2) == ["wgnet2", "wgnet1"]


@pytest.mark.parametrize("reason", [errno.ENODEV, errno.ENETDOWN, errno.EINVAL], ids=errno.errorcode.get)
def test_a_device_that_is_gone_is_left_out_at_once(monkeypatch: pytest.MonkeyPatch, reason: int) -> None:
    rig = Rig(monkeypatch, wgnet1=10, wgnet2=10)
    rig.switch_times(1)
    rig.switch.broken[MESSAGES["wgnet2"]] = reason
    nudges, now = rig.nudge.sent, rig.now
    assert rig.switch_times(2) == ["wgnet1", "wgnet1"]
    assert rig.loop.next_check == now
    assert rig.loop.status()["switches_failed"] == 1
    assert rig.nudge.sent == nudges


def test_a_device_that_was_made_anew_is_known_by_its_new_number(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, wgnet1=10, wgnet2=10)
    rig.present["wgnet1"] = 42
    rig.loop.check(rig.now)
    rig.switch_times(1)
    assert rig.switch.sent == [encode(42, CONFIG.overlay_address)]


def test_an_error_of_another_kind_ends_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, wgnet1=10, wgnet2=10)
    rig.switch.broken[MESSAGES["wgnet1"]] = errno.EPERM
    with pytest.raises(OSError, match="broken"):
        rig.switch_times(1)


def test_late_switches_are_measured_and_missed_ones_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, wgnet1=10, wgnet2=10)
    rig.now += 0.35
    rig.switch_times(1)
    status = rig.loop.status()
    assert status["switches"] == 1
    assert status["switches_missed"] == 3
    assert status["lateness_worst"] == pytest.approx(0.35)


def test_a_small_packet_that_did_not_go_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, wgnet1=10, wgnet2=10)
    rig.nudge.full = True
    assert rig.switch_times(2) == ["wgnet1", "wgnet2"]
    assert rig.loop.status()["nudges_failed"] == 2


def test_the_interval_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, wgnet1=10)
    assert rig.loop.handle({"command": "interval", "interval": "2.5"})["interval"] == 2.5
    assert rig.loop.deadlines.next == pytest.approx(time.monotonic() + 2.5, abs=1)


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"command": None},
        {"command": "stop"},
        {"command": ["interval"]},
        {"interval": 5},
        {"command": "interval"},
        {"command": "interval", "interval": 0},
        {"command": "interval", "interval": -1},
        {"command": "interval", "interval": "abc"},
        {"command": "interval", "interval": 1e-9},
        {"command": "interval", "interval": float("nan")},
        {"command": "interval", "interval": {"seconds": 1}},
    ],
    ids=repr,
)
def test_a_refused_request_keeps_the_interval(monkeypatch: pytest.MonkeyPatch, request_: dict[str, Any]) -> None:
    rig = Rig(monkeypatch, wgnet1=10)
    with pytest.raises(WgMigrateError, match=r"send status or interval|write a number of seconds"):
        rig.loop.handle(request_)
    assert rig.loop.deadlines.interval == 0.1


def test_status_is_plain_data(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, wgnet1=10, wgnet2=10)
    rig.switch_times(3)
    status = rig.loop.handle({"command": "status"})
    assert json.loads(json.dumps(status)) == status


def test_only_known_paths_take_part() -> None:
    switch: Any = FakeSwitch()
    nudge: Any = FakeNudge()
    paths = [CONFIG.paths[0]]
    assert list(Loop(config(paths=paths), 1.0, FakeSystem(), switch, nudge).status()["paths"]) == ["wgnet1"]
