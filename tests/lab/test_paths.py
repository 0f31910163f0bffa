"""A path by a provider that is not ours, and one pinned to a second uplink, from the inventory to their removal."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.conftest import CLIENT, EXIT, ROOT, WEB, WEB_ADDRESS, Capture, Lab, health, until
from tests.lab.test_traffic import LEAKS, lost_pings

pytestmark = [pytest.mark.lab, pytest.mark.faults]
SECOND = "198.18.51.110"
PORT = "wgm-uplink2"
PINNED = "udp and host 198.18.51.12 and port 51820"
OWN = "10.64.0.7"
# What a provider has: a wg-quick interface of its own. It hides its customers behind its address.
PROVIDER = f"""
set -e
apt-get -qq update >/dev/null
apt-get -qq install --no-install-recommends wireguard-tools wireguard-go nftables >/dev/null
umask 077
cd /etc/wireguard
wg genkey >theirs
wg genkey >ours
cat >provider.conf <<END
[Interface]
PrivateKey = $(cat theirs)
Address = 10.64.0.1/24
ListenPort = 51821
PostUp = sysctl -q -w net.ipv4.ip_forward=1
PostUp = nft add table ip provider
PostUp = nft 'add chain ip provider out {{ type nat hook postrouting priority srcnat; }}'
PostUp = nft add rule ip provider out ip saddr 10.64.0.0/24 masquerade
PostDown = nft delete table ip provider
PostDown = sysctl -q -w net.ipv4.ip_forward=0
[Peer]
PublicKey = $(wg pubkey <ours)
AllowedIPs = {OWN}/32
END
wg-quick up provider 2>&1
"""
CUSTOMER = f"""
cat <<END
[Interface]
PrivateKey = $(cat /etc/wireguard/ours)
Address = {OWN}/32
DNS = 10.64.0.1
PostUp = touch /etc/a-provider-was-here

[Peer]
PublicKey = $(wg pubkey </etc/wireguard/theirs)
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = {WEB_ADDRESS}:51821
END
"""


@dataclass
class Given:
    """The lab, the inventory that names both kinds of paths, and the secret of the provider's file."""

    lab: Lab
    inventory: Path
    secret: str

    def play(self, playbook: str, *arguments: str) -> str:
        done = self.lab.playbook(playbook, *arguments, inventory=self.inventory)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        return done.stdout + done.stderr


def write_inventory(directory: Path, **variables: Any) -> Path:
    """Return the directory of a copy of the lab's inventory, in which the client has these variables too."""
    made = directory / "inventory"
    shutil.copytree(ROOT / "inventory" / "lab", made)
    hosts = yaml.safe_load((made / "hosts.yml").read_text())
    hosts["all"]["children"]["clients"]["hosts"][CLIENT].update(variables)
    (made / "hosts.yml").write_text(yaml.safe_dump(hosts))
    return made


def plug_in(lab: Lab) -> None:
    """Give the client a second uplink, in the same network as the first."""
    pid = subprocess.run(
        ["podman", "inspect", "--format={{.State.Pid}}", "wgm-client"], check=True, capture_output=True, text=True
    ).stdout.strip()
    for line in (
        f"ip link add {PORT} type veth peer name eth1 netns {pid}",
        f"ip link set {PORT} master {lab.bridge()} up",
    ):
        subprocess.run(line.split(), check=True)
    lab.run(CLIENT, f"ip address add {SECOND}/24 dev eth1; ip link set eth1 up")
    lab.run(CLIENT, "ip route add default via 198.18.51.1 dev eth1 metric 600")


@pytest.fixture(scope="module")
def given(deployed_afterwards: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Given]:
    lab = deployed_afterwards
    lab.run(WEB, PROVIDER, timeout=300)
    foreign = {"name": "provider", "config_file": "provider.conf", "leaves_from": [WEB_ADDRESS]}
    made = write_inventory(
        tmp_path_factory.mktemp("paths"), client_foreign_paths=[foreign], client_uplinks={"wgnet2": "eth1"}
    )
    text = lab.run(WEB, CUSTOMER)
    (made / "provider.conf").write_text(text)
    plug_in(lab)
    yield Given(lab, made, lab.run(WEB, "cat /etc/wireguard/ours").strip())
    lab.run(WEB, "wg-quick down provider; rm /etc/wireguard/*; apt-get -qq purge wireguard-tools wireguard-go nftables")
    subprocess.run(["ip", "link", "delete", PORT], check=False)


def test_a_device_that_is_not_there_and_a_file_that_is_not_are_refused_before_any_change(given: Given) -> None:
    broken = json.dumps(
        {
            "client_uplinks": {"wgnet2": "wlan9"},
            "client_foreign_paths": [{"name": "p", "config_file": "no.conf", "leaves_from": ["203.0.113.5"]}],
        }
    )
    done = given.lab.playbook("site.yml", "-e", broken, inventory=given.inventory)
    assert done.returncode != 0
    assert "client_foreign_paths: p: its config_file 'no.conf' cannot be read" in " ".join(done.stdout.split())
    broken = json.dumps({"client_uplinks": {"wgnet2": "wlan9"}})
    done = given.lab.playbook("site.yml", "-e", broken, inventory=given.inventory)
    assert done.returncode != 0
    assert "pinned to wlan9, and there is no such device: write one of eth0, eth1" in " ".join(done.stdout.split())
    assert "changed=1" not in done.stdout


def test_both_are_deployed_and_no_secret_is_told(given: Given) -> None:
    said = given.play("site.yml", "-vvv", "--diff")
    assert "PostUp of its file are not run" in " ".join(said.split())
    given.play("playbooks/migrate.yml", "-e", "migration_interval=0.1")
    until(lambda: health(given.lab) == dict.fromkeys(("wgnet1", "wgnet2", "wgnet3"), "up"), "all paths are up")
    again = given.play("site.yml", "--diff")
    assert "changed=0" in again.rpartition("PLAY RECAP")[2]
    assert "changed=1" not in again.rpartition("PLAY RECAP")[2]
    assert given.secret not in said + again
    assert given.lab.run(CLIENT, "stat -c %a /etc/wg-migrate/keys/provider.key").strip() == "600"
    assert given.lab.run(CLIENT, "ls /etc/a-provider-was-here", check=False) == ""
    told = given.lab.run(CLIENT, "wg-migrate status")
    assert "provider" in told
    assert "wgnet2 by eth1" in told


def test_verify_holds_and_the_pinned_path_is_on_its_uplink_alone(given: Given) -> None:
    first = given.lab.run(CLIENT, "cat /sys/class/net/eth0/address").strip()
    capture = Capture(given.lab.bridge(), f"({PINNED} and ether src {first})")
    leaks = Capture(given.lab.bridge(), f"{LEAKS} and not (udp and host {WEB_ADDRESS} and port 51821)")
    given.play("playbooks/verify.yml")
    assert capture.stop() == []
    assert leaks.stop() == []


def test_without_its_uplink_it_is_down_and_it_comes_back_with_it(given: Given) -> None:
    lab = given.lab
    first = lab.run(CLIENT, "cat /sys/class/net/eth0/address").strip()
    capture = Capture(lab.bridge(), f"({PINNED} and ether src {first})")
    lab.run(CLIENT, "ip link set eth1 down")
    until(lambda: health(lab)["wgnet2"] == "down", "the pinned path is down")
    assert lost_pings(lab, 100) == 0
    lab.run(CLIENT, f"ip address flush dev eth1; ip address add {SECOND[:-1]}1/24 dev eth1; ip link set eth1 up")
    lab.run(CLIENT, "ip route add default via 198.18.51.1 dev eth1 metric 600")
    until(lambda: health(lab)["wgnet2"] == "up", "it is back")
    assert capture.stop() == []


def test_a_rotation_leaves_the_providers_keys_alone_and_says_so(given: Given) -> None:
    look = "sha256sum /etc/wg-migrate/keys/provider.key /etc/wg-migrate/keys/provider.psk"
    before = given.lab.run(CLIENT, look)
    said = given.play("playbooks/rotate-keys.yml")
    assert "The keys of provider stay as they are" in " ".join(said.split())
    assert given.lab.run(CLIENT, look) == before
    until(lambda: set(health(given.lab).values()) == {"up"}, "all paths are up")


def test_the_providers_keys_and_its_door_go_with_its_path(given: Given) -> None:
    lab = given.lab
    assert WEB_ADDRESS in lab.run(EXIT, "nft list set inet wg_migrate_wg0 proxies")
    lab.play("site.yml")
    assert WEB_ADDRESS not in lab.run(EXIT, "nft list set inet wg_migrate_wg0 proxies")
    assert lab.run(CLIENT, "ls /etc/wg-migrate/keys | grep provider", check=False) == ""
    assert "eth1" not in lab.run(CLIENT, "ip rule; ip route show table all proto 87; nft list ruleset")
    until(lambda: health(lab) == {"wgnet1": "up", "wgnet2": "up"}, "the two paths of before are up")
