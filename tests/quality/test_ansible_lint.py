"""ansible-lint reads the argument specs of our own modules: what it cannot import, it passes with a mere warning."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
MODULES = sorted(path.stem for path in (ROOT / "library").glob("*.py") if "AnsibleModule(" in path.read_text())
"""An action has no argument spec that ansible-lint could find; it refuses wrong arguments itself."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a copy of what ansible-lint needs of this project, with a playbook that calls every module wrongly."""
    for name in ["library", "module_utils", ".config/ansible-lint"]:
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in [".ansible-lint", "ansible.cfg"]:
        shutil.copy(ROOT / name, tmp_path / name)
    tasks = "".join(f"    - name: Call {name}\n      {name}:\n        no_such_argument: 1\n" for name in MODULES)
    (tmp_path / "wrong.yml").write_text(f"---\n- name: Call each module wrongly\n  hosts: all\n  tasks:\n{tasks}")
    return tmp_path


@pytest.mark.faults
def test_wrong_argument_of_every_module_is_caught(project: Path) -> None:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1"}
    linted = subprocess.run(
        [BIN / "ansible-lint", "--format", "pep8", "wrong.yml"],
        cwd=project, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert linted.stdout.count("args[module]") == len(MODULES), linted.stdout + linted.stderr
