"""What fleets run playbooks with: the execution environment's context, and ansible-navigator on the lab."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.fleet.conftest import BIN, TOOLS
from tests.lab.conftest import ROOT

pytestmark = pytest.mark.lab
ASK = """[{hosts: localhost, connection: local, gather_facts: false, tasks: [{ansible.builtin.debug: {
  msg: "keys of hosts are compared: {{ lookup('config', 'HOST_KEY_CHECKING') }}"}}]}]
"""


def navigate(playbook: str, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [str(BIN / "ansible-navigator"), "run", playbook, "--ee", "false", "-m", "stdout", *words]
    return subprocess.run(argv, cwd=ROOT, env=TOOLS, capture_output=True, text=True, timeout=600, check=False)


def strangers() -> str:
    """Return the files in the checkout that git does not know and is not told to pass over."""
    argv = ["git", "ls-files", "--others", "--exclude-standard"]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def pins(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w-]+)==([\w.]+)", text, re.MULTILINE))


def test_ansible_builder_makes_a_context_of_the_pinned_versions(tmp_path: Path) -> None:
    argv = [str(BIN / "ansible-builder"), "create", "--context", str(tmp_path / "context")]
    done = subprocess.run(argv, cwd=ROOT, env=TOOLS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    container = (tmp_path / "context" / "Containerfile").read_text()
    build = tmp_path / "context" / "_build"
    ansible = re.findall(r'^ARG ANSIBLE_INSTALL_REFS="(.*)"$', container, re.MULTILINE)[0].replace(" ", "\n")
    inside = pins(f"{ansible}\n{(build / 'requirements.txt').read_text()}")
    here = pins((ROOT / "requirements.txt").read_text())
    assert set(inside) == {"ansible-core", "ansible-runner", "paramiko"}
    assert inside == {name: here[name] for name in inside}
    assert (build / "bindep.txt").read_text().split()[0] == "openssh-client"
    assert container.index("RUN apt-get update") < container.index("RUN $PKGMGR install $PYPKG")
    assert 'ARG PKGMGR="/usr/bin/apt-get"' in container


@pytest.mark.usefixtures("deployed")
def test_ansible_navigator_runs_the_same_playbook_and_leaves_nothing_in_the_checkout() -> None:
    before = strangers()
    done = navigate("site.yml")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert [each for each in done.stdout.splitlines() if "ok=" in each and "changed=0" not in each] == []
    assert done.stdout.count("changed=0") == 4
    assert strangers() == before


def test_ansible_navigator_compares_the_keys_of_hosts(tmp_path: Path) -> None:
    (tmp_path / "ask.yml").write_text(ASK)
    done = navigate(str(tmp_path / "ask.yml"))
    assert "keys of hosts are compared: True" in done.stdout, done.stdout + done.stderr
