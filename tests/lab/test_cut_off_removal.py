"""On machines on which nothing has been tried: a deployment that is cut off leaves no trace once it is removed."""

from __future__ import annotations

import subprocess

import pytest

from tests.lab.conftest import CLIENT, EXIT, PROXIES, ROOT, Lab

pytestmark = [pytest.mark.lab, pytest.mark.faults]
HOSTS = (CLIENT, *PROXIES, EXIT)


CUTS = [("Install the packages", "host"), ("Make the keys", "host"), ("Build the double tunnel", "namespace")]


@pytest.mark.parametrize(("task", "scope"), CUTS, ids=str)
def test_a_deployment_that_was_cut_off_is_removed_without_a_trace(fresh: Lab, task: str, scope: str) -> None:
    """Killed when it says what it does; the hosts may go on with that. A second removal changes nothing."""
    for host in HOSTS:
        fresh.snapshot(host, "made")
    argv = [str(ROOT / ".venv" / "bin" / "ansible-playbook"), "site.yml", "-e", f"client_scope={scope}"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as run:
        assert run.stdout is not None
        assert next((line for line in run.stdout if f": {task}]" in line), None), "it has ended before"
        run.kill()
    fresh.play("playbooks/remove.yml")
    assert {host: fresh.snapshot(host, "compare") for host in HOSTS} == {host: [] for host in HOSTS}
    again = fresh.play("playbooks/remove.yml")
    assert again.count("changed=0") == len(HOSTS)
