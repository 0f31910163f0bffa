"""A client or a proxy that comes, and one that goes: nobody else notices, and of what has gone nothing is left."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.conftest import CLIENT, EXIT, PROXIES, ROOT, WEB, Lab, all_up, until
from tests.lab.test_rough_wire import handshakes
from tests.lab.test_traffic import EXIT_ADDRESS

pytestmark = [pytest.mark.lab, pytest.mark.faults]
SERVERS = (*PROXIES, EXIT)
KEYS = "/etc/wg-migrate/keys"
APART = 0.02
"""Seconds between two pings."""
WHOAMI = "wg-migrate exec -- curl -s -m 5 http://198.18.51.80/whoami"


def inventory(directory: Path, **groups: dict[str, Any]) -> Path:
    """Write the lab's inventory with other hosts in some groups, and return its directory."""
    made = directory / "inventory"
    shutil.copytree(ROOT / "inventory" / "lab", made)
    hosts = yaml.safe_load((made / "hosts.yml").read_text())
    for group, members in groups.items():
        hosts["all"]["children"][group]["hosts"] = members
    (made / "hosts.yml").write_text(yaml.safe_dump(hosts))
    return made


@contextmanager
def unnoticed(lab: Lab, silence: float = 0.0) -> Iterator[None]:
    """Demand that the client's pings are lost for at most so many seconds, and that no tunnel is made anew."""
    before = {name: path["packets_up"] for name, path in lab.status()["paths"].items()}
    file = "/run/pings"
    lab.run(
        CLIENT,
        f"systemd-run --quiet --unit=pings sh -c 'fping -l -p {APART * 1000:.0f} -t 2000 198.18.51.80 >{file} 2>&1'",
    )
    try:
        yield
    finally:
        # What is on its way when fping ends has no answer, and is not lost: only what has waited its 2 s is.
        lab.run(CLIENT, "sleep 3; systemctl kill --signal INT pings")
    until(lambda: "loss" in lab.run(CLIENT, f"tail -n 1 {file}"), "fping says what it has seen")
    said = lab.run(CLIENT, f"cat {file}; rm {file}")
    answered, lost = said.count(" bytes, "), said.count("timed out")
    print(f"{answered} pings answered, {lost} lost")
    assert answered > 100
    assert lost * APART <= silence
    after = lab.status()["paths"]
    # A device that was made anew counts from nothing.
    assert [name for name in before if name in after and after[name]["packets_up"] < before[name]] == []


def play(lab: Lab, name: str, chosen: Path | None, *arguments: str) -> None:
    done = lab.playbook(name, *arguments, inventory=chosen)
    assert done.returncode == 0, done.stdout[-6000:]


def public_keys(lab: Lab, host: str, peer: str) -> set[str]:
    """Return the public keys that a host has towards its peers, and the preshared keys: what others know it by."""
    pairs = lab.run(host, f"for key in {KEYS}/{peer}.key; do wg pubkey <$key; done")
    return {*pairs.split(), *lab.run(host, f"cat {KEYS}/{peer}.psk").split()}


def known(lab: Lab, host: str) -> str:
    """Return all that a host knows of its peers: files, what runs, firewall."""
    files = "find /etc/wireguard /etc/wg-migrate /var/lib/wg-migrate -type f 2>/dev/null | xargs -r tail -n +1"
    running = "wg show all dump; ip netns exec wgnet wg show all dump 2>/dev/null; nft list ruleset; ip route"
    return lab.run(host, f"{files}; {running}")


def test_a_client_comes_and_goes(deployed: Lab, tmp_path: Path) -> None:
    """The lab's web server is the other client, with scope namespace, so that it goes on being one."""
    lab = deployed
    before = handshakes(lab)
    clients = {CLIENT: {"ansible_host": "198.18.51.10"}}
    other = {WEB: {"ansible_host": "198.18.51.80", "client_scope": "namespace"}}
    with_two = inventory(tmp_path, clients=clients | other)
    try:
        with unnoticed(lab):
            play(lab, "site.yml", with_two)
        # From the machine itself to its own server: by way of the exit, as from anywhere.
        until(lambda: lab.run(WEB, WHOAMI, check=False).strip() == EXIT_ADDRESS, "the other client has its tunnel")
        addresses = yaml.safe_load(lab.run(WEB, "cat /etc/wg-migrate/config.json"))
        traces = public_keys(lab, WEB, "*") | {addresses["overlay_address"], addresses["inner_address"]}
        assert len(traces) == 8
        for server in SERVERS:
            assert [trace for trace in traces if trace in known(lab, server)] != []
        with unnoticed(lab):
            play(lab, "site.yml", None)
        for server in SERVERS:
            assert [trace for trace in traces if trace in known(lab, server)] == []
        assert lab.run(WEB, WHOAMI, check=False).strip() != EXIT_ADDRESS
    finally:
        play(lab, "playbooks/remove.yml", with_two, "--limit", WEB)
    assert all(after >= before[name] for name, after in handshakes(lab).items())


def test_a_proxy_goes_and_comes_back(deployed: Lab, tmp_path: Path) -> None:
    lab = deployed
    gone, stays = PROXIES[1], PROXIES[0]
    traces = {"198.18.51.12", *public_keys(lab, CLIENT, gone), lab.run(gone, "wg show wgnet public-key").strip()}
    with_one = inventory(tmp_path, proxies={stays: {"ansible_host": "198.18.51.11"}})
    try:
        # The exit may close its door to that proxy before the client has left the path, whose probes it still answers.
        with unnoticed(lab, silence=3.0):
            play(lab, "site.yml", with_one)
        until(lambda: all_up(lab), "one path is enough")
        for host in (CLIENT, EXIT):
            assert [trace for trace in traces if trace in known(lab, host)] == []
        assert lab.run(CLIENT, f"ls {KEYS}").split() == ["exit.key", "exit.psk", f"{stays}.key", f"{stays}.psk"]
    finally:
        with unnoticed(lab):
            play(lab, "site.yml", None)
    until(lambda: all_up(lab) and len(lab.status()["paths"]) == 2, "the other path is there again")
    assert not traces & public_keys(lab, CLIENT, gone), "its keys are new"
