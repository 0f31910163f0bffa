"""What one shell command tells of a host: the facts as ansible.builtin.setup has them, and the refusals."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from wg_migrate import host_facts

DEVICES: list[dict[str, Any]] = [
    {
        "ifname": "lo", "mtu": 65536,
        "addr_info": [
            {"family": "inet", "local": "127.0.0.1", "prefixlen": 8},
            {"family": "inet6", "local": "::1", "prefixlen": 128},
        ],
    },
    {
        "ifname": "eth0", "mtu": 1500,
        "addr_info": [
            {"family": "inet", "local": "192.0.2.11", "prefixlen": 24},
            {"family": "inet", "local": "198.51.100.7", "prefixlen": 32},
            {"family": "inet6", "local": "2001:db8::11", "prefixlen": 64},
            {"family": "inet6", "local": "fe80::1", "prefixlen": 64},
        ],
    },
    {"ifname": "wgm-lab", "mtu": 1420, "addr_info": [{"local": "10.1.2.3", "address": "10.9.9.9", "prefixlen": 24}]},
]  # fmt: skip
ROUTE4 = [{"dst": "8.8.8.8", "gateway": "192.0.2.1", "dev": "eth0", "prefsrc": "192.0.2.11"}]


def answer(**sections: str) -> str:
    told = {
        "python": "Python 3.11.2",
        "user": "0",
        "connection": "198.51.100.1 50000 192.0.2.11 22",
        "devices": json.dumps(DEVICES),
        "default4": json.dumps(ROUTE4),
        "default6": "",
    }
    return "".join(f"=== {name}\n{text}\n" for name, text in {**told, **sections}.items())


def test_facts_have_the_names_of_setup() -> None:
    look = host_facts.read(answer())
    assert look.refusals == []
    assert look.facts == {
        "lo": {
            "device": "lo",
            "mtu": 65536,
            "ipv4": {"address": "127.0.0.1", "netmask": "255.0.0.0", "network": "127.0.0.0"},
            "ipv6": [{"address": "::1", "prefix": "128"}],
        },
        "eth0": {
            "device": "eth0",
            "mtu": 1500,
            "ipv4": {"address": "192.0.2.11", "netmask": "255.255.255.0", "network": "192.0.2.0"},
            "ipv6": [{"address": "2001:db8::11", "prefix": "64"}, {"address": "fe80::1", "prefix": "64"}],
        },
        # A peer's prefix says nothing of our side.
        "wgm_lab": {
            "device": "wgm-lab",
            "mtu": 1420,
            "ipv4": {"address": "10.1.2.3", "netmask": "255.255.255.255", "network": "10.1.2.3"},
        },
        "interfaces": ["lo", "eth0", "wgm-lab"],
        "all_ipv4_addresses": ["192.0.2.11", "198.51.100.7", "10.1.2.3"],
        "all_ipv6_addresses": ["2001:db8::11", "fe80::1"],
        "default_ipv4": {"interface": "eth0", "address": "192.0.2.11", "mtu": 1500},
        "default_ipv6": {},
        "env": {"SSH_CONNECTION": "198.51.100.1 50000 192.0.2.11 22"},
    }


def test_what_wireguard_needs_is_told_where_it_was_asked() -> None:
    lines = "can open-tun\ninstalled nftables\nconfig-files unbound\nno other firewall"
    assert host_facts.read(answer(wireguard=lines)).facts["wireguard"] == {
        "can": ["open-tun"],
        "installed": ["nftables"],
        "other_firewall": False,
    }
    assert host_facts.read(answer(wireguard="")).facts["wireguard"]["other_firewall"] is True
    assert "wireguard" not in host_facts.read(answer()).facts


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"user": "1000"}, "does not let Ansible become root: write an ansible_user that has sudo"),
        ({"python": ""}, "has no Python, and Ansible needs Python 3.9 or later there: install it"),
        ({"python": "Python 3.7.3"}, "has Python 3.7.3, and Ansible needs"),
        ({"python": "Python 2.7.18"}, "has Python 2.7.18, and Ansible needs"),
        ({"python": "sh: 1: python3: not found"}, "has no Python"),
    ],
)
def test_a_host_where_ansible_cannot_work_is_refused(sections: dict[str, str], message: str) -> None:
    refusals = host_facts.read(answer(**sections)).refusals
    assert len(refusals) == 1
    assert message in refusals[0]


@pytest.mark.parametrize("output", ["", "sudo: a password is required", "=== python\nPython 3.11.2\n"])
def test_a_host_that_says_nothing_is_not_root(output: str) -> None:
    assert host_facts.read(output) == host_facts.Look({}, [host_facts.NO_ROOT])


@pytest.mark.parametrize(
    "devices",
    [
        "", "nonsense", "{}", "[1]", "[" * 100_000, '[{"ifname": 1}]', '[{"ifname": "e", "addr_info": 5}]',
        '[{"ifname": "e", "mtu": 0.5, "addr_info": [7, {}, {"local": "x"}, {"local": "::1", "prefixlen": []}]}]',
    ],
)  # fmt: skip
def test_what_is_no_fact_is_left_out(devices: str) -> None:
    facts = host_facts.read(answer(devices=devices, default4=devices)).facts
    assert facts["all_ipv4_addresses"] == facts["all_ipv6_addresses"] == []
    assert facts["default_ipv4"] == {}
    assert [facts[name] for name in facts["interfaces"]] in ([], [{"device": "e"}])


def test_a_device_cannot_take_the_place_of_a_fact() -> None:
    devices = json.dumps([{"ifname": "env", "mtu": 1}, {"ifname": "interfaces", "mtu": 1}])
    facts = host_facts.read(answer(devices=devices)).facts
    assert facts["env"] == {"SSH_CONNECTION": "198.51.100.1 50000 192.0.2.11 22"}
    assert facts["interfaces"] == ["env", "interfaces"]


def ask(*packages: str, connection: str = "") -> str:
    """Return what a shell here answers, with nothing of ours in its way."""
    command = host_facts.questions("/nowhere/it's python", packages)
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **({"SSH_CONNECTION": connection} if connection else {})}
    return subprocess.run(
        ["sh", "-c", command], env=environment, capture_output=True, text=True, check=False, timeout=60
    ).stdout


def test_the_command_runs_in_a_plain_shell() -> None:
    names = ["python", "user", "connection", "devices", "default4", "default6", "wireguard"]
    answers = host_facts.answers_in(ask("no-such-package", connection="192.0.2.1 1 192.0.2.2 22"))
    assert list(answers) == names
    assert answers["connection"] == "192.0.2.1 1 192.0.2.2 22"
    assert list(host_facts.answers_in(ask())) == names[:-1]


def test_the_connection_is_found_behind_a_program_that_hides_it() -> None:
    hidden = ["env", "-u", "SSH_CONNECTION", "sh", "-c", host_facts.questions("python3"), "end"]
    # The shell between is what keeps the variable, as the shell that started sudo does.
    kept = subprocess.run(
        ["sh", "-c", '"$@"; true', "sh", *hidden],
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"},
        capture_output=True, text=True, check=False, timeout=60,
    ).stdout  # fmt: skip
    assert "=== connection\n192.0.2.1 1 192.0.2.2 22\n" in kept
