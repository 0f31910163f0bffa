"""A glance by the shell: the module's own answer where nothing is to be done, and none where something may be."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wg_migrate import glance

Key = Callable[[str], str]
Arguments = dict[str, Any]


def shell(command: str, directory: Path) -> str:
    """Return what a shell says, with a stand-in for `wg` whose public key is the private one in capitals."""
    tool = directory / "tools" / "wg"
    tool.parent.mkdir(exist_ok=True)
    tool.write_text("#!/bin/sh\nread -r key && test ${#key} -eq 44 && echo \"$key\" | tr 'a-z' 'A-Z'\n")
    tool.chmod(0o755)
    environment = {"PATH": f"{tool.parent}:/usr/bin:/bin"}
    return subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=False).stdout


@pytest.fixture
def keys(tmp_path: Path, key: Key) -> Arguments:
    """Return the arguments of wireguard_keys, for keys that are all there."""
    for name, letter in (("a.key", "p"), ("b.key", "q"), ("s.psk", "r")):
        path = tmp_path / "it's keys" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(key(letter) + "\n")
        path.chmod(0o600)
    return {"directory": str(tmp_path / "it's keys"), "pairs": ["a", "b"], "preshared": ["s"], "state": "present"}


def glance_at_keys(arguments: Arguments, tmp_path: Path) -> dict[str, Any] | None:
    question = glance.keys_question(arguments)
    return None if question is None else glance.keys_result(arguments, shell(question, tmp_path))


def test_keys_that_are_there_are_told_as_the_module_tells_them(keys: Arguments, tmp_path: Path, key: Key) -> None:
    result = glance_at_keys(keys, tmp_path)
    shown = {f"{keys['directory']}/{name}": {"key": "(secret)", "mode": "0600"} for name in ("a.key", "b.key", "s.psk")}
    public = {"a": key("p").upper(), "b": key("q").upper()}
    unchanged = {"changed": False, "actions": [], "before": shown, "after": shown, "public_keys": public}
    assert result == unchanged
    revealed = glance_at_keys({**keys, "reveal_preshared": True}, tmp_path)
    assert revealed == {**unchanged, "preshared_keys": {"s": key("r")}}


def test_a_preshared_key_is_not_printed_unless_it_is_to_be_revealed(keys: Arguments, tmp_path: Path, key: Key) -> None:
    question = glance.keys_question(keys)
    assert question is not None
    output = shell(question, tmp_path)
    assert len(output.splitlines()) == 3
    assert key("r") not in output
    assert key("p") not in output


def _make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir(0o600)


KEY_FAULTS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "no pair": ("a.key", Path.unlink),
    "no preshared key": ("s.psk", Path.unlink),
    "a pair that a group can read": ("b.key", lambda path: path.chmod(0o640)),
    "a preshared key that all can read": ("s.psk", lambda path: path.chmod(0o644)),
    "half a private key": ("b.key", lambda path: path.write_text("half a key")),
    "half a preshared key": ("s.psk", lambda path: path.write_text("half a key")),
    "no plain file": ("b.key", _make_directory),
}


@pytest.mark.parametrize("fault", KEY_FAULTS)
@pytest.mark.parametrize("reveal", [False, True])
def test_a_key_that_is_not_as_it_should_be_is_for_the_module(
    keys: Arguments, tmp_path: Path, fault: str, reveal: bool
) -> None:
    arguments = {**keys, "reveal_preshared": reveal}
    assert glance_at_keys(arguments, tmp_path) is not None
    name, spoil = KEY_FAULTS[fault]
    spoil(Path(keys["directory"]) / name)
    assert glance_at_keys(arguments, tmp_path) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "absent"}, {"given": {"x": "secret"}}, {"given_pairs": {"x": "secret"}}, {"pairs": ["../a"]},
        {"pairs": "a"}, {"pairs": [1]}, {"directory": "relative"}, {"directory": None}, {"pairs": [], "preshared": []},
        {"pairs": ["a", "a"]},
    ],
)  # fmt: skip
def test_what_only_the_module_can_tell_of_keys_is_not_asked(keys: Arguments, changed: Arguments) -> None:
    assert glance.keys_question({**keys, **changed}) is None
    assert glance.keys_result({**keys, **changed}, "") is None


@pytest.fixture
def files(tmp_path: Path) -> Arguments:
    """Return the arguments of own_files, for files that are all as given."""
    ours = tmp_path / "wg-migrate"
    ours.mkdir()
    texts = {str(ours / "a.py"): "an ä\n", str(ours / "b.py"): "", str(tmp_path / "it's run"): "#!/bin/sh\n"}
    for path, text in texts.items():
        Path(path).write_text(text)
        Path(path).chmod(0o644)
    (tmp_path / "it's run").chmod(0o755)
    return {"files": texts, "executables": [str(tmp_path / "it's run")], "exclusive": [str(ours)]}


def glance_at_files(arguments: Arguments, tmp_path: Path) -> dict[str, Any] | None:
    question = glance.files_question(arguments)
    return None if question is None else glance.files_result(arguments, shell(question, tmp_path))


def test_files_that_are_as_given_are_told_as_the_module_tells_them(files: Arguments, tmp_path: Path) -> None:
    modes = {path: "0755" if path in files["executables"] else "0644" for path in sorted(files["files"])}
    result = glance_at_files(files, tmp_path)
    assert result == {"changed": False, "actions": [], "before": modes, "after": modes, "diff": []}
    assert glance_at_files({**files, "exclusive": []}, tmp_path) == result


FILE_FAULTS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "missing": ("wg-migrate/a.py", Path.unlink),
    "another text": ("wg-migrate/a.py", lambda path: path.write_text("another\n")),
    "another mode": ("wg-migrate/b.py", lambda path: path.chmod(0o600)),
    "a program that cannot be run": ("it's run", lambda path: path.chmod(0o644)),
    "one too many in our directory": ("wg-migrate/dropped.py", Path.touch),
}


@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_a_file_that_differs_is_for_the_module(files: Arguments, tmp_path: Path, fault: str) -> None:
    assert glance_at_files(files, tmp_path) is not None
    name, spoil = FILE_FAULTS[fault]
    spoil(tmp_path / name)
    assert glance_at_files(files, tmp_path) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "absent"}, {"files": {}}, {"files": "x"}, {"files": {"relative": ""}}, {"files": {"/a\nb": ""}},
        {"files": {"/a": 1}}, {"files": {"/a": ""}, "executables": ["/b"]}, {"exclusive": [1]}, {"exclusive": "/a"},
    ],
)  # fmt: skip
def test_what_only_the_module_can_tell_of_files_is_not_asked(files: Arguments, changed: Arguments) -> None:
    assert glance.files_question({**files, **changed}) is None
    assert glance.files_result({**files, **changed}, "end") is None
