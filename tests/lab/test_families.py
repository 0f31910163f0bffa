"""Clients reach one proxy over IPv4 and the next over IPv6, and both go on to an exit that is reached over IPv6."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.conftest import Lab, all_up, until
from tests.lab.test_revocation import inventory

pytestmark = [pytest.mark.lab, pytest.mark.faults]


def test_paths_of_both_families_end_at_an_exit_of_one(deployed_afterwards: Lab, tmp_path: Path) -> None:
    mixed = inventory(
        tmp_path,
        proxies={"wgnet1": {"ansible_host": "198.18.51.11"}, "wgnet2": {"ansible_host": "fd51:db8::12"}},
        exits={"exit": {"ansible_host": "fd51:db8::20"}},
    )
    for playbook in ("site.yml", "playbooks/migrate.yml", "playbooks/verify.yml"):
        done = deployed_afterwards.playbook(playbook, "-e", "migration_interval=0.1", inventory=mixed)
        assert done.returncode == 0, done.stdout
        # To an address that is new, WireGuard shakes hands when it next tries to, every 5 s.
        until(lambda: all_up(deployed_afterwards), "both paths are up")
