"""scripts/wgm client: what the inventory remembers, what is printed where, and what is refused. No host is touched."""

from __future__ import annotations

import base64
import itertools
import json
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from wg_migrate.inventory import Host as PlannedHost
from wg_migrate.inventory import Inventory as Planned
from wg_migrate.network import plan_network

from observe.hosts import Host, Inventory, load
from wgm import cli, devices, log, run
from wgm.commands import ROOT
from wgm.log import Asked
from wgm.record import Record

HOSTS = """
all:
  vars: {network_diversity: ignore}
  children:
    clients: {hosts: {laptop: {ansible_host: 192.0.2.10}}}
    proxies: {hosts: {p1: {ansible_host: 198.51.100.1}, p2: {ansible_host: 203.0.113.2}}}
    exits: {hosts: {exit: {ansible_host: 192.0.2.30}}}
"""
GROUPS = {"clients": "client", "proxies": "proxy", "exits": "exit"}
TOLD = f"[Interface]\nPrivateKey = {devices.PLACE_OF_KEY}\n[Peer]\nPublicKey = the exit's"


def read(sources: Sequence[str]) -> Inventory:
    """Return the inventory as Ansible reads it, as far as these tests write it; Ansible itself takes a second."""
    directory = Path(sources[0])
    written = yaml.safe_load((directory / "hosts.yml").read_text())["all"]
    groups: dict[str, list[PlannedHost]] = {}
    for group in GROUPS:
        groups[group] = []
        for name, variables in written["children"][group]["hosts"].items():
            own = directory / "host_vars" / name
            files = [directory / "group_vars" / f"{group}.yml"]
            files += sorted(own.iterdir()) if own.is_dir() else [own.with_suffix(".yml")]
            texts = [yaml.safe_load(file.read_text()) for file in files if file.exists()]
            beside = {key: value for each in texts if isinstance(each, dict) for key, value in each.items()}
            groups[group].append(PlannedHost(name, written["vars"] | variables | beside))
    network = plan_network(Planned(*groups.values()))
    assert network.errors == []
    hosts = {
        each.name: Host(each.name, GROUPS[group], each.address, 22, "ops", each.address, (), ())
        for group, members in groups.items()
        for each in members
    }
    return Inventory(hosts, network.hosts, dict.fromkeys(hosts, str(directory)))


class Ansible:
    """What the command has asked of it: the runs, and what the inventory's file said meanwhile."""

    def __init__(self, kept: Path) -> None:
        self.status = 0
        self.told = TOLD
        self.error: type[BaseException] | None = None
        self.asked: list[Asked] = []
        self.variables: list[Mapping[str, Any]] = []
        self.read: list[str] = []
        self._kept = kept

    def play(self, asked: Asked, variables: Mapping[str, Any], secret: None, take: Callable[[Record], None]) -> int:
        self.asked.append(asked)
        self.variables.append(variables)
        self.read.append(self._kept.read_text() if self._kept.exists() else "")
        if self.error:
            raise self.error
        if self.status == 0 and self.told:
            take(Record(1.0, "told", "Tell", devices.TELLS, "exit", self.told))
        return self.status


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    made = tmp_path / "mine"
    made.mkdir()
    (made / "hosts.yml").write_text(HOSTS)
    return made


@pytest.fixture
def kept(inventory: Path) -> Path:
    return inventory / "host_vars" / "exit" / "devices.yml"


@pytest.fixture
def ansible(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ansible:
    made = Ansible(kept)
    monkeypatch.setattr(run, "play", made.play)
    monkeypatch.setattr(devices, "load", read)
    monkeypatch.setattr(os, "getpid", itertools.count().__next__)  # in the names of logs
    monkeypatch.setattr(log.Log.__init__, "__defaults__", (tmp_path / "logs",))
    return made


def entries(kept: Path) -> list[dict[str, str]]:
    found: list[dict[str, str]] = yaml.safe_load(kept.read_text())["network_devices"]
    return found


def public_key(configuration: str) -> str:
    line = next(line for line in configuration.splitlines() if line.startswith("PrivateKey = "))
    raw = base64.b64decode(line.removeprefix("PrivateKey = "))
    return base64.b64encode(X25519PrivateKey.from_private_bytes(raw).public_key().public_bytes_raw()).decode()


def client(*words: str, inventory: Path) -> int:
    return cli.main(["client", *words, "-i", str(inventory)])


def test_a_device_is_remembered_and_its_configuration_printed_once(
    ansible: Ansible, inventory: Path, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert client("add", "phone", inventory=inventory) == 0
    out, err = capsys.readouterr()
    (entry,) = entries(kept)
    assert out == TOLD.replace(devices.PLACE_OF_KEY, out.splitlines()[1].partition(" = ")[2]) + "\n"
    assert entry == {"name": "phone", "address": "10.87.32.2", "public_key": public_key(out)}
    assert stat.S_IMODE(kept.stat().st_mode) == 0o644
    # Ansible had it in the inventory, and this exit alone to do.
    assert ansible.read == [kept.read_text()]
    assert (ansible.asked[0].limit, ansible.asked[0].playbook) == ("exit", "playbooks/devices.yml")
    assert ansible.variables == [{"device_name": "phone"}]
    assert "phone does not migrate: it has one path." in err
    assert f"{kept} remembers phone" in err


@pytest.mark.usefixtures("ansible")
def test_ansible_itself_reads_what_is_remembered(inventory: Path) -> None:
    assert client("add", "phone", inventory=inventory) == 0
    found = load([str(inventory)])
    assert [each["name"] for each in found.plan["exit"]["devices"]] == ["phone"]
    assert found.directories["exit"] == str(inventory)


def test_the_private_key_is_nowhere_but_in_what_is_printed(
    ansible: Ansible, inventory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert client("add", "phone", inventory=inventory) == 0
    out, err = capsys.readouterr()
    secret = out.splitlines()[1].partition(" = ")[2]
    assert secret not in err
    assert secret not in repr((ansible.asked, ansible.variables))
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 3  # the hosts, the devices, the log
    assert not [text for text in written if secret in text or "PrivateKey" in text]


def test_another_device_comes_beside_the_first_and_each_goes_alone(
    ansible: Ansible, inventory: Path, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("phone", "tablet"):
        assert client("add", name, inventory=inventory) == 0
    assert [(each["name"], each["address"]) for each in entries(kept)] == [
        ("phone", "10.87.32.2"),
        ("tablet", "10.87.32.3"),
    ]
    capsys.readouterr()
    assert client("list", inventory=inventory) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["device", "exit", "address", "public", "key"]
    assert [row[:3] for row in rows[1:]] == [["phone", "exit", "10.87.32.2"], ["tablet", "exit", "10.87.32.3"]]
    assert client("remove", "phone", inventory=inventory) == 0
    assert [each["name"] for each in entries(kept)] == ["tablet"]
    assert ansible.asked[-1].limit == "exit"
    assert client("remove", "tablet", inventory=inventory) == 0
    assert [path.name for path in inventory.iterdir()] == ["hosts.yml"]
    capsys.readouterr()
    assert client("list", inventory=inventory) == 0
    assert capsys.readouterr().out.startswith("no device is served: ")


@pytest.mark.parametrize("status", [2, 4, 130])
def test_a_device_that_could_not_be_added_is_not_in_the_inventory(
    status: int, ansible: Ansible, inventory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ansible.status = status
    assert client("add", "phone", inventory=inventory) == status
    out, err = capsys.readouterr()
    assert '"name": "phone"' in json.dumps(yaml.safe_load(ansible.read[0]))
    assert [path.name for path in inventory.iterdir()] == ["hosts.yml"]
    assert (out, "The inventory is as it was, without the device." in err) == ("", True)


def test_nor_is_one_whose_run_ended_by_an_error_of_ours(ansible: Ansible, inventory: Path, kept: Path) -> None:
    ansible.error = RuntimeError
    with pytest.raises(RuntimeError):
        client("add", "phone", inventory=inventory)
    assert not kept.exists()


def test_nor_is_one_of_which_the_exit_was_told_nothing(
    ansible: Ansible, inventory: Path, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ansible.told = ""
    assert client("add", "phone", inventory=inventory) == 1
    out, err = capsys.readouterr()
    assert (out, kept.exists()) == ("", False)
    assert err.splitlines()[-1].startswith("wgm: exit serves no device phone: something overrides what")


def test_a_device_whose_removal_failed_stays_out_of_the_inventory(
    ansible: Ansible, inventory: Path, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert client("add", "phone", inventory=inventory) == 0
    ansible.status = 2
    assert client("remove", "phone", inventory=inventory) == 2
    assert not kept.exists()
    assert "its exit may still let it in: put right what is named above and run scripts/wgm deploy" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["add", "a b"], "'a b' cannot be a device's name: write at most 100 letters"),
        (["add", "../phone"], "'../phone' cannot be a device's name"),
        (["add", "laptop"], "laptop is a host of the inventory: write another name for the device"),
        (["add", "phone", "--exit", "p1"], "p1 is no exit: write --exit with one of exit"),
        (["remove", "phone"], "no exit serves a device phone: scripts/wgm client list names those that are served"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    words: list[str], says: str, ansible: Ansible, inventory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert client(*words, inventory=inventory) == 1
    assert capsys.readouterr().err.startswith(f"wgm: {says}")
    assert (ansible.asked, [path.name for path in inventory.iterdir()]) == ([], ["hosts.yml"])


@pytest.mark.usefixtures("ansible")
def test_a_name_that_is_served_already_is_refused(
    inventory: Path, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert client("add", "phone", inventory=inventory) == 0
    before = kept.read_text()
    assert client("add", "phone", inventory=inventory) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("wgm: exit serves a device phone already: write another")
    assert kept.read_text() == before


def test_of_several_exits_one_must_be_named(
    ansible: Ansible, inventory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    several = yaml.safe_load(HOSTS)
    several["all"]["children"]["exits"]["hosts"]["second"] = {"ansible_host": "192.0.2.31"}
    several["all"]["vars"]["network_exit"] = "exit"
    (inventory / "hosts.yml").write_text(yaml.safe_dump(several))
    assert client("add", "phone", inventory=inventory) == 1
    assert "there are 2 exits, and a device is served by one: write --exit with one of exit, second" in (
        capsys.readouterr().err
    )
    assert client("add", "phone", "--exit", "second", inventory=inventory) == 0
    assert (inventory / "host_vars" / "second" / "devices.yml").exists()
    assert ansible.asked[0].limit == "second"


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("host_vars/exit.yml", "network_listen_port: 443\n", "would not be read any more beside a directory"),
        ("group_vars/exits.yml", "network_devices: [{entry}]\n", "network_devices of exit stand elsewhere than in"),
        ("host_vars/exit/main.yml", "network_devices: [{entry}]\n", "network_devices of exit stand elsewhere than in"),
        ("host_vars/exit/devices.yml", "network_devices: []\nmore: 1\n", "holds more or less than network_devices"),
        ("host_vars/exit/devices.yml", "[]\n", "holds more or less than network_devices"),
    ],
)
def test_what_stands_elsewhere_in_the_inventory_is_neither_hidden_nor_overwritten(
    file: str, text: str, says: str, ansible: Ansible, inventory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = f'{{name: old, address: 10.87.32.9, public_key: "{base64.b64encode(bytes(32)).decode()}"}}'
    path = inventory / file
    path.parent.mkdir(parents=True)
    path.write_text(text.replace("{entry}", entry))
    before = path.read_text()
    assert client("add", "phone", inventory=inventory) == 1
    assert says in capsys.readouterr().err
    assert (ansible.asked, path.read_text()) == ([], before)


@pytest.mark.usefixtures("ansible")
def test_the_drawn_code_is_as_wide_as_a_terminal(inventory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert client("add", "phone", "--qr", inventory=inventory) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {*"".join(lines)} == {*" ▀▄█"}
    wide = len(lines[0])
    assert {len(line) for line in lines} == {wide}
    assert wide < 80


def test_the_playbook_says_what_the_command_listens_for() -> None:
    plays = yaml.safe_load((ROOT / "playbooks" / "devices.yml").read_text())
    assert devices.TELLS in [task["name"] for play in plays for task in play.get("tasks", [])]
    template = (ROOT / "playbooks" / "templates" / "device.conf.j2").read_text()
    assert f"PrivateKey = {devices.PLACE_OF_KEY}\n" in template


@pytest.mark.parametrize("words", [["client"], ["client", "add"], ["client", "list", "--qr"]])
def test_a_command_line_that_is_not_understood(words: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(words)
    assert left.value.code == 64
