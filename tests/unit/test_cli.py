from __future__ import annotations

import os
from typing import Any

import pytest
from client_samples import CONFIG, config
from fake_system import FakeSystem
from wg_migrate import cli, control
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
    assert cli.main(["status"]) == 1
    assert "run it with sudo" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["up"], ["status"], ["run"], ["exec", "--", "true"]], ids=lambda words: words[0])
@pytest.mark.usefixtures("host")
def test_an_undeployed_client_is_told_what_to_do(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(command) == 1
    said = capsys.readouterr().err
    assert said == f"wg-migrate: {PATH} is not there: deploy this client first, with 'ansible-playbook site.yml'\n"


@pytest.mark.parametrize("arguments", [[], ["dance"], ["interval"], ["status", "--xml"]], ids=" ".join)
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


@pytest.mark.parametrize(
    ("scope", "argv"),
    [("host", ["curl", "-s", "x"]), ("namespace", ["ip", "netns", "exec", "comps", "curl", "-s", "x"])],
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
    assert "PUBLIC-OF" not in said
