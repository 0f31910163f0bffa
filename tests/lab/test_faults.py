"""What deployments meet: each fault leaks nothing, and the traffic is back by itself within the time that is promised.

docs/reliability.md has the promises and what was measured.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.conftest import CLIENT, EXIT, ROOT, Capture, Lab, all_up, until
from tests.lab.test_engine import main_pid
from tests.lab.test_traffic import CLIENT_ADDRESS, EXIT_ADDRESS, LEAKS, lost_pings, traffic

pytestmark = [pytest.mark.lab, pytest.mark.faults]
FROM_CLIENT = f"{LEAKS} and (src host {CLIENT_ADDRESS} or src host fd51:db8::10)"
"""Of machines that go down others say to the client that they cannot be reached."""
SERVERS = ("wgnet1", EXIT)


@pytest.fixture
def network(deployed: Lab) -> Iterator[Lab]:
    """Lend the network to a fault: nothing of the client leaves beside the paths, and all is as it was afterwards."""
    capture = Capture(deployed.bridge(), FROM_CLIENT)
    yield deployed
    until(lambda: all_up(deployed), "all is as it was")
    assert capture.stop() == []


@contextmanager
def back_within(lab: Lab, seconds: float) -> Iterator[None]:
    """Demand that the traffic flows again so many seconds after the block at the latest."""
    yield
    began = time.monotonic()
    until(lambda: answered(lab), "the traffic is back")
    took = time.monotonic() - began
    print(f"back after {took:.1f} s")
    assert took <= seconds


def answered(lab: Lab) -> bool:
    """Tell whether the web is reached through the tunnel now."""
    return lab.run(CLIENT, "wg-migrate exec -- curl -s -m 1 http://198.18.51.80/whoami", check=False).strip() == (
        EXIT_ADDRESS
    )


def restart(*machines: str) -> None:
    subprocess.run([str(ROOT / "scripts" / "lab"), "restart", *machines], check=True, capture_output=True)


def test_twenty_killed_loops_in_a_download_are_not_even_noticed(network: Lab) -> None:
    with network.running(CLIENT, traffic(14, "-R", "-i", "1")) as download:
        time.sleep(1)
        kill = "systemctl kill --signal KILL wg-migrate-loop; sleep 0.5"
        network.run(CLIENT, f"for time in $(seq 20); do {kill}; done")
        result = json.loads(download.communicate(timeout=60)[0])
    assert not [second for second in result["intervals"] if second["sum"]["bytes"] == 0]


def test_a_loop_that_hangs_is_started_anew(network: Lab) -> None:
    before = main_pid(network)
    network.run(CLIENT, "systemctl kill --signal STOP wg-migrate-loop")
    assert answered(network)
    until(lambda: main_pid(network) not in (before, "0"), "the watchdog has seen it")
    assert answered(network)


DAMAGES = {
    "a stranger flushes nftables": "nft flush ruleset",
    "a stranger removes all rules": "for p in $(seq 5740 5743); do ip rule delete priority $p; done",
    "namespace wgnet is deleted": "ip netns delete wgnet",
    "wg0 is deleted": "ip link delete wg0",
    "all of wireguard-go is killed": "pkill -KILL wireguard-go",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_client_is_mended_by_itself(network: Lab, damage: str) -> None:
    with back_within(network, 20):
        network.run(CLIENT, DAMAGES[damage])
    until(lambda: "table inet wg_migrate" in network.run(CLIENT, "nft list tables"), "the firewall stands again")
    assert "5744" in network.run(CLIENT, "ip -6 rule; ip rule")


def test_a_start_of_networkd_takes_no_rule_for_long(network: Lab) -> None:
    """systemd-networkd removes the rules that it did not make when it starts."""
    network.run(CLIENT, "systemctl unmask systemd-networkd.service systemd-networkd.socket; systemctl daemon-reload")
    try:
        with back_within(network, 10):
            network.run(CLIENT, "systemctl start systemd-networkd")
        until(lambda: "5743" in network.run(CLIENT, "ip rule"), "the rules stand again")
    finally:
        quiet = "systemctl stop systemd-networkd.socket systemd-networkd.service"
        network.run(CLIENT, f"{quiet}; systemctl mask systemd-networkd.service systemd-networkd.socket")


def test_a_proxy_that_stops_and_starts_is_left_and_taken_back(network: Lab) -> None:
    with network.running(CLIENT, traffic(8, "-R", "-i", "1")) as download:
        time.sleep(1)
        network.run("wgnet1", "systemctl stop wg-quick@wgnet; sleep 2; systemctl start wg-quick@wgnet")
        result = json.loads(download.communicate(timeout=60)[0])
    assert sum(second["sum"]["bytes"] == 0 for second in result["intervals"]) <= 1


@pytest.mark.parametrize("server", SERVERS)
def test_wireguard_go_of_a_server_is_started_again(network: Lab, server: str) -> None:
    with back_within(network, 20):
        network.run(server, "pkill -KILL wireguard-go")
    until(lambda: "latest handshake" in network.run(server, "wg show"), "it shakes hands again")


def test_a_proxy_that_is_paused_is_left_and_taken_back(network: Lab) -> None:
    network.run("wgnet1", "pkill -STOP wireguard-go; sleep 3; pkill -CONT wireguard-go")
    assert answered(network)


@pytest.mark.parametrize("machines", [("wgnet1",), (EXIT,), ("wgnet1", "wgnet2", EXIT, CLIENT)], ids=" ".join)
def test_machines_that_restart_are_all_back_without_ansible(network: Lab, machines: tuple[str, ...]) -> None:
    with back_within(network, 60):
        restart(*machines)
    assert lost_pings(network, 100) == 0


def test_a_damaged_configuration_opens_nothing_at_boot(network: Lab) -> None:
    keep = "cp -p /etc/wg-migrate/config.json /etc/config.kept"
    network.run(CLIENT, f"{keep}; echo damaged > /etc/wg-migrate/config.json")
    try:
        with back_within(network, 60):
            restart(CLIENT)
        assert "deploy this client again" in network.run(CLIENT, "journalctl -b -u wg-migrate --no-pager")
    finally:
        network.run(CLIENT, "mv /etc/config.kept /etc/wg-migrate/config.json")


def kill_after(seconds: float) -> None:
    """Run site.yml with another option and kill it, as a controller that loses its power would."""
    argv = [str(ROOT / ".venv" / "bin" / "ansible-playbook"), "site.yml", "-e", "client_keepalive=21"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True) as run:
        time.sleep(seconds)
        run.send_signal(signal.SIGKILL)


def test_a_deployment_that_was_cut_off_is_finished_by_the_next(network: Lab) -> None:
    for seconds in (6.0, 12.0, 16.0):
        kill_after(seconds)
        assert answered(network)
    network.play("site.yml")
    assert "changed=0" in network.play("site.yml", "--limit", CLIENT)


def test_two_deployments_at_once_do_each_other_no_harm(network: Lab) -> None:
    argv = [str(ROOT / ".venv" / "bin" / "ansible-playbook"), "site.yml"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        network.play("site.yml")
        said, _ = other.communicate(timeout=300)
    assert other.returncode == 0, said
    assert lost_pings(network, 100) == 0


def test_a_full_disk_leaves_the_client_as_it_was(network: Lab) -> None:
    """/etc/wg-migrate on a small file system of its own, which is full."""
    full = "mount -t tmpfs -o size=64k,mode=700 none /mnt && cp -a /etc/wg-migrate/. /mnt"
    full += " && mount --move /mnt /etc/wg-migrate; dd if=/dev/zero of=/etc/wg-migrate/filler bs=1k 2>&1"
    network.run(CLIENT, full, check=False)
    before = network.run(CLIENT, "cat /etc/wg-migrate/config.json")
    try:
        done = network.playbook("site.yml", "--limit", CLIENT, "-e", "client_keepalive=21")
        assert done.returncode != 0
        assert "No space left on device" in done.stdout
        assert network.run(CLIENT, "cat /etc/wg-migrate/config.json") == before
        assert answered(network)
    finally:
        network.run(CLIENT, "umount /etc/wg-migrate")
