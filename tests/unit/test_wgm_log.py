"""Logs of runs: for their owner only, whole or cut off, shown again as they were, and what the bar learns from them."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
from wg_migrate.errors import WgMigrateError

from wgm import log
from wgm.log import Asked, Log
from wgm.record import Record
from wgm.show import Show, replay

ASKED = Asked(("deploy", "-D"), "deploy", "site.yml", ("Check",), ("/i",), None, ("--diff",), 1795426192.5)
RECORDS = [
    Record(0.1, "play", "Check"),
    Record(0.2, "changed", "Check", "Look", "a"),
    Record(0.3, "failed", "Check", "Look", "b", "b is bad: ü\nWrite c."),
    Record(0.4, "outcome", host="b", text="failed"),
]


def written(place: Path, asked: Asked, records: list[Record], status: int | None) -> Path:
    with contextlib.closing(Log(asked, place)) as made:
        for record in records:
            made.write(record)
        if status is not None:
            made.end(status, 0.5)
        return made.path


def test_a_log_is_read_as_it_was_written(tmp_path: Path) -> None:
    run = log.read(written(tmp_path, ASKED, RECORDS, 2))
    assert (run.asked, list(run.records), run.status, run.seconds) == (ASKED, RECORDS, 2, 0.5)


def test_a_log_is_for_its_owner_only(tmp_path: Path) -> None:
    path = written(tmp_path / "wgm", ASKED, RECORDS, 2)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_of_a_run_that_was_cut_off_all_is_there_until_then(tmp_path: Path) -> None:
    run = log.read(written(tmp_path, ASKED, RECORDS[:2], None))
    assert (list(run.records), run.status) == (RECORDS[:2], None)


def test_a_replay_shows_what_was_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, ASKED, RECORDS, 2)
    with Show(ASKED, path) as show:
        for record in RECORDS:
            show.take(record)
        show.end(2, 0.5)
    first = capsys.readouterr().out
    assert replay(path) == 0
    assert capsys.readouterr().out == first
    assert "b is bad: ü\n  Write c." in first


def test_the_bar_learns_from_the_last_run_of_the_same_work_that_went_well(tmp_path: Path) -> None:
    result = Record(0.2, "ok", "Check", "Look", "a")
    moments = iter(range(1795426192, 1795427192, 60))
    for count, status, asked in [
        (3, 0, ASKED),
        (5, 0, ASKED),
        (7, 2, ASKED),
        (9, None, ASKED),
        (11, 0, replace(ASKED, limit="a")),
        (13, 0, replace(ASKED, options=("--check",))),
        (15, 0, replace(ASKED, inventory=("/other",))),
        (17, 0, replace(ASKED, command="remove", playbook="playbooks/remove.yml")),
    ]:
        written(
            tmp_path, replace(asked, began=next(moments)), [Record(0.1, "play", "Check"), *[result] * count], status
        )
    (tmp_path / "9999.jsonl").write_text("not of ours\n")
    assert log.total(replace(ASKED, words=("deploy", "--diff")), tmp_path) == 5
    assert log.total(replace(ASKED, limit="b"), tmp_path) is None


@pytest.mark.parametrize(
    "text", ["", "{}\n", "[]\n", "words\n", '{"asked": {}}\n', '{"asked": []}\n', '{"asked": 1}\n3\n']
)
def test_what_is_no_log_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x"
    path.write_text(text)
    with pytest.raises(WgMigrateError, match="is no log of a run: write one of those in"):
        log.read(path)


def test_a_log_of_another_program_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, replace(ASKED, command="dance"), RECORDS, 0)
    with pytest.raises(WgMigrateError, match="is no log of a run"):
        log.read(path)


def test_no_log_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(WgMigrateError, match="cannot be read: No such file"):
        log.read(tmp_path / "x")
    with pytest.raises(WgMigrateError, match="there is no log of a run"):
        log.last(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(WgMigrateError, match="no log can be written in"):
        Log(ASKED, tmp_path / "file")
