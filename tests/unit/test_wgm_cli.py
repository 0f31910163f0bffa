"""scripts/wgm: what is asked for, what is refused with which exit status, and what goes to whom."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from wg_migrate.errors import WgMigrateError

from wgm import cli, run
from wgm.commands import COMMANDS, ROOT, migration, phases


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_a_playbook_with_phases(name: str) -> None:
    names = phases(ROOT / COMMANDS[name].playbook)
    assert names
    assert all(names)


def test_an_imported_playbook_is_its_phases() -> None:
    assert phases(ROOT / "site.yml") == phases(ROOT / "playbooks" / "site.yml")


def test_a_migration_is_seconds_a_schedule_a_file_with_one_the_inventorys_or_the_end(tmp_path: Path) -> None:
    schedule = {"packets": [50, 70]}
    file = tmp_path / "schedule.json"
    file.write_text(json.dumps(schedule))
    assert migration("0.02", stop=False) == {"migration_interval": 0.02}
    assert migration(json.dumps(schedule), stop=False) == {"migration_schedule": schedule}
    assert migration(str(file), stop=False) == {"migration_schedule": schedule}
    assert migration(None, stop=False) == {}
    assert migration(None, stop=True) == {"migration_state": "stopped"}


@pytest.mark.parametrize("word", ["nowhere", "inf", "nan", "", "{", '{"packets": }', "/", "0,1"])
def test_what_is_no_schedule_is_refused_with_an_example(word: str) -> None:
    with pytest.raises(WgMigrateError, match=r"write seconds such as 0.1, a schedule such as"):
        migration(word, stop=False)


def test_stop_stands_alone() -> None:
    with pytest.raises(WgMigrateError, match=r"write --stop alone, or 0.1 alone"):
        migration("0.1", stop=True)


@pytest.fixture(autouse=True)
def nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "play", None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["deploy", "-i", "nowhere"], "there is no inventory nowhere: write the directory or file of your hosts"),
        (["status", "-i", "nowhere"], "there is no inventory nowhere: write the directory or file of your hosts"),
        (["migrate", "soon"], "soon is no number, and no file that can be read (No such file or directory): write"),
        (["--replay", "nowhere"], "the log nowhere cannot be read: No such file or directory"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 1
    assert capsys.readouterr().err.startswith(f"wgm: {said}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "wgm: write a command"),
        (["dploy"], "wgm: argument COMMAND: invalid choice: 'dploy'"),
        (["deploy", "--chek"], "wgm: unrecognized arguments: --chek"),
        (["deploy", "-i"], "wgm: argument -i/--inventory: expected one argument"),
    ],
)
def test_a_command_line_that_is_not_understood_has_a_status_that_no_run_has(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(words)
    assert left.value.code == 64
    assert said in capsys.readouterr().err


def test_watch_and_capture_get_their_arguments_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("watch", "capture"):
        monkeypatch.setitem(cli.HANDED_OVER, name, len)
        assert cli.main([name, "--seconds", "3", "-h"]) == 3
    assert list(cli.HANDED_OVER) == ["watch", "capture"]
