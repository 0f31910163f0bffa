"""A change that cuts the controller off is taken back: the machine is reachable again, and as before."""

from __future__ import annotations

import json

import pytest

from tests.lab.conftest import CLIENT, Lab, until

pytestmark = [pytest.mark.lab, pytest.mark.faults]
SECONDS = 15
CUTTING = {"client_management_sources": ["192.0.2.1/32"], "client_confirm_within": SECONDS}
"""Nobody at this address manages the lab: with such a list, answers to the controller are dropped."""
STATE = "cat /etc/wg-migrate/config.json; nft -s list table inet wg_migrate; ip rule; ip -6 rule; ls /etc/wg-migrate"


def cut_off(lab: Lab, *more: str) -> str:
    """Deploy the change and return what the run says, which fails."""
    arguments = ("--limit", CLIENT, "-e", json.dumps(CUTTING), "-e", "ansible_timeout=5", *more)
    done = lab.playbook("site.yml", *arguments)
    assert done.returncode != 0, done.stdout
    return done.stdout


def test_a_change_that_cuts_the_controller_off_is_taken_back(deployed: Lab) -> None:
    before = deployed.run(CLIENT, STATE)
    said = cut_off(deployed)
    assert "client_management_sources" in said or "UNREACHABLE" in said, said
    until(lambda: "wg-migrate" in deployed.run(CLIENT, "ls /etc", check=False), "it can be reached")
    until(lambda: deployed.run(CLIENT, STATE) == before, "it is as before")
    assert deployed.run(CLIENT, "curl -s -m 10 http://198.18.51.80/whoami").strip() == "198.18.51.20"
    assert "nobody confirmed the last change" in deployed.run(CLIENT, "journalctl -u wg-migrate-roll-back --no-pager")
