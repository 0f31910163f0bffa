from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from client_samples import CONFIG, config, public_key
from fake_system import FakeSystem
from loop_rig import Rig
from wg_migrate import cli, control, tunnel
from wg_migrate.cli import WITHOUT_HOST_RESOLVERS
from wg_migrate.config import PATH, dump
from wg_migrate.errors import WgMigrateError


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> FakeSystem:
    """Make a host on which the command runs as root."""
    system = FakeSystem()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(cli, "System", lambda: system)
    return system


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert cli.main(["new-session"]) == 1
    assert "run it with sudo" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["status"], ["status", "--json"]], ids=" ".join)
def test_without_root_the_status_is_what_the_loop_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    system = FakeSystem()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(cli, "System", lambda: system)
    monkeypatch.setattr(control, "ask", lambda _request: Rig({"period": 0.1, "strategy": "uniform"}).status())
    assert cli.main(words) == 0
    assert "uniform" in capsys.readouterr().out
    assert system.ran == []


@pytest.mark.parametrize("command", [["up"], ["status"], ["run"], ["exec", "--", "true"]], ids=lambda words: words[0])
@pytest.mark.usefixtures("host")
def test_an_undeployed_client_is_told_what_to_do(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(command) == 1
    said = capsys.readouterr().err
    assert said == f"wg-migrate: {PATH} is not there: deploy this client first, with 'ansible-playbook site.yml'\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["dance"], ["interval"], ["status", "--xml"], ["schedule", "a", "b"], ["new-session", "5"]],
    ids=" ".join,
)
@pytest.mark.usefixtures("host")
def test_what_is_not_understood_is_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2


@pytest.mark.parametrize("seconds", ["0", "abc", "1e-9", "nan"])
@pytest.mark.usefixtures("host")
def test_a_bad_interval_is_refused_before_the_loop_hears_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seconds: str
) -> None:
    monkeypatch.setattr(control, "ask", lambda request: pytest.fail(f"asked {request}"))
    assert cli.main(["interval", seconds]) == 1
    assert "write a number of seconds from 0.001 to 86400" in capsys.readouterr().err


@pytest.mark.usefixtures("host")
def test_an_interval_reaches_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(control, "ask", asked.append)
    assert cli.main(["interval", "0.5"]) == 0
    assert asked == [{"command": "interval", "interval": 0.5}]


SCHEDULE = {"packets": [50, 70], "strategy": "weighted", "weights": [2, 1]}


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("by", ["file", "standard input"])
def test_a_schedule_reaches_the_loop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by: str) -> None:
    file = tmp_path / "schedule.json"
    file.write_text(json.dumps(SCHEDULE))
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(SCHEDULE)))
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(control, "ask", asked.append)
    assert cli.main(["schedule", str(file) if by == "file" else "-"]) == 0
    assert asked == [{"command": "schedule", "schedule": SCHEDULE}]


@pytest.mark.usefixtures("host")
def test_the_running_schedule_is_shown_as_it_can_be_given_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(control, "ask", lambda request: {"schedule": SCHEDULE, "command": request["command"]})
    assert cli.main(["schedule"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEDULE


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "is not JSON"),
        (b"{period: 1}", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100000, "is not JSON"),
        (b"[]", "the schedule is no object"),
        (b'{"strategy": "fastest"}', "write round_robin"),
        (b'{"period": 1, "packets_mean": 5}', "write one of them"),
        (b'{"interval": 1}', "it has period"),
    ],
    ids=lambda value: repr(value)[:24],
)
@pytest.mark.usefixtures("host")
def test_a_bad_schedule_is_refused_before_the_loop_hears_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: bytes, says: str
) -> None:
    monkeypatch.setattr(control, "ask", lambda request: pytest.fail(f"asked {request}"))
    file = tmp_path / "schedule.json"
    file.write_bytes(text)
    assert cli.main(["schedule", str(file)]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


@pytest.mark.usefixtures("host")
def test_a_schedule_file_that_is_not_there_is_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["schedule", str(tmp_path / "none.json")]) == 1
    assert capsys.readouterr().err == f"wg-migrate: {tmp_path}/none.json: No such file or directory\n"


@pytest.mark.parametrize("words", [["schedule"], ["schedule", "-"], ["interval", "1"], ["new-session"]], ids=" ".join)
@pytest.mark.usefixtures("host")
def test_where_no_loop_runs_it_says_how_to_start_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str]
) -> None:
    def none(request: dict[str, Any]) -> dict[str, Any]:
        return real(request, str(tmp_path / "none.sock"))

    real = control.ask
    monkeypatch.setattr("sys.stdin", io.StringIO("{}"))
    monkeypatch.setattr(control, "ask", none)
    assert cli.main(words) == 1
    assert "is not running: start it with playbooks/migrate.yml" in capsys.readouterr().err


@pytest.mark.usefixtures("host")
def test_a_session_is_begun_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(control, "ask", asked.append)
    assert cli.main(["new-session"]) == 0
    assert asked == [{"command": "new_session"}]


@pytest.mark.parametrize(
    ("scope", "argv"),
    [
        ("host", ["curl", "-s", "x"]),
        ("namespace", ["ip", "netns", "exec", "comps", "sh", "-c", WITHOUT_HOST_RESOLVERS, "sh", "curl", "-s", "x"]),
    ],
)
def test_exec_runs_where_the_tunnel_is(
    host: FakeSystem, monkeypatch: pytest.MonkeyPatch, scope: str, argv: list[str]
) -> None:
    host.files[PATH] = dump(config(scope=scope))
    executed: list[list[str]] = []
    monkeypatch.setattr(os, "execvp", lambda _name, words: executed.append(words))
    assert cli.main(["exec", "--", "curl", "-s", "x"]) == 0
    assert executed == [argv]


def test_exec_of_nothing_says_what_to_write(host: FakeSystem, capsys: pytest.CaptureFixture[str]) -> None:
    host.files[PATH] = dump(CONFIG)
    assert cli.main(["exec", "--"]) == 1
    assert "write, for example, wg-migrate exec -- curl" in capsys.readouterr().err


def test_a_system_error_is_one_sentence(
    host: FakeSystem, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host.files[PATH] = dump(CONFIG)
    monkeypatch.setattr(
        os, "execvp", lambda name, _words: (_ for _ in ()).throw(FileNotFoundError(2, "No such file", name))
    )
    assert cli.main(["exec", "nosuch"]) == 1
    assert capsys.readouterr().err == "wg-migrate: nosuch: No such file\n"


def test_after_down_a_start_of_the_unit_puts_the_tunnel_up(host: FakeSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = tunnel.Change({}, {}, [])
    monkeypatch.setattr(tunnel, "down", lambda system: system.ran.append("down") or nothing)
    host.answers["systemctl stop"] = ""
    assert cli.main(["down"]) == 0
    assert host.ran == ["systemctl stop wg-migrate.service", "down"]


def test_status_without_a_tunnel_says_what_to_do(
    host: FakeSystem, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(_request: dict[str, Any]) -> dict[str, Any]:
        raise WgMigrateError("not running")

    monkeypatch.setattr(control, "ask", none)
    host.files[PATH] = dump(CONFIG)
    assert cli.main(["status"]) == 0
    said = capsys.readouterr().out
    assert "NOT up" in said
    assert "systemctl restart wg-migrate" in said
    assert "stopped" in said
    assert public_key("EXIT") not in said


@pytest.mark.parametrize("words", [["status"], ["status", "--json"]], ids=" ".join)
def test_status_of_a_running_loop(
    host: FakeSystem, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    running = Rig({"packets": [50, 70], "strategy": "uniform"}).status()
    monkeypatch.setattr(control, "ask", lambda _request: running)
    host.files[PATH] = dump(CONFIG)
    assert cli.main(words) == 0
    assert "uniform" in capsys.readouterr().out
