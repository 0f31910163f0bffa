"""The front door on the lab, in the order in which a user comes through it, with faults: a host away, Ctrl-C."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.fleet.conftest import WGM, last_log, logs, wgm
from tests.lab.conftest import CLIENT, EXIT, PROXIES, ROOT, Lab, until

pytestmark = pytest.mark.lab
HOSTS = (CLIENT, *PROXIES, EXIT)


def results(said: str) -> int:
    """Return how many results a run says that it had."""
    return int(re.findall(r", (\d+) results, ", said)[0])


def test_deploy_builds_the_network_and_a_second_run_changes_nothing(lab: Lab) -> None:
    subprocess.run([str(ROOT / "scripts" / "lab"), "reset"], check=True, capture_output=True)
    first = wgm("deploy")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "\x1b" not in first.stdout
    assert [each for each in first.stdout.splitlines() if each.startswith("== ")] == [
        "== Check the inventory and every host",
        "== Check the proxies",
        "== Check the clients and the exits",
        "== Install WireGuard and make the keys",
        "== Set up the proxies",
        "== Set up the clients and the exits",
    ]
    assert [host for host in HOSTS if not re.search(rf"^{host}: changed: ", first.stdout, re.MULTILINE)] == []
    again = wgm("deploy")
    assert again.returncode == 0
    assert re.search(r"^wgm deploy: done, after \d+ s, \d+ results, 0 changed$", again.stdout, re.MULTILINE), (
        again.stdout
    )
    lines = last_log()
    keys = lab.run(CLIENT, "cat /etc/wg-migrate/keys/*").split()
    assert len(keys) == 6
    assert not [key for key in keys if key in first.stdout + logs()]
    assert (lines[0]["asked"]["total"], lines[-1]["status"]) == (results(first.stdout), 0)


def test_migrate_verify_and_status_agree(lab: Lab) -> None:
    done = wgm("migrate", "0.1")
    assert done.returncode == 0, done.stdout
    lab.wait_until_live()
    done = wgm("verify")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "next: Every claim holds."
    told = wgm("status", "--json")
    state = json.loads(told.stdout)[CLIENT]
    assert (told.returncode, state["loop"]["schedule"]["period"], list(state["paths"])) == (0, 0.1, list(PROXIES))
    assert f"client {CLIENT}\n" in wgm("status").stdout


def test_a_claim_that_does_not_hold_is_told_in_its_own_words() -> None:
    assert wgm("migrate", "--stop").returncode == 0
    done = wgm("verify")
    assert done.returncode == 2
    assert (
        f"failed on {CLIENT}: Every path carries packets both ways (Judge what the clients' evidence says)\n  Within"
        in done.stdout
    )
    assert "Start the loop with playbooks/migrate.yml" in done.stdout
    assert '"msg"' not in done.stdout
    assert wgm("status").returncode == 0
    schedule = '{"period": 0.1, "strategy": "uniform"}'
    assert wgm("migrate", schedule).returncode == 0
    assert json.loads(wgm("status", "--json").stdout)[CLIENT]["loop"]["schedule"]["strategy"] == "uniform"


def test_a_host_that_is_away_is_named_with_what_to_do(tmp_path: Path) -> None:
    away = tmp_path / "away.yml"
    away.write_text("all: {hosts: {wgnet2: {ansible_port: 1}, client: {ansible_port: 1}}}\n")
    inventory = ["-i", str(ROOT / "inventory" / "lab"), "-i", str(away)]
    done = wgm("deploy", *inventory)
    assert done.returncode == 2
    assert "wgnet2 cannot be reached by SSH at 198.18.51.12" in done.stdout
    assert "until 'ansible wgnet2 -m ping' answers." in done.stdout
    told = wgm("status", *inventory)
    assert told.returncode == 1
    assert f"client {CLIENT}\n{CLIENT} (ops@198.18.51.10 port 1) is not reached" in told.stdout


def test_the_password_that_sudo_wants_is_written_nowhere() -> None:
    typed = "correct-horse"
    done = subprocess.run(
        [WGM, "migrate", "0.1", "-K"],
        input=f"{typed}\n",
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert typed not in done.stdout + json.dumps(last_log())


def test_ctrl_c_ends_a_deployment_which_the_next_one_finishes() -> None:
    with subprocess.Popen([WGM, "deploy"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("== Set up the proxies"))
        process.send_signal(signal.SIGINT)
        said = process.stdout.read()
        assert process.wait(timeout=60) == 130
    assert "wgm deploy: interrupted, after" in said
    until(
        lambda: subprocess.run(["pgrep", "-f", "ansible-playbook.*site.yml"], check=False).returncode,
        "Ansible has ended",
    )
    assert wgm("deploy").returncode == 0
    assert wgm("--replay").stdout.splitlines()[-1].startswith("next: scripts/wgm migrate")


def test_remove_and_nothing_is_left_to_rotate() -> None:
    assert wgm("rotate-keys").returncode == 0
    assert wgm("remove").returncode == 0
    told = wgm("status")
    assert (told.returncode, told.stdout) == (
        1,
        f"client {CLIENT}\n{CLIENT}: nothing is deployed there: run scripts/wgm deploy\n",
    )
    done = wgm("rotate-keys")
    assert done.returncode == 2
    assert "so it has no keys to be replaced: run site.yml first." in done.stdout
