"""On machines on which nothing has been tried: a deployment that is cut off leaves no trace once it is removed."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator

import pytest

from tests.lab.conftest import CLIENT, EXIT, PROXIES, ROOT, Lab

pytestmark = [pytest.mark.lab, pytest.mark.faults]
HOSTS = (CLIENT, *PROXIES, EXIT)
SNAPSHOT = (ROOT / "molecule" / "shared" / "snapshot.py").read_text()


@pytest.fixture(scope="module", autouse=True)
def _deployed_afterwards(deployed: Lab) -> Iterator[None]:
    yield
    deployed.play("site.yml")
    deployed.play("playbooks/migrate.yml", "-e", "migration_interval=0.1")
    deployed.wait_until_live()


@pytest.fixture
def fresh(deployed: Lab) -> Lab:
    """Return the lab with machines as they are made."""
    subprocess.run([str(ROOT / "scripts" / "lab"), "reset"], check=True, capture_output=True)
    return deployed


def snapshot(lab: Lab, host: str, word: str) -> str:
    """Have a machine written down (`made`), or return how it differs from that (`compare`)."""
    text = base64.b64encode(SNAPSHOT.encode()).decode()
    return lab.run(host, f"echo {text} | base64 -d | python3 - {word}", check=False)


CUTS = [("Install the packages", "host"), ("Make the keys", "host"), ("Build the double tunnel", "namespace")]


@pytest.mark.parametrize(("task", "scope"), CUTS, ids=str)
def test_a_deployment_that_was_cut_off_is_removed_without_a_trace(fresh: Lab, task: str, scope: str) -> None:
    """Killed when it says what it does; the hosts may go on with that. A second removal changes nothing."""
    for host in HOSTS:
        snapshot(fresh, host, "made")
    argv = [str(ROOT / ".venv" / "bin" / "ansible-playbook"), "site.yml", "-e", f"client_scope={scope}"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as run:
        assert run.stdout is not None
        assert next((line for line in run.stdout if f": {task}]" in line), None), "it has ended before"
        run.kill()
    fresh.play("playbooks/remove.yml")
    assert {host: snapshot(fresh, host, "compare") for host in HOSTS} == dict.fromkeys(HOSTS, "")
    again = fresh.play("playbooks/remove.yml")
    assert again.count("changed=0") == len(HOSTS)
