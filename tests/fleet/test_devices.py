"""A device that does not migrate, from `scripts/wgm client add` to its end.

A network namespace stands for a phone; it has wg-quick with what was printed, and nothing else.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fleet.conftest import logs, wgm
from tests.lab.conftest import CLIENT, EXIT, ROOT, WEB, WEB_ADDRESS, Lab

pytestmark = pytest.mark.lab
PHONE = "wgm-phone"
PORT, ADDRESS, GATEWAY = "wgm-phone0", "198.18.51.99", "198.18.51.1"
EXIT_ADDRESS = "198.18.51.20"
OWN, CLIENTS_OWN = "10.87.32.1", "10.87.16.1"
PRIVATE = "10.64.0.1"
# The controller need not have one; a phone's system does the same with the DNS of a configuration.
RESOLVCONF = '#!/bin/sh\nif [ "$1" = -a ]; then cat >/etc/resolv.conf; fi\n'


def inside(*argv: str) -> subprocess.CompletedProcess[str]:
    words = ["ip", "netns", "exec", PHONE, *argv]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def curl(*words: str) -> str:
    """Return what a web server answers the device, nothing where none does."""
    return inside("curl", "--silent", "--show-error", "--max-time", "3", *words).stdout


@dataclass
class Phone:
    """The device: its configuration as it was printed, and the copy of the lab's inventory that remembers it."""

    lab: Lab
    inventory: Path
    configuration: str
    told: str

    @property
    def private_key(self) -> str:
        return str(re.findall(r"^PrivateKey = (\S{44})$", self.configuration, re.MULTILINE)[0])

    def wgm(self, *words: str) -> subprocess.CompletedProcess[str]:
        return wgm(*words, "-i", str(self.inventory))


@contextlib.contextmanager
def machine(lab: Lab, files: Path) -> Iterator[None]:
    """Make a machine on the wire which reaches nothing but by its router, as by a mobile network."""
    etc = Path("/etc/netns") / PHONE
    etc.mkdir(parents=True)
    (etc / "resolv.conf").write_text("nameserver 192.0.2.53\n")
    (files / "resolvconf").write_text(RESOLVCONF)
    (files / "resolvconf").chmod(0o755)
    try:
        for line in (
            f"ip netns add {PHONE}",
            f"ip link add {PORT} type veth peer name eth0 netns {PHONE}",
            f"ip link set {PORT} master {lab.bridge()} up",
            f"ip -n {PHONE} link set lo up",
            f"ip -n {PHONE} address add {ADDRESS}/32 dev eth0",
            f"ip -n {PHONE} link set eth0 up",
            f"ip -n {PHONE} route add default via {GATEWAY} dev eth0 onlink",
        ):
            subprocess.run(line.split(), check=True)
        yield
    finally:
        subprocess.run(["ip", "link", "delete", PORT], check=False)
        subprocess.run(["ip", "netns", "delete", PHONE], check=False)
        shutil.rmtree(etc)


@pytest.fixture(scope="module")
def phone(deployed: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phone]:
    """Add a device, and have it up."""
    lab = deployed
    files = tmp_path_factory.mktemp("phone")
    # Where it finds the lab's keys as the lab's own does.
    inventory = ROOT / "build" / "inventory-with-devices"
    shutil.rmtree(inventory, ignore_errors=True)
    shutil.copytree(ROOT / "inventory" / "lab", inventory)
    lab.run(EXIT, "ip route add 10.64.0.0/24 via 198.18.51.80")
    lab.run(WEB, f"ip address add {PRIVATE}/32 dev lo")
    path = files / "phone.conf"
    with machine(lab, files):
        done = wgm("client", "add", "phone", "-i", str(inventory))
        assert done.returncode == 0, done.stdout + done.stderr
        path.touch(mode=0o600)
        path.write_text(done.stdout)
        up = inside("env", f"PATH={files}:/usr/sbin:/usr/bin:/sbin:/bin", "wg-quick", "up", str(path))
        assert up.returncode == 0, up.stderr
        yield Phone(lab, inventory, done.stdout, done.stderr)
        inside("env", f"PATH={files}:/usr/sbin:/usr/bin:/sbin:/bin", "wg-quick", "down", str(path))
    shutil.rmtree(inventory)
    lab.run(WEB, f"ip address delete {PRIVATE}/32 dev lo")
    lab.run(EXIT, "ip route delete 10.64.0.0/24")
    lab.play("site.yml", "--limit", EXIT)


@pytest.mark.usefixtures("phone")
def test_it_reaches_the_web_by_the_exit_and_asks_the_exits_resolver() -> None:
    assert curl(f"http://{WEB_ADDRESS}/whoami").strip() == EXIT_ADDRESS
    assert (Path("/etc/netns") / PHONE / "resolv.conf").read_text().split() == ["nameserver", OWN]
    assert curl("http://web.lab.test/whoami").strip() == EXIT_ADDRESS
    assert inside("ping", "-c", "1", "-W", "5", OWN).returncode == 0


def test_it_reaches_nothing_else(phone: Phone) -> None:
    def greets(address: str, port: int = 22) -> bool:
        return "SSH-2.0" in curl(f"telnet://{address}:{port}", "--output", "-")

    assert phone.lab.run(EXIT, f"curl -s --max-time 5 http://{PRIVATE}/whoami").strip() != ""
    assert curl(f"http://{PRIVATE}/whoami") == ""
    assert "SSH-2.0" in phone.lab.run(EXIT, f"timeout 5 bash -c 'head -1 </dev/tcp/{OWN}/22'")
    for address in (EXIT_ADDRESS, OWN, CLIENTS_OWN):
        assert not greets(address)
    client = phone.lab.run(CLIENT, "ip -4 -o address show dev wg0").split()[3].partition("/")[0]
    for address in (client, CLIENTS_OWN):
        assert inside("ping", "-c", "1", "-W", "2", address).returncode != 0
    # The lab's IPv6 is private, and excepted for clients alone.
    assert curl("http://[fd51:db8::80]/whoami") == ""


def test_the_private_key_is_nowhere_but_in_what_was_printed(phone: Phone) -> None:
    assert phone.private_key not in logs() + phone.told
    places = [str(ROOT / "build" / "wgm"), str(phone.inventory), str(ROOT / "inventory")]
    found = subprocess.run(["grep", "-rlF", phone.private_key, *places], capture_output=True, text=True, check=False)
    assert found.stdout == ""
    # Not as a word of the command, which sudo writes into the journal.
    look = 'read -r key; grep -rlF "$key" /etc /var /run /tmp; journalctl --no-pager | grep -cF "$key"'
    assert phone.lab.run(EXIT, look, check=False, stdin=f"{phone.private_key}\n").split() == ["0"]


def test_it_is_said_plainly_what_such_a_device_is_not(phone: Phone) -> None:
    assert "phone does not migrate: it has one path." in phone.told
    assert "No firewall of wg-migrate's keeps its packets in the tunnel" in phone.told
    assert phone.configuration.startswith(f"# phone: one path, to {EXIT}. It does not migrate.\n")


def test_a_deployment_leaves_it_there_and_changes_nothing_and_a_rotation_leaves_it_alone(phone: Phone) -> None:
    again = phone.wgm("deploy")
    assert again.returncode == 0, again.stdout
    assert re.search(r"results, 0 changed$", again.stdout, re.MULTILINE), again.stdout
    rotated = phone.wgm("rotate-keys")
    assert rotated.returncode == 0, rotated.stdout
    assert phone.lab.run(EXIT, "ls -A /etc/wireguard/next", check=False) == ""
    assert curl(f"http://{WEB_ADDRESS}/whoami").strip() == EXIT_ADDRESS


def test_an_exit_that_is_not_reached_leaves_the_inventory_as_it_was(phone: Phone, tmp_path: Path) -> None:
    kept = phone.inventory / "host_vars" / EXIT / "devices.yml"
    before = kept.read_text()
    away = tmp_path / "away.yml"
    away.write_text(f"all: {{hosts: {{{EXIT}: {{ansible_port: 1}}}}}}\n")
    done = wgm("client", "add", "tablet", "-i", str(phone.inventory), "-i", str(away))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{EXIT} cannot be reached by SSH at {EXIT_ADDRESS}" in done.stderr
    assert "The inventory is as it was, without the device." in done.stderr
    assert kept.read_text() == before


def test_a_second_device_comes_and_goes_without_the_first(phone: Phone) -> None:
    assert phone.wgm("client", "add", "tablet", "--qr").returncode == 0
    assert [line.split()[:2] for line in phone.wgm("client", "list").stdout.splitlines()[1:]] == [
        ["phone", EXIT],
        ["tablet", EXIT],
    ]
    assert phone.wgm("client", "remove", "tablet").returncode == 0
    assert curl(f"http://{WEB_ADDRESS}/whoami").strip() == EXIT_ADDRESS


def test_with_the_last_device_goes_all_of_it(phone: Phone) -> None:
    traces = "find / -xdev -name '*wgdev*' -not -path '/proc/*'; ip link | grep wgdev; nft list tables | grep wgdev"
    assert phone.lab.run(EXIT, traces, check=False) != ""
    done = phone.wgm("client", "remove", "phone")
    assert done.returncode == 0, done.stdout
    assert phone.lab.run(EXIT, traces, check=False) == ""
    assert OWN not in phone.lab.run(EXIT, "cat /etc/unbound/wg-migrate.conf; ss -Hlun")
    assert curl(f"http://{WEB_ADDRESS}/whoami") == ""
    assert not (phone.inventory / "host_vars").exists()
    assert "no device is served" in phone.wgm("client", "list").stdout


def test_a_removal_takes_it_away_too(phone: Phone) -> None:
    assert phone.wgm("client", "add", "phone").returncode == 0
    assert phone.lab.run(EXIT, "wg show wgdev peers") != ""
    assert phone.wgm("remove", "--limit", EXIT).returncode == 0
    assert (
        phone.lab.run(EXIT, "find / -xdev -name '*wgdev*' -not -path '/proc/*'; ip -br link | grep wgdev", check=False)
        == ""
    )
    assert phone.lab.run(EXIT, "sysctl -n net.ipv6.conf.all.forwarding").strip() == "0"
    assert phone.wgm("client", "remove", "phone").returncode == 0
    assert phone.wgm("deploy").returncode == 0
