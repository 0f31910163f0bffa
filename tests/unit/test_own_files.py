from __future__ import annotations

import pytest
from fake_system import FakeSystem
from wg_migrate.own_files import Wanted, apply, plan, read, remove_directories, wanted_state

WANT = Wanted({"/lib/x/a.py": "a", "/bin/x": "run"}, frozenset({"/bin/x"}), ("/lib/x",))


def steps(system: FakeSystem, present: bool = True) -> list[tuple[str, str]]:
    return plan(read(system, WANT), wanted_state(WANT) if present else {})


@pytest.fixture
def installed() -> FakeSystem:
    system = FakeSystem()
    apply(system, steps(system), wanted_state(WANT))
    return system


def test_missing_files_are_made_with_their_modes(installed: FakeSystem) -> None:
    assert installed.files == WANT.files
    assert installed.modes == {"/lib/x/a.py": 0o644, "/bin/x": 0o755}
    assert steps(installed) == []


def test_what_differs_is_changed(installed: FakeSystem) -> None:
    installed.write("/lib/x/a.py", "b")
    installed.set_mode("/bin/x", 0o644)
    assert steps(installed) == [("change", "/lib/x/a.py"), ("change", "/bin/x")]


def test_what_was_dropped_is_removed_from_our_directory_alone(installed: FakeSystem) -> None:
    installed.write("/lib/x/old.py", "")
    installed.write("/bin/somebody", "")
    assert steps(installed) == [("remove", "/lib/x/old.py")]


def test_absent_removes_ours_and_the_directory(installed: FakeSystem) -> None:
    installed.write("/bin/somebody", "")
    installed.write("/lib/x/__pycache__/a.pyc", "")
    apply(installed, steps(installed, present=False), {})
    remove_directories(installed, WANT)
    assert list(installed.files) == ["/bin/somebody"]
    assert steps(installed, present=False) == []
