from __future__ import annotations

import json
import time
from typing import Any

import pytest
from client_samples import CONFIG, config
from fake_system import Answer, FakeSystem
from wg_migrate import control
from wg_migrate.config import PATH, dump
from wg_migrate.errors import WgMigrateError
from wg_migrate.report import LOOP_KEYS, report, report_of_loop, report_when_up
from wg_migrate.system import Outcome

NOW = 1_700_000_000.0
NOT_RUNNING = "the migration loop is not running: start it with playbooks/migrate.yml"
OF_PATH = {
    "live": True,
    "health": "up",
    "held": False,
    "why": "it answers",
    "since_seconds": 12.0,
    "rtt": 0.0012,
    "probes_sent": 10,
    "probes_answered": 9,
    "switches": 60,
    "packets_up_session": 5000,
    "share_session": 0.5,
    "share": 0.497,
}
ANSWER = {
    "code": "0123456789abcdef",
    "basis": [],
    "schedule": {
        "period": 0.1,
        "jitter": 0.0,
        "strategy": "round_robin",
        "no_repeat": False,
        "max_share": 1.0,
        "session": 60.0,
    },
    "replayed": False,
    "problem": None,
    "active": "wgnet1",
    "all_down": False,
    "running_seconds": 12.3,
    "switches": 120,
    "switches_missed": 0,
    "switches_failed": 0,
    "nudges": 100,
    "nudges_failed": 0,
    "lateness_mean": 0.0003,
    "lateness_worst": 0.004,
    "repairs": 0,
    "session": {"number": 3, "seconds": 12.3, "weights": [0.5, 0.5]},
    "paths": {"wgnet1": OF_PATH, "wgnet2": {**OF_PATH, "health": "down", "why": "no probe is answered", "rtt": None}},
}


def link(name: str, number: int) -> dict[str, Any]:
    counters = {
        way: {"packets": number + shift, "bytes": number * 1000 + shift} for way, shift in (("tx", 0), ("rx", 1))
    }
    return {"ifname": name, "mtu": 1420, "stats64": counters}


def peer(name: str, key: str, handshake: int) -> str:
    own = f"{name}\tPRIVATE-{name}\tOURS-{name}\t51820\toff"
    return f"{own}\n{name}\t{key}\tPRESHARED-{name}\t192.0.2.9:51820\t0.0.0.0/0\t{handshake}\t7000\t8000\t20\n"


def answers() -> dict[str, Answer]:
    """Return what `ip` and `wg` say on a client with scope host and the kernel's WireGuard."""
    inside = "ip netns exec wgnet"
    paths = peer("wgnet1", "PUBLIC-OF-PROXY1", int(NOW) - 42) + peer("wgnet2", "PUBLIC-OF-PROXY2", 0)
    return {
        "ip -json -statistics link show": json.dumps([link("lo", 1), link("wg0", 100)]),
        f"{inside} ip -json -statistics link show": json.dumps(
            [link("lo", 2), link("wgnet1", 200), link("wgnet2", 300)]
        ),
        "wg show all dump": peer("wg0", "PUBLIC-OF-EXIT", int(NOW) - 10) + peer("mine", "SOMEBODY", int(NOW)),
        f"{inside} wg show all dump": paths,
        f"{inside} ip -json -4 route show default": '[{"type":"unreachable"},{"dst":"default","dev":"wgnet1"}]',
    }


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> FakeSystem:
    """Make a client whose tunnel is up and whose loop runs."""
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.setattr(control, "ask", lambda _request: json.loads(json.dumps(ANSWER)))
    return FakeSystem(answers(), {PATH: dump(CONFIG)})


def stop_loop(monkeypatch: pytest.MonkeyPatch, says: str = NOT_RUNNING) -> None:
    def ask(_request: dict[str, Any]) -> dict[str, Any]:
        raise WgMigrateError(says)

    monkeypatch.setattr(control, "ask", ask)


def test_a_path_is_its_device_its_session_and_what_the_loop_says(host: FakeSystem) -> None:
    assert report(host)["paths"]["wgnet1"] == {
        **OF_PATH,
        "proxy": "proxy1",
        "endpoint": "192.0.2.11:51820",
        "uplink": "",
        "present": True,
        "handshake_age": 42.0,
        "handshake_time": NOW - 42,
        "mtu": 1420,
        "packets_up": 200,
        "packets_down": 201,
        "bytes_up": 200_000,
        "bytes_down": 200_001,
        "public_key": "OURS-wgnet1",
        "peer_public_key": "PUBLIC-OF-PROXY1",
        "wireguard_bytes_received": 7000,
        "wireguard_bytes_sent": 8000,
    }


def test_the_loops_answer_stands_without_its_paths(host: FakeSystem) -> None:
    state = report(host)
    assert state["loop"] == {key: value for key, value in ANSWER.items() if key != "paths"}
    assert state["loop_problem"] is None
    assert (state["up"], state["active"], state["time"]) == (True, "wgnet1", NOW)


def test_a_session_that_has_ended_since_the_loop_looked_is_not_live(host: FakeSystem) -> None:
    assert OF_PATH["live"]
    assert report(host)["paths"]["wgnet2"]["live"] is False


def test_the_inner_device_has_the_same_figures(host: FakeSystem) -> None:
    inner = report(host)["inner"]
    assert (inner["packets_up"], inner["peer_public_key"], inner["handshake_age"]) == (100, "PUBLIC-OF-EXIT", 10.0)


@pytest.mark.parametrize("says", [NOT_RUNNING, "the migration loop gives no answer: timed out"])
def test_without_a_loop_its_keys_are_there_and_null(
    host: FakeSystem, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    stop_loop(monkeypatch, says)
    state = report(host)
    assert (state["loop"], state["loop_problem"]) == (None, says)
    for path in state["paths"].values():
        assert {key: path[key] for key in LOOP_KEYS} == dict.fromkeys(LOOP_KEYS)
    assert [path["live"] for path in state["paths"].values()] == [True, False]


def test_the_keys_without_a_loop_are_those_with_one(host: FakeSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    running = report(host)["paths"]["wgnet1"].keys()
    stop_loop(monkeypatch)
    assert report(host)["paths"]["wgnet1"].keys() == running


def test_a_path_that_the_running_loop_does_not_know_yet_has_nulls(
    host: FakeSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "ask", lambda _request: {**ANSWER, "paths": {"wgnet1": OF_PATH}})
    assert report(host)["paths"]["wgnet2"]["health"] is None


def test_a_handshake_is_never_ahead_of_a_clock_that_was_set_back(host: FakeSystem) -> None:
    host.answers["ip netns exec wgnet wg show all dump"] = peer("wgnet1", "PUBLIC-OF-PROXY1", int(NOW) + 3600)
    assert report(host)["paths"]["wgnet1"]["handshake_age"] == 0.0


def test_without_namespaces_nothing_is_there(host: FakeSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_loop(monkeypatch)
    host.answers = {"ip netns exec wgnet": Outcome(1, "", "No such file"), "ip -json -statistics link show": "[]"}
    state = report(host)
    assert (state["up"], state["active"], state["inner"]) == (False, None, {"present": False, "live": False})
    assert all(path["present"] is False for path in state["paths"].values())


def test_a_device_without_its_peer_has_counters_and_no_session(host: FakeSystem) -> None:
    host.answers["ip netns exec wgnet wg show all dump"] = "wgnet1\tPRIVATE\tOURS\t51820\toff\n"
    path = report(host)["paths"]["wgnet1"]
    assert (path["present"], path["live"], path["handshake_age"], path["packets_up"]) == (True, False, None, 200)


def test_the_inner_device_is_looked_for_where_the_applications_are(host: FakeSystem) -> None:
    host.files[PATH] = dump(config(scope="namespace"))
    for line in ("ip -json -statistics link show", "wg show all dump"):
        host.answers[f"ip netns exec comps {line}"] = host.answers.pop(line)
    assert report(host)["inner"]["handshake_age"] == 10.0
    assert "wg show all dump" not in host.ran


def test_no_secret_is_told(host: FakeSystem) -> None:
    told = json.dumps(report(host))
    assert "PRIVATE" not in told
    assert "PRESHARED" not in told


def test_of_a_host_only_our_own_devices_are_told(host: FakeSystem) -> None:
    assert "SOMEBODY" not in json.dumps(report(host))


class Waiting:
    """A clock that only sleeping moves, and paths that are up from a time on; `sessions` from another."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, host: FakeSystem, up: float, session: float) -> None:
        self.now, self._up, self._session, self._host = 0.0, up, session, host
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self._sleep)
        monkeypatch.setattr(control, "ask", self._ask)
        self._sleep(0.0)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        second = int(NOW) if self.now >= self._session else 0
        self._host.answers["ip netns exec wgnet wg show all dump"] = peer("wgnet1", "ONE", int(NOW)) + peer(
            "wgnet2", "TWO", second
        )

    def _ask(self, _request: object) -> dict[str, Any]:
        health = "up" if self.now >= self._up else "down"
        return {**ANSWER, "paths": {"wgnet1": OF_PATH, "wgnet2": {**OF_PATH, "health": health}}}


@pytest.mark.parametrize(("up", "session", "until"), [(0, 0, 0), (3, 0, 3), (0, 4, 4), (99, 0, 15)])
def test_whoever_waits_does_so_until_all_paths_are_up_and_no_longer(
    host: FakeSystem, monkeypatch: pytest.MonkeyPatch, up: float, session: float, until: float
) -> None:
    clock = Waiting(monkeypatch, host, up, session)
    state = report_when_up(host, 15)
    assert clock.now == pytest.approx(until, abs=0.21)
    assert state["paths"]["wgnet2"]["health"] == ("up" if up <= 15 else "down")
    assert state["paths"]["wgnet2"]["live"]


def test_nobody_waits_for_paths_without_a_loop_nor_for_those_it_does_not_know(
    host: FakeSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Waiting(monkeypatch, host, 0, 99)
    monkeypatch.setattr(control, "ask", lambda _request: {**ANSWER, "paths": {"wgnet1": OF_PATH}})
    assert report_when_up(host, 15)["loop"] is not None
    stop_loop(monkeypatch)
    assert report_when_up(host, 15)["loop"] is None
    assert clock.now == 0


@pytest.mark.usefixtures("host")
def test_who_may_only_ask_the_loop_is_told_what_it_says() -> None:
    state = report_of_loop()
    assert state["paths"] == ANSWER["paths"]
    assert state["loop"] == {key: value for key, value in ANSWER.items() if key != "paths"}
    assert set(state) == {"time", "active", "paths", "loop", "loop_problem"}
    assert state["active"] == "wgnet1"
