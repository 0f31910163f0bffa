"""On machines on which nothing has been tried: what is cut off leaves no trace once the network is removed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable

import pytest

from observe.remote.record import DIRECTORY as RECORDED
from tests.lab.conftest import CLIENT, EXIT, PROXIES, ROOT, Lab, until

pytestmark = [pytest.mark.lab, pytest.mark.faults]
HOSTS = (CLIENT, *PROXIES, EXIT)


CUTS = [("Install what is missing", "host"), ("Make the keys", "host"), ("Build the double tunnel", "namespace")]


@pytest.mark.parametrize(("task", "scope"), CUTS, ids=str)
def test_a_deployment_that_was_cut_off_is_removed_without_a_trace(fresh: Lab, task: str, scope: str) -> None:
    """Killed when it says what it does; the hosts may go on with that. A second removal changes nothing."""
    for host in HOSTS:
        fresh.snapshot(host, "made")
    cut_off("site.yml", task, "-e", f"client_scope={scope}")
    removed_without_a_trace(fresh)


def test_a_capture_that_was_cut_off_is_removed_with_the_network(fresh: Lab) -> None:
    """Killed with all that it started here while the hosts capture, one of them with a tcpdump that came for it."""
    fresh.run(EXIT, "dpkg --purge tcpdump libpcap0.8t64")
    for host in HOSTS:
        fresh.snapshot(host, "made")
    fresh.play("site.yml")
    words = ("-e", "capture_seconds=300")
    cut_off("playbooks/capture.yml", "Capture at all hosts at the same time", *words, at=lambda: captures(fresh))
    assert "tcpdump" in fresh.run(EXIT, "cat /var/lib/wg-migrate/capture-packages")
    removed_without_a_trace(fresh)


def captures(lab: Lab) -> bool:
    return all("pcap" in lab.run(host, f"ls {RECORDED}", check=False) for host in HOSTS)


def cut_off(playbook: str, task: str, *words: str, at: Callable[[], bool] = lambda: True) -> None:
    """Kill a playbook, and what it has started, when it says that it begins with a task and AT holds."""
    argv = [str(ROOT / ".venv" / "bin" / "ansible-playbook"), playbook, *words]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as run:
        assert run.stdout is not None
        assert next((line for line in run.stdout if f"{task}]" in line), None), "it has ended before"
        until(at, f"the task {task} is at work")
        os.killpg(run.pid, signal.SIGKILL)


def removed_without_a_trace(lab: Lab) -> None:
    lab.play("playbooks/remove.yml")
    assert {host: lab.snapshot(host, "compare") for host in HOSTS} == {host: [] for host in HOSTS}
    again = lab.play("playbooks/remove.yml")
    assert again.count("changed=0") == len(HOSTS)
