"""Bad input stops before the first host is changed, and the message says what to write instead."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from tests.lab.conftest import CLIENT, EXIT, ROOT, Lab

pytestmark = pytest.mark.lab
Inventory = dict[str, Any]
Change = Callable[[Inventory], None]
OLD_PYTHON = "/run/python3.7"
"""A stand-in for an old Python, which answers as 3.7 would."""


def hosts(inventory: Inventory, group: str) -> dict[str, Any]:
    found: dict[str, Any] = inventory["all"]["children"][group]["hosts"]
    return found


def variables(**values: object) -> Change:
    """Return a change that sets variables for all hosts."""
    return lambda inventory: inventory["all"].setdefault("vars", {}).update(values)


def host(group: str, name: str, **values: object) -> Change:
    """Return a change that sets variables of a host, which it adds where there is none."""
    return lambda inventory: hosts(inventory, group).setdefault(name, {}).update(values)


def empty(group: str) -> Change:
    """Return a change that leaves a group without hosts."""
    return lambda inventory: hosts(inventory, group).clear()


def both(*changes: Change) -> Change:
    """Return all of these changes as one."""

    def change(inventory: Inventory) -> None:
        for one in changes:
            one(inventory)

    return change


# What is wrong for one reason each, or is told at once for several: each costs a run of site.yml.
CASES: dict[str, tuple[Change, list[str]]] = {
    "no exit": (
        both(empty("exits"), variables(migration_interval=0, client_scope="machine")),
        [
            "no exits: put at least one host into group 'exits'",
            "write host (all traffic of the machine) or namespace",
            "write a number of seconds from 0.001 to 86400",
        ],
    ),
    "no proxies": (
        both(
            empty("proxies"),
            variables(network_overlay="10.87.0.0/16", network_inner="10.87.16.0/20", network_uplink_mtu=1400),
        ),
        [
            "no proxies: put at least one host into group 'proxies'",
            "overlap: write two that do not",
            "wg0 would have 1240 and needs 1280",
        ],
    ),
    "two exits": (
        both(
            host("exits", "exit2", ansible_host="198.18.51.21"),
            host("proxies", "wgnet2", ansible_host="198.18.51.11"),
            variables(network_overlay="10.99.0.0/31"),
        ),
        [
            "write network_exit: exit for it",
            "wgnet1 and wgnet2 have one address, 198.18.51.11: give each host its own",
            "Write a larger one, for example a /24",
        ],
    ),
    "networks of the uplink": (
        variables(network_inner="198.18.51.0/24"),
        ["collides with client's address 198.18.51.10: write a network that nothing else uses"],
    ),
    "network around the uplink's": (
        variables(network_inner="198.18.51.128/25"),
        ["of its eth0: write a network that nothing else uses"],
    ),
    "hosts where Ansible cannot work": (
        both(
            host("exits", "exit", ansible_python_interpreter=OLD_PYTHON),
            host("proxies", "wgnet1", ansible_become=False),
            host("proxies", "wgnet2", ansible_host="198.18.51.99", ansible_timeout=2),
        ),
        [
            "exit has Python 3.7.3",
            "needs Python 3.9 or later there: install it",
            "wgnet1 does not let Ansible become root",
            "wgnet2 cannot be reached by SSH at 198.18.51.99",
        ],
    ),
    "no package": (
        # On proxies: the client's way to its package sources is the tunnel, which leads to no private network.
        both(
            host("proxies", "wgnet1", wireguard_packages=["wireguard-tools", "nftables", "procps", "no-such-package"]),
            host("proxies", "wgnet2", wireguard_go_packages=["no-such-wireguard"]),
        ),
        ["its package sources have no no-such-package", "its package sources have no no-such-wireguard"],
    ),
    "no kernel WireGuard": (
        variables(wireguard_implementation="kernel"),
        ["Write wireguard_implementation: auto"],
    ),
}


def snapshot(lab: Lab, name: str) -> str:
    """Return what a deployment would change on a machine."""
    things = "dpkg-query -W; nft list ruleset; ip netns; ls -lR /etc/wireguard /etc/wg-migrate /usr/local 2>/dev/null"
    return lab.run(name, f"{things}; sysctl net.ipv4.ip_forward", check=False)


def write_inventory(directory: Path, change: Change) -> Path:
    """Return a copy of the lab's inventory with a change, in a place where the lab's variables are found too."""
    inventory = yaml.safe_load((ROOT / "inventory/lab/hosts.yml").read_text())
    change(inventory)
    (directory / "group_vars").symlink_to(ROOT / "inventory/lab/group_vars")
    path = directory / "hosts.yml"
    path.write_text(yaml.safe_dump(inventory))
    return path


@pytest.fixture(scope="module")
def runs(deployed: Lab, tmp_path_factory: pytest.TempPathFactory) -> dict[str, CompletedProcess[str]]:
    """Run site.yml with every bad inventory, several at a time, for none changes anything; give how each ended."""

    def run(inventory: Path) -> CompletedProcess[str]:
        return deployed.playbook("site.yml", inventory=inventory)

    # Before the threads: pytest's directories are not made for several at a time.
    inventories = [write_inventory(tmp_path_factory.mktemp("inventory"), change) for change, _ in CASES.values()]
    deployed.run(EXIT, f"printf '#!/bin/sh\\necho Python 3.7.3\\n' >{OLD_PYTHON}; chmod 755 {OLD_PYTHON}")
    before = snapshot(deployed, CLIENT)
    with ThreadPoolExecutor(os.cpu_count()) as at_once:
        found = dict(zip(CASES, at_once.map(run, inventories), strict=True))
    assert snapshot(deployed, CLIENT) == before
    return found


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused_before_any_change(runs: dict[str, CompletedProcess[str]], case: str) -> None:
    done, messages = runs[case], CASES[case][1]
    assert done.returncode != 0, done.stdout
    told = " ".join(done.stdout.split())
    assert [message for message in messages if message not in told] == [], done.stdout[-3000:]
    assert "changed=1" not in done.stdout


def test_playbook_and_loop_refuse_an_interval_alike(deployed: Lab) -> None:
    wanted = "write a number of seconds from 0.001 to 86400"
    before = deployed.status()["loop"]
    done = deployed.playbook("playbooks/migrate.yml", "-e", "migration_interval=nan")
    assert done.returncode != 0
    assert wanted in " ".join(done.stdout.split())
    ask = """
import json, socket
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stream:
    stream.connect("/run/wg-migrate/control.sock")
    stream.send(json.dumps({"command": "interval", "interval": "nan"}).encode())
    print(stream.recv(65536).decode())
"""
    assert wanted in deployed.run(CLIENT, f"python3 -c '{ask}'")
    after = deployed.status()["loop"]
    assert after["schedule"] == before["schedule"]
    assert after["running_seconds"] > before["running_seconds"], "the loop was restarted"
