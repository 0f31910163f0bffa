"""The migration engine as it is deployed: schedules, sessions, dead paths, lost devices, a loop that was halted."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.conftest import CLIENT, Capture, Lab, all_up, health, until
from tests.lab.test_traffic import EXIT_ADDRESS, LEAKS, lost, lost_pings, pings, traffic

pytestmark = pytest.mark.lab
CUT = "type filter hook prerouting priority -400; policy accept; iifname eth0 udp dport 51820 drop;"


@contextmanager
def cut_off(lab: Lab, proxy: str) -> Iterator[None]:
    """Have a proxy drop what the client sends it, as if it were dead; Ansible reaches it still."""
    lab.run(proxy, f"nft 'table inet cut {{ chain c {{ {CUT} }}; }}'")
    try:
        yield
    finally:
        lab.run(proxy, "nft delete table inet cut")


def refused(lab: Lab, command: str) -> str:
    """Return what a command of the client says that must fail."""
    return lab.run(CLIENT, f"! {{ {command}; }} 2>&1")


def main_pid(lab: Lab) -> str:
    return lab.run(CLIENT, "systemctl show --property MainPID --value wg-migrate-loop").strip()


METRICS = "/var/lib/prometheus/node-exporter/wg-migrate.prom"


@pytest.fixture
def options(deployed: Lab) -> Iterator[Lab]:
    """Lend the deployed lab to one that runs migrate.yml with any options; something may collect metrics there."""
    deployed.run(CLIENT, f"mkdir -p {METRICS.rpartition('/')[0]}")
    yield deployed
    deployed.play("playbooks/migrate.yml", "-e", "migration_interval=0.1")
    deployed.run(CLIENT, "rmdir /var/lib/prometheus/node-exporter /var/lib/prometheus")


def test_a_running_loop_takes_what_migrate_yml_gives_and_loses_nothing(options: Lab) -> None:
    lab = options
    document = {"packets": [50, 70], "strategy": "dirichlet", "max_share": 0.6, "session": 5}
    given = {"migration_schedule": document, "migration_metrics_file": METRICS, "migration_metrics_interval": 1}
    arguments = ("playbooks/migrate.yml", "-e", json.dumps(given))
    before = main_pid(lab)
    with lab.running(CLIENT, pings(800)) as pinging:
        lab.play(*arguments)
        assert lost(pinging.communicate(timeout=60)[0], 800) == 0
    assert main_pid(lab) == before
    assert "changed=0" in lab.play(*arguments)
    state = lab.status()["loop"]
    assert document.items() <= state["schedule"].items()
    assert json.loads(lab.run(CLIENT, "cat /etc/wg-migrate/schedule.json")) == state["schedule"]
    written = "wg_migrate_loop_running 1"
    until(lambda: written in lab.run(CLIENT, f"cat {METRICS}", check=False), "the metrics are there")
    assert "wireguard_peer_receive_bytes_total{" in lab.run(CLIENT, f"cat {METRICS}")
    # For longer than systemd allows what it was not told to: five starts within 10 s.
    time.sleep(8)
    assert "too quickly" not in lab.run(CLIENT, "journalctl --unit=wg-migrate-metrics.service")

    lab.run(CLIENT, "systemctl restart wg-migrate-loop")
    until(lambda: all_up(lab), "the loop runs again")
    assert lab.status()["loop"]["schedule"] == state["schedule"]
    sessions = lab.status()["loop"]["session"]["number"]
    lab.run(CLIENT, "wg-migrate new-session")
    assert lab.status()["loop"]["session"]["number"] > sessions

    before = main_pid(lab)
    assert "changed=0" not in lab.play("playbooks/migrate.yml", "-e", "migration_interval=0.05")
    assert lab.status()["loop"]["schedule"]["period"] == 0.05
    assert main_pid(lab) == before
    assert lab.run(CLIENT, f"ls {METRICS} /etc/systemd/system/wg-migrate-metrics*", check=False) == ""


def test_a_refused_schedule_leaves_the_loop_as_it_was(deployed: Lab) -> None:
    lab = deployed
    before = lab.status()["loop"]["schedule"], lab.run(CLIENT, "cat /etc/wg-migrate/schedule.json")
    bad = {"migration_schedule": {"strategy": "weighted", "weights": [0.5, 0.3, 0.2]}}
    done = lab.playbook("playbooks/migrate.yml", "-e", json.dumps(bad))
    assert done.returncode != 0
    assert "3 weights are given, and there are 2 paths (wgnet1, wgnet2): write one for each" in " ".join(
        done.stdout.split()
    )
    said = refused(lab, "echo '{\"max_share\": 0.3}' | wg-migrate schedule -")
    assert "max_share 0.3 cannot be kept by 2 paths: write 0.5 or more" in said
    assert "is not JSON" in refused(lab, "echo nonsense | wg-migrate schedule -")
    assert "needs root" in refused(lab, "runuser -u ops -- wg-migrate schedule")
    nobody = (
        "import socket; socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect('/run/wg-migrate/control.sock')"
    )
    assert "Permission denied" in refused(lab, f"runuser -u ops -- python3 -c {shlex.quote(nobody)}")
    after = lab.status()["loop"]["schedule"], lab.run(CLIENT, "cat /etc/wg-migrate/schedule.json")
    assert after == before


def test_a_stopped_loop_takes_no_schedule(engine: Lab) -> None:
    lab = engine
    lab.run(CLIENT, "systemctl stop wg-migrate-loop")
    said = refused(lab, "echo '{}' | wg-migrate schedule -")
    assert "the migration loop is not running: start it with playbooks/migrate.yml" in said


@pytest.mark.parametrize("document", [{"period": 0.1}, {"packets": [50, 70]}], ids=str)
def test_a_download_survives_a_dead_proxy(engine: Lab, document: dict[str, Any]) -> None:
    lab = engine
    lab.run(CLIENT, f"echo {shlex.quote(json.dumps(document))} | wg-migrate schedule -")
    until(lambda: all_up(lab), "both paths are up")
    capture = Capture(lab.bridge(), LEAKS)
    with lab.running(CLIENT, traffic(8, "-R", "-i", "1")) as download:
        time.sleep(2)
        with cut_off(lab, "wgnet1"):
            until(lambda: health(lab)["wgnet1"] == "down", "it is seen that the path is dead")
            result = json.loads(download.communicate(timeout=60)[0])
            state = lab.status()
        assert state["active"] == "wgnet2"
        assert "nothing has come back" in state["paths"]["wgnet1"]["why"]
    # No second without bytes but the one in which the proxy died, perhaps.
    assert sum(second["sum"]["bytes"] == 0 for second in result["intervals"]) <= 1, result
    assert capture.stop() == []
    until(lambda: all_up(lab), "the path is taken back")


def test_batches_count_each_packet_of_a_busy_upload(engine: Lab) -> None:
    """TCP hands over many packets at once, and newer versions of wireguard-go pass them on at once where they can."""
    lab = engine
    lab.run(CLIENT, "echo '{\"packets\": [50, 70]}' | wg-migrate schedule -")
    with lab.running(CLIENT, traffic(4)) as upload:
        result = json.loads(upload.communicate(timeout=60)[0])
    state = lab.status()
    paths = state["paths"].values()
    packets = sum(path["packets_up_session"] for path in paths)
    assert packets >= result["end"]["sum_received"]["bytes"] / state["inner"]["mtu"]
    assert sum(path["switches"] for path in paths) >= packets / 70


def test_a_stopped_loop_takes_its_table_along(engine: Lab) -> None:
    """Also the nft that removes it belongs to the unit, and was ended with it one time in fifty."""
    lab = engine
    assert lab.run(CLIENT, "systemctl show --property KillMode --value wg-migrate-loop").strip() == "mixed"
    once = "systemctl start wg-migrate-loop; wg-migrate schedule /run/batches.json; systemctl stop wg-migrate-loop"
    rounds = f"for round in $(seq 10); do {once}; ip netns exec wgnet nft list tables; done"
    tables = lab.run(CLIENT, f"echo '{{\"packets\": [50, 70]}}' >/run/batches.json; {rounds}; rm /run/batches.json")
    assert set(tables.split("\n")) == {"table inet wg_migrate", ""}


def test_with_both_proxies_dead_nothing_leaks_and_it_resumes_by_itself(engine: Lab) -> None:
    lab = engine
    capture = Capture(lab.bridge(), LEAKS)
    with cut_off(lab, "wgnet1"), cut_off(lab, "wgnet2"):
        lab.run(CLIENT, pings(50), check=False)  # they are lost
        until(lambda: lab.status()["loop"]["all_down"], "it is said that all paths are down")
        assert "ALL PATHS ARE DOWN" in lab.run(CLIENT, "wg-migrate status")
    until(lambda: all_up(lab), "the paths are taken back")
    assert lost_pings(lab, 200) == 0
    assert capture.stop() == []


@pytest.mark.parametrize("unit", ["wg-migrate-outer@wgnet2", "wg-migrate-inner@wg0"])
def test_wireguard_go_that_dies_is_rebuilt(engine: Lab, unit: str) -> None:
    """Also where the loop, whose wish it is, has just been started more often than systemd usually allows."""
    lab = engine
    capture = Capture(lab.bridge(), LEAKS)
    lab.run(CLIENT, "for time in $(seq 7); do systemctl restart wg-migrate-loop || exit 1; done")
    lab.run(CLIENT, f"systemctl kill --signal KILL {unit}")
    time.sleep(1)
    until(lambda: all_up(lab) and lost_pings(lab, 3) == 0, "the device is there again, and its path is up")
    assert lost_pings(lab, 200) == 0
    assert capture.stop() == []


def test_a_halted_loop_goes_on_without_a_burst(engine: Lab) -> None:
    lab = engine
    before = lab.status()["loop"]
    lab.run(
        CLIENT, "systemctl kill --signal STOP wg-migrate-loop; sleep 3; systemctl kill --signal CONT wg-migrate-loop"
    )
    after = lab.status()["loop"]
    assert after["switches_missed"] - before["switches_missed"] >= 15
    seconds = after["running_seconds"] - before["running_seconds"]
    assert after["switches"] - before["switches"] <= (seconds - 3) * 10 + 12


def test_the_exit_hears_the_probes_from_the_proxies_alone(deployed: Lab) -> None:
    """What the client pings the exit with leaves the client only inside the outer tunnels."""
    lab = deployed
    capture = Capture(lab.bridge(), f"icmp[icmptype] == icmp-echo and dst host {EXIT_ADDRESS}")
    before = probes(lab)
    until(lambda: all(probes(lab)[name] > number + 2 for name, number in before.items()), "each path is probed")
    assert {line.split()[2] for line in capture.stop()} == {"198.18.51.11", "198.18.51.12"}


def probes(lab: Lab) -> dict[str, int]:
    return {name: path["probes_answered"] for name, path in lab.status()["paths"].items()}
