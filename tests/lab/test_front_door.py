"""The front door on the deployed lab, in a few seconds; `make test-fleet` goes through all of it."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.lab.conftest import CLIENT, PROXIES, ROOT

pytestmark = pytest.mark.lab


def wgm(*words: str) -> str:
    argv = [str(ROOT / "scripts" / "wgm"), *words]
    done = subprocess.run(argv, cwd="/", capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.usefixtures("interval")
def test_migrate_changes_the_loop_and_status_tells_of_it() -> None:
    assert "wgm migrate: done" in wgm("migrate", "0.2")
    state = json.loads(wgm("status", "--json"))[CLIENT]
    assert (state["loop"]["schedule"]["period"], list(state["paths"])) == (0.2, list(PROXIES))
