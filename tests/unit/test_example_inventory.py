"""inventory/example is what README.md tells to copy: it is right as it stands, and so is each line that it proposes."""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_provider_file import TEXT

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "inventory" / "example"
EXAMPLE_NETWORKS = [ipaddress.ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")]
"""RFC 5737."""
PROPOSED = re.compile(r"^( *)# ((\w+): .+)$", re.MULTILINE)
"""A setting behind a '#', as opposed to a sentence, in which no '_' comes before a ':'."""


def read(inventory: Path) -> tuple[dict[str, dict[str, Any]], dict[str, list[str]]]:
    """Return the hosts' variables and the groups, as Ansible reads them."""
    listed = subprocess.run(
        [Path(sys.executable).parent / "ansible-inventory", "-i", inventory, "--list"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert listed.stderr == ""
    found = json.loads(listed.stdout)
    return found.pop("_meta")["hostvars"], {name: group["hosts"] for name, group in found.items() if "hosts" in group}


def errors(hostvars: dict[str, dict[str, Any]], groups: dict[str, list[str]]) -> list[str]:
    """Return what filter wg_network says against an inventory."""
    spec = importlib.util.spec_from_file_location("network_filter", ROOT / "filter_plugins" / "network.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: list[str] = module.wg_network(hostvars, groups)["errors"]
    return found


def proposals(text: str) -> list[str]:
    return [name for _indent, _setting, name in PROPOSED.findall(text) if "_" in name]


@pytest.fixture(scope="module")
def example() -> tuple[dict[str, dict[str, Any]], dict[str, list[str]]]:
    return read(EXAMPLE)


def test_the_network_can_be_planned(example: tuple[dict[str, Any], dict[str, list[str]]]) -> None:
    hostvars, groups = example
    assert {name: len(hosts) for name, hosts in groups.items()} == {"clients": 1, "proxies": 2, "exits": 1}
    assert errors(hostvars, groups) == []


def test_group_variables_reach_the_clients(example: tuple[dict[str, Any], dict[str, list[str]]]) -> None:
    hostvars, _groups = example
    assert hostvars["laptop"]["client_scope"] == "namespace"
    assert hostvars["laptop"]["migration_interval"] == 0.1


def test_addresses_are_those_for_examples(example: tuple[dict[str, Any], dict[str, list[str]]]) -> None:
    addresses = [ipaddress.ip_address(variables["ansible_host"]) for variables in example[0].values()]
    assert [address for address in addresses if not any(address in network for network in EXAMPLE_NETWORKS)] == []


def test_every_proposed_line_may_be_taken(tmp_path: Path) -> None:
    copy = tmp_path / "mine"
    shutil.copytree(EXAMPLE, copy)
    proposed = []
    for file in copy.rglob("*.yml"):
        text = file.read_text()
        proposed += proposals(text)
        file.write_text(PROPOSED.sub(lambda match: match[1] + match[2] if "_" in match[3] else match[0], text))
    (copy / "provider.conf").write_text(TEXT.replace("198.51.100.40", "192.0.2.40"))  # far from the proxies
    hostvars, groups = read(copy)
    for variables in hostvars.values():
        variables["inventory_dir"] = str(copy)  # Ansible adds it in a run
    assert len(proposed) >= 7
    assert [name for name in proposed if not any(name in variables for variables in hostvars.values())] == []
    assert errors(hostvars, groups) == []


def test_every_variable_is_one_that_is_read() -> None:
    texts = [path.read_text() for path in EXAMPLE.rglob("*.yml")]
    named = {name for text in texts for name in [*re.findall(r"^\s*(\w+_\w+): ", text, re.MULTILINE), *proposals(text)]}
    documented = (ROOT / "README.md").read_text() + (ROOT / "docs" / "variables.md").read_text()
    readers = [*(ROOT / "playbooks").glob("*.yml"), *(ROOT / "action_plugins").glob("*.py")]
    code = "".join(path.read_text() for path in readers)
    unknown = {name for name in named if f"`{name}`" not in documented and not re.search(rf"\b{name}\b", code)}
    assert unknown == set()
