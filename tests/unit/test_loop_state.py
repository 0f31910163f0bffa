from __future__ import annotations

from typing import Any

import pytest
from fake_system import FakeSystem
from wg_migrate import control, loop_state, schedule_file
from wg_migrate.errors import WgMigrateError
from wg_migrate.installed_code import DIRECTORY, fingerprint
from wg_migrate.loop_state import DISABLE, ENABLE, REMOVE, START, STOP, TELL, WRITE, LoopState, plan, wanted
from wg_migrate.system import Outcome

RUNNING = LoopState(True, True, 0.1, 0.1)
STOPPED = LoopState(False, False, None, None)


@pytest.mark.parametrize(
    ("have", "state", "interval", "steps"),
    [
        (STOPPED, "started", 0.1, [WRITE, ENABLE, START]),
        (RUNNING, "started", 0.1, []),
        (RUNNING, "started", 5, [WRITE, TELL]),
        (LoopState(True, True, 0.1, 5.0), "started", 0.1, [TELL]),
        (LoopState(True, True, 0.1, None), "started", 0.1, [TELL]),
        (LoopState(False, True, 0.1, None), "started", 0.1, [START]),
        (LoopState(True, False, 0.1, 0.1), "started", 0.1, [ENABLE]),
        (RUNNING, "stopped", None, [STOP, DISABLE]),
        (STOPPED, "stopped", None, []),
        (LoopState(False, False, 0.1, None), "stopped", None, []),
        (RUNNING, "absent", None, [STOP, DISABLE, REMOVE]),
        (STOPPED, "absent", None, []),
    ],
)
def test_steps(have: LoopState, state: str, interval: object, steps: list[str]) -> None:
    assert plan(have, wanted(state, interval)) == steps


@pytest.mark.parametrize("interval", [0, -1, "abc", 1e-9, float("nan")])
def test_what_is_no_interval_is_refused(interval: object) -> None:
    with pytest.raises(WgMigrateError, match="write a number of seconds"):
        wanted("started", interval)


class Host(FakeSystem):
    """A host whose loop runs or not, and answers with this status or not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, status: dict[str, Any] | None, active: bool = True) -> None:
        answer = Outcome(0 if active else 3, "", "")
        super().__init__(
            {"systemctl": "", "systemctl --quiet is-active": answer, "systemctl --quiet is-enabled": answer}
        )
        self.asked: list[dict[str, Any]] = []
        self._status = status
        monkeypatch.setattr(control, "ask", self._ask)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(request)
        if self._status is None:
            raise WgMigrateError("not running")
        return self._status


def test_a_running_loop_is_told_and_not_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, {"interval": 0.1})
    host.files[schedule_file.PATH] = schedule_file.dump(0.1)
    want = wanted("started", "5")
    steps = plan(loop_state.read(host), want)
    host.ran.clear()
    loop_state.apply(host, steps, want)
    assert host.asked[-1] == {"command": "interval", "interval": 5.0}
    assert host.ran == []
    assert schedule_file.load(host) == 5.0


def test_a_stopped_loop_is_started_with_its_schedule_written_first(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, None, active=False)
    want = wanted("started", 0.1)
    loop_state.apply(host, plan(loop_state.read(host), want), want)
    assert host.ran[-2:] == ["systemctl enable wg-migrate-loop.service", "systemctl start wg-migrate-loop.service"]
    assert schedule_file.load(host) == 0.1


def test_absent_forgets_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, {"interval": 0.1})
    host.files[schedule_file.PATH] = schedule_file.dump(0.1)
    want = wanted("absent", None)
    loop_state.apply(host, plan(loop_state.read(host), want), want)
    assert schedule_file.PATH not in host.files


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", "{}", '{"interval": 0}', '{"interval": NaN}', '{"interval": "x"}'], ids=repr
)
def test_a_broken_schedule_is_refused_by_the_loop_and_written_anew(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    host = Host(monkeypatch, None, active=False)
    host.files[schedule_file.PATH] = text
    with pytest.raises(WgMigrateError, match="write"):
        schedule_file.load(host)
    assert WRITE in plan(loop_state.read(host), wanted("started", 0.1))


def test_a_missing_schedule_names_the_playbook() -> None:
    with pytest.raises(WgMigrateError, match=r"start the loop with playbooks/migrate\.yml"):
        schedule_file.load(FakeSystem())


def test_a_loop_of_older_code_is_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, {"code": "of yesterday"})
    assert loop_state.plan_new_code(host) == [["systemctl", "restart", "wg-migrate-loop.service"]]
    host = Host(monkeypatch, {"code": fingerprint(host)})
    assert loop_state.plan_new_code(host) == []
    host.files[f"{DIRECTORY}/loop.py"] = "changed"
    assert loop_state.plan_new_code(host) != []


def test_where_no_loop_runs_none_is_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loop_state.plan_new_code(Host(monkeypatch, None)) == []
