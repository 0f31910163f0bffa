"""The seam itself: what a command's end becomes, and that a file is never half of one."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from wg_migrate.errors import WgMigrateError
from wg_migrate.system import Outcome, System


def test_how_a_command_ends_is_an_answer() -> None:
    attempt = System().attempt
    assert attempt(["sh", "-c", "cat; echo no >&2; exit 3"], "in") == Outcome(3, "in", "no\n")
    assert attempt(["wg-no-such-command", "-x"]) == Outcome(127, "", "wg-no-such-command: not installed")


def test_a_command_that_hangs_is_ended_and_told_also_where_its_children_hold_the_outputs(tmp_path: Path) -> None:
    told = tmp_path / "pids"
    with pytest.raises(WgMigrateError, match=r"' failed with status 124: no answer within 0\.5 s$"):
        System(0.5).run(["sh", "-c", f"sleep 600 & echo $$ $! > {told}; wait"])
    command, child = map(int, told.read_text().split())
    os.kill(child, signal.SIGKILL)  # still there: nobody waited for it
    with pytest.raises(ProcessLookupError):
        os.kill(command, 0)


def test_a_failure_is_told_without_what_the_command_was_given() -> None:
    argv = ["sh", "-c", "cat >/dev/null; echo why >&2; exit 1"]
    with pytest.raises(WgMigrateError) as refused:
        System().run(argv, "a key")
    assert str(refused.value) == f"'{' '.join(argv)}' failed with status 1: why"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "file"
    system = System()
    system.write(str(path), "old", 0o600)
    assert (system.read(str(path)), system.mode(str(path))) == ("old", 0o600)

    def fail(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        system.write(str(path), "new")
    assert system.read(str(path)) == "old"
    assert os.listdir(path.parent) == ["file"]


def test_what_is_not_there_is_an_answer_and_bytes_that_are_no_text_can_be_read(tmp_path: Path) -> None:
    system = System()
    for missing in (str(tmp_path / "none"), str(tmp_path / "file" / "below")):
        assert (system.read(missing), system.mode(missing), system.exists(missing)) == (None, None, False)
        (tmp_path / "file").write_bytes(b"a\xff")
    assert system.read(str(tmp_path / "file")) == "a\\xff"


def test_only_empty_directories_are_removed(tmp_path: Path) -> None:
    kept, empty = tmp_path / "kept", tmp_path / "empty"
    for directory in (kept, empty):
        directory.mkdir()
    (kept / "b").touch()
    (kept / "a").touch()
    (kept / "link").symlink_to("a")
    system = System()
    for directory in (kept, empty, tmp_path / "none"):
        system.remove_empty_directory(str(directory))
    assert sorted(os.listdir(tmp_path)) == ["kept"]
    assert system.list_files(str(kept)) == [str(kept / "a"), str(kept / "b")]
    assert system.list_files(str(empty)) == []
