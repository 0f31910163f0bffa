"""What the network promises, on busy paths: no leak, even shares, no lost ping, downstream that follows the client."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path

import pytest

from tests.lab.conftest import CLIENT, EXIT, PROXIES, WEB_ADDRESS, Capture, Lab

pytestmark = pytest.mark.lab
CLIENT_ADDRESS, EXIT_ADDRESS = "198.18.51.10", "198.18.51.20"
SWITCHES = 600
INTERVAL = 0.1
RATE = "12M"
"""Bits a second each way: busy, and less than this machine encrypts, so that both directions stay steady."""

# All of the client's packets on the wire, but WireGuard to and from the proxies, SSH, and finding neighbours.
LEAKS = (
    f"(host {CLIENT_ADDRESS} or host fd51:db8::10) and not arp and not tcp port 22"
    " and not (udp port 51820 and (host 198.18.51.11 or host 198.18.51.12))"
    " and not (icmp6 and (dst net ff02::/16 or dst net fe80::/10 or (ip6[40] >= 133 and ip6[40] <= 136)))"
)


# What a WireGuard handshake looks like from outside, sent by a stranger.
STRANGER = f"""
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stream:
    stream.sendto(bytes(148), ("{EXIT_ADDRESS}", 51820))
"""


def traffic(seconds: float, *options: str) -> str:
    """Return the command that keeps iperf3 busy through the tunnel."""
    return f"wg-migrate exec -- iperf3 -c {WEB_ADDRESS} -t {seconds:.0f} -J {' '.join(options)}"


def packets_of_proxy(lab: Lab, proxy: str) -> tuple[int, int]:
    """Return the packets that a proxy has received from and sent to its clients."""
    link = json.loads(lab.run(proxy, "ip -json -statistics link show dev wgnet"))[0]["stats64"]
    return link["rx"]["packets"], link["tx"]["packets"]


def paths(lab: Lab) -> dict[str, tuple[int, int]]:
    return {name: (path["packets_up"], path["packets_down"]) for name, path in lab.status()["paths"].items()}


def shares(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]], way: int) -> list[float]:
    """Return each path's share of the packets one way: 0 is up, 1 is down."""
    counts = [after[name][way] - before[name][way] for name in after]
    return [count / sum(counts) for count in counts]


def test_busy_minute_at_a_tenth_of_a_second(deployed: Lab) -> None:
    """Download and upload for 600 switches: not one packet beside the paths, and each path carries its half."""
    lab, seconds = deployed, SWITCHES * INTERVAL
    before = paths(lab)
    proxies_before = {name: packets_of_proxy(lab, name) for name in PROXIES}
    switches_before = lab.status()["loop"]["switches"]
    capture = Capture(lab.bridge(), LEAKS)
    with lab.running(CLIENT, traffic(seconds, "--bidir", "-b", RATE)) as busy:
        result = json.loads(busy.communicate(timeout=seconds + 60)[0])["end"]
    after = paths(lab)
    proxies_after = {name: packets_of_proxy(lab, name) for name in PROXIES}
    assert capture.stop() == []
    for direction in ("sum_received", "sum_received_bidir_reverse"):
        assert result[direction]["bytes"] > 0.8 * int(RATE[:-1]) * 1e6 / 8 * seconds, result
    assert lab.status()["loop"]["switches"] - switches_before >= SWITCHES * 0.98
    print(f"shares up {shares(before, after, 0)}, down {shares(before, after, 1)}")
    for way in (0, 1):
        assert shares(before, after, way) == pytest.approx([0.5, 0.5], abs=0.03)
        assert shares(proxies_before, proxies_after, way) == pytest.approx([0.5, 0.5], abs=0.03)


def test_the_original_loop_leaks_before_the_same_capture(deployed: Lab) -> None:
    """The original demo's loop deletes a route, then adds another, in one namespace: the capture sees what gets out."""
    lab = deployed
    script = (Path(__file__).parent / "original_loop.sh").read_text()
    lab.run(CLIENT, "wg-migrate down")
    try:
        lab.run(CLIENT, f'cat >/run/original.sh <<"END"\n{script}END')
        capture = Capture(lab.bridge(), LEAKS)
        lab.run(CLIENT, f"bash /run/original.sh {EXIT_ADDRESS} {WEB_ADDRESS} 2>&1", timeout=120)
        leaked = capture.stop()
    finally:
        lab.run(CLIENT, "systemctl start wg-migrate-loop")
    lab.wait_until_live()
    print(f"the original loop leaked {len(leaked)} packets")
    assert len(leaked) > 0


def test_no_more_pings_are_lost_than_without_migration(engine: Lab) -> None:
    lab = engine
    migrating = lost_pings(lab)
    lab.run(CLIENT, "systemctl stop wg-migrate-loop")
    still = lost_pings(lab)
    print(f"of 1000 pings lost: {migrating} at 0.1 s, {still} without migration")
    assert migrating <= still


def lost_pings(lab: Lab, count: int = 1000) -> int:
    """Return how many of so many pings had no answer."""
    return lost(lab.run(CLIENT, pings(count), check=False), count)


def pings(count: int) -> str:
    """Return the command that sends so many pings through the tunnel, 10 ms apart, and gives each 2 s to be answered.

    fping's own time-out is their distance. Its status tells of losses, and so does what it says.
    """
    return f"wg-migrate exec -- fping -q -c {count} -p 10 -t 2000 {WEB_ADDRESS} 2>&1"


def lost(said: str, count: int) -> int:
    """Return how many of so many pings were lost, by what fping has said."""
    sent, received = (int(number) for number in said.split("xmt/rcv/%loss = ")[1].split("/")[:2])
    assert sent == count, said
    return sent - received


def test_downstream_follows_a_client_that_is_silent(deployed: Lab) -> None:
    """A UDP download: the client sends nothing, so only the small packet after each switch tells the exit."""
    lab = deployed
    with lab.running(CLIENT, traffic(12, "-R", "-u", "-b", "4M", "-l", "1000")) as download:
        time.sleep(2)  # the handshake of iperf3 itself is TCP
        before = paths(lab)
        time.sleep(8)
        after = paths(lab)
        download.communicate(timeout=60)
    assert shares(before, after, 1) == pytest.approx([0.5, 0.5], abs=0.05)


def test_the_exit_hears_nobody_but_the_proxies(deployed: Lab) -> None:
    """A WireGuard packet that does not come from a proxy is dropped at the exit's door."""
    lab = deployed
    before = dropped(lab)
    lab.run("web", f"python3 -c {shlex.quote(STRANGER)}")
    assert dropped(lab) == before + 1


def dropped(lab: Lab) -> int:
    """Return how many packets to its WireGuard port the exit has dropped."""
    rules = lab.run(EXIT, "nft list chain inet wg_migrate_wg0 input")
    line = next(line for line in rules.splitlines() if "udp dport 51820 counter" in line)
    return int(line.split("packets ")[1].split()[0])
