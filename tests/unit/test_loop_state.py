from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from client_samples import CONFIG, public_key
from fake_system import FakeSystem
from wg_migrate import config, control, loop_state, schedule_file
from wg_migrate.errors import WgMigrateError
from wg_migrate.installed_code import DIRECTORY, fingerprint
from wg_migrate.loop_state import DISABLE, ENABLE, REMOVE, START, STOP, TELL, WRITE, LoopState, Wanted, plan, wanted
from wg_migrate.schedule import Schedule, parse, plain
from wg_migrate.system import Outcome

TENTH, FIVE = Schedule(period=0.1), Schedule(period=5.0)
DOCUMENT = {
    "packets_mean": 20,
    "batches": 64,
    "strategy": "weighted",
    "weights": {"wgnet1": 2, "wgnet2": "1"},
    "max_share": "0.7",
    "session": 0,
    "seed": 7,
    "health": {"silence": 1},
}
RUNNING = LoopState(True, True, TENTH, TENTH)
STOPPED = LoopState(False, False, None, None)


@pytest.mark.parametrize(
    ("have", "want", "steps"),
    [
        (STOPPED, Wanted("started", TENTH), [WRITE, ENABLE, START]),
        (RUNNING, Wanted("started", TENTH), []),
        (RUNNING, Wanted("started", FIVE), [TELL, WRITE]),
        (RUNNING, Wanted("started", parse(DOCUMENT)), [TELL, WRITE]),
        (LoopState(True, True, TENTH, FIVE), Wanted("started", TENTH), [TELL]),
        (LoopState(True, True, FIVE, TENTH), Wanted("started", TENTH), [WRITE]),
        (LoopState(True, True, TENTH, None), Wanted("started", TENTH), [TELL]),
        (LoopState(False, True, TENTH, None), Wanted("started", TENTH), [START]),
        (LoopState(True, False, TENTH, TENTH), Wanted("started", TENTH), [ENABLE]),
        (RUNNING, Wanted("stopped", None), [STOP, DISABLE]),
        (RUNNING, Wanted("stopped", FIVE), [STOP, DISABLE]),
        (STOPPED, Wanted("stopped", None), []),
        (LoopState(False, False, TENTH, None), Wanted("stopped", None), []),
        (RUNNING, Wanted("absent", None), [STOP, DISABLE, REMOVE]),
        (STOPPED, Wanted("absent", None), []),
    ],
)
def test_steps(have: LoopState, want: Wanted, steps: list[str]) -> None:
    assert plan(have, want) == steps


@pytest.mark.parametrize(
    ("interval", "document", "schedule"),
    [
        (0.5, None, {"period": 0.5}),
        ("0.5", {}, {"period": 0.5}),
        (0.5, {"strategy": "uniform"}, {"period": 0.5, "strategy": "uniform"}),
        (0.5, {"period": 2}, {"period": 2}),
        (0.5, {"period": None, "packets": None}, {"period": 0.5}),
        (0.5, {"packets": [50, 70]}, {"packets": [50, 70]}),
        (0.5, {"packets_mean": 20}, {"packets_mean": 20}),
        (None, {}, {"period": 0.1}),
        (None, {"packets_mean": 20}, {"packets_mean": 20}),
    ],
)
def test_the_interval_is_the_period_where_the_schedule_does_not_say_when(
    interval: object, document: dict[str, Any] | None, schedule: dict[str, Any]
) -> None:
    assert wanted(FakeSystem(), "started", interval, document).schedule == parse(schedule)


def test_without_a_word_the_schedule_that_is_written_stays() -> None:
    assert wanted(FakeSystem(), "stopped", None, None) == Wanted("stopped", None)


@pytest.mark.parametrize("interval", [0, -1, "abc", 1e-9, float("nan")])
@pytest.mark.parametrize("state", ["started", "stopped"])
def test_what_is_no_interval_is_refused(interval: object, state: str) -> None:
    with pytest.raises(WgMigrateError, match="write a number of seconds"):
        wanted(FakeSystem(), state, interval, None)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"strategy": "weighted", "weights": [1, 2, 3]}, "3 weights are given, and there are 2 paths"),
        ({"strategy": "weighted", "weights": {"wgnet1": 1}}, "write one for each"),
        ({"max_share": 0.4}, "cannot be kept by 2 paths: write 0.5"),
        ({"strategy": "fastest"}, "write round_robin"),
        ({"colour": "red"}, "it has period"),
    ],
)
def test_a_schedule_that_does_not_fit_is_refused_before_anything_is_changed(
    document: dict[str, Any], says: str
) -> None:
    host = FakeSystem(files={config.PATH: config.dump(CONFIG)})
    with pytest.raises(WgMigrateError, match=says):
        wanted(host, "started", 0.1, document)
    assert host.ran == []


class Host(FakeSystem):
    """A host whose loop runs or not, and answers with this status, refuses, or does not answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, status: dict[str, Any] | None, active: bool = True) -> None:
        answer = Outcome(0 if active else 3, "", "")
        super().__init__(
            {"systemctl": "", "systemctl --quiet is-active": answer, "systemctl --quiet is-enabled": answer}
        )
        self.asked: list[dict[str, Any]] = []
        self.refusal = ""
        self._status = status
        monkeypatch.setattr(control, "ask", self._ask)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(request)
        if self._status is None:
            raise WgMigrateError("not running")
        if request["command"] == "schedule":
            if self.refusal:
                raise WgMigrateError(self.refusal)
            self._status = {"schedule": request["schedule"]}
        return self._status


def told(host: Host, want: Wanted) -> None:
    loop_state.apply(host, plan(loop_state.read(host), want), want)


@pytest.mark.parametrize("document", [{"period": 5}, DOCUMENT], ids=["period", "all"])
def test_a_running_loop_is_told_and_not_restarted_and_a_second_run_has_no_steps(
    monkeypatch: pytest.MonkeyPatch, document: dict[str, Any]
) -> None:
    host = Host(monkeypatch, {"schedule": plain(TENTH)})
    host.files[schedule_file.PATH] = schedule_file.dump(TENTH)
    want = wanted(host, "started", 0.1, document)
    told(host, want)
    assert host.asked[-1] == {"command": "schedule", "schedule": plain(parse(document))}
    assert not any(words in line for line in host.ran for words in (" start", "enable ", "restart"))
    assert schedule_file.load(host) == parse(document)
    assert plan(loop_state.read(host), wanted(host, "started", "0.1", document)) == []


def test_a_schedule_that_the_loop_refuses_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, {"schedule": plain(TENTH)})
    host.files[schedule_file.PATH] = schedule_file.dump(TENTH)
    host.refusal = "nft says no"
    with pytest.raises(WgMigrateError, match="nft says no"):
        told(host, Wanted("started", FIVE))
    assert schedule_file.load(host) == TENTH


def test_a_loop_that_went_round_all_paths_instead_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, {"schedule": plain(TENTH), "problem": "it did not fit"})
    host.files[schedule_file.PATH] = schedule_file.dump(parse(DOCUMENT))
    assert plan(loop_state.read(host), wanted(host, "started", None, DOCUMENT)) == [TELL]


def test_a_stopped_loop_is_started_with_its_schedule_written_first(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, None, active=False)
    told(host, wanted(host, "started", 0.1, None))
    assert host.asked == []
    assert host.ran[-2:] == ["systemctl enable wg-migrate-loop.service", "systemctl start wg-migrate-loop.service"]
    assert schedule_file.load(host) == TENTH


def test_absent_forgets_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, {"schedule": plain(TENTH)})
    host.files[schedule_file.PATH] = schedule_file.dump(TENTH)
    told(host, Wanted("absent", None))
    assert schedule_file.PATH not in host.files


@pytest.mark.parametrize("answer", [None, {}, {"schedule": None}, {"interval": 0.1}], ids=repr)
def test_a_loop_that_does_not_tell_its_schedule_is_told(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any] | None
) -> None:
    host = Host(monkeypatch, answer)
    host.files[schedule_file.PATH] = schedule_file.dump(TENTH)
    assert loop_state.read(host).running is None
    assert plan(loop_state.read(host), Wanted("started", TENTH)) == [TELL]


def test_a_broken_schedule_file_is_written_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, None, active=False)
    host.files[schedule_file.PATH] = '{"interval": 0}'  # of the version before
    assert WRITE in plan(loop_state.read(host), Wanted("started", TENTH))


def test_what_is_shown_is_the_schedule_that_holds() -> None:
    assert LoopState(True, True, FIVE, TENTH).readable() == {
        "state": "started",
        "at_boot": True,
        "schedule": plain(TENTH),
    }
    assert LoopState(False, True, FIVE, None).readable() == {"state": "stopped", "at_boot": True, "schedule": None}
    assert STOPPED.readable() == {"state": "stopped", "at_boot": False, "schedule": None}
    assert Wanted("started", FIVE).readable() == {"state": "started", "at_boot": True, "schedule": plain(FIVE)}


RESTART = [["systemctl", "restart", "wg-migrate-loop.service"]]


def test_a_loop_of_older_code_is_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, {"code": "of yesterday", "basis": CONFIG.basis})
    assert loop_state.plan_restart(host, CONFIG) == RESTART
    host = Host(monkeypatch, {"code": fingerprint(host), "basis": CONFIG.basis})
    assert loop_state.plan_restart(host, CONFIG) == []
    host.files[f"{DIRECTORY}/loop.py"] = "changed"
    assert loop_state.plan_restart(host, CONFIG) == RESTART


@pytest.mark.parametrize(
    "changes",
    [
        {"status_group": "adm"},
        {"overlay_address": "fd5d:6a0c:87e1:1::2"},
        {"exit": dataclasses.replace(CONFIG.exit, address="2001:db8::20")},
        {"exit": dataclasses.replace(CONFIG.exit, port=51821)},
        {"scope": "namespace" if CONFIG.scope == "host" else "host"},
        {"paths": CONFIG.paths[:1]},
    ],
    ids=str,
)
def test_a_loop_that_goes_by_another_configuration_is_restarted(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It probes the exit, and writes routes from the overlay address, as they were when it began."""
    host = Host(monkeypatch, None)
    host = Host(monkeypatch, {"code": fingerprint(host), "basis": CONFIG.basis})
    assert loop_state.plan_restart(host, dataclasses.replace(CONFIG, **changes)) == RESTART


def test_a_loop_is_not_restarted_for_new_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, None)
    host = Host(monkeypatch, {"code": fingerprint(host), "basis": CONFIG.basis})
    rotated = dataclasses.replace(CONFIG, exit=dataclasses.replace(CONFIG.exit, public_key=public_key("ANOTHER")))
    assert loop_state.plan_restart(host, rotated) == []


def test_where_no_loop_runs_none_is_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loop_state.plan_restart(Host(monkeypatch, None), CONFIG) == []
