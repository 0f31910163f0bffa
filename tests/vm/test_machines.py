"""What only machines with a kernel of their own can show: kernel WireGuard, bare hosts, reboots, delays, losses."""

from __future__ import annotations

import json
import shlex
import statistics
import subprocess
import time

import pytest

from lab.cloud_seed import CLOUDY
from tests.lab.conftest import CLIENT, EXIT, PROXIES, ROOT, WEB, WEB_ADDRESS, Capture, until
from tests.lab.test_traffic import lost_pings, paths, shares, traffic
from tests.vm.conftest import HOSTS, Guests
from tests.vm.switches import Switch, read, switches

pytestmark = pytest.mark.vm
BROUGHT = "wireguard-tools nftables unbound"
SEEN = f"wg-migrate exec -- python3 -c 'import urllib.request as u; print(u.urlopen(\"http://{WEB_ADDRESS}/whoami\").read())'"
BULK = 1000
"""Bytes: longer are the packets of a test's own traffic alone."""
FAST, SLOW = PROXIES
DELAYS = {FAST: "delay 10ms", SLOW: "delay 80ms"}


def leaks(guests: Guests) -> str:
    """Return the filter for all of the client's packets but WireGuard with proxies, SSH and finding neighbours."""
    proxies = " or ".join(f"host {guests.outside.address(name)}" for name in PROXIES)
    return (
        "(host 198.18.51.10 or host fd51:db8::10) and not arp and not tcp port 22"
        f" and not (udp port 51820 and ({proxies}))"
        " and not (icmp6 and (dst net ff02::/16 or dst net fe80::/10 or (ip6[40] >= 133 and ip6[40] <= 136)))"
    )


def endpoints(guests: Guests, seconds: int) -> set[str]:
    """Return the proxies at which the exit has its client within so many seconds, asked twice a second."""
    asked = f"timeout {seconds} sh -c 'while wg show wg0 endpoints; do sleep 0.5; done'"
    told = guests.run(EXIT, asked, check=False).splitlines()
    addresses = {line.split()[1].rpartition(":")[0].strip("[]") for line in told}
    return {name for name in PROXIES if guests.outside.address(name) in addresses}


def all_up(guests: Guests) -> bool:
    return {path["health"] for path in guests.status()["paths"].values()} == {"up"}


def test_hosts_are_bare(guests: Guests) -> None:
    for host in HOSTS:
        told = guests.run(host, f"dpkg-query --show {BROUGHT} 2>/dev/null; lsmod; uname -r", check=False)
        assert not any(word in told for word in (*BROUGHT.split(), "wireguard")), told
        assert "cloud" in told


def test_cloud_init_made_one_of_them(guests: Guests) -> None:
    assert guests.run(CLOUDY, "cloud-init status").strip() == "status: done"
    assert guests.run(CLOUDY, "hostname").strip() == CLOUDY
    assert "disabled" in guests.run(CLIENT, "cloud-init status", check=False)


def test_verify_proves_the_deployment(deployed: Guests) -> None:
    deployed.play("playbooks/verify.yml")


def test_every_tunnel_is_the_kernels(deployed: Guests) -> None:
    devices = {CLIENT: ("wg0",), **dict.fromkeys(PROXIES, ("wgnet",)), EXIT: ("wg0",)}
    for host, names in devices.items():
        for name in names:
            assert "\n    wireguard " in deployed.run(host, f"ip -details link show dev {name}")
        found = "pgrep -a wireguard-go; dpkg-query --show wireguard-go 2>&1"
        assert deployed.run(host, found, check=False).strip() == "dpkg-query: no packages found matching wireguard-go"
    for name in PROXIES:
        assert "\n    wireguard " in deployed.run(CLIENT, f"ip -netns wgnet -details link show dev {name}")


def test_a_busy_download_roams_and_nothing_leaks(deployed: Guests) -> None:
    capture = Capture(deployed.bridge(), leaks(deployed))
    before, switched = paths(deployed), deployed.status()["loop"]["switches"]
    with deployed.running(CLIENT, traffic(8, "-R")) as download:
        result = json.loads(download.communicate(timeout=600)[0])["end"]
    after = paths(deployed)
    print(f"{deployed.release}: download {result['sum_received']['bits_per_second'] / 1e6:.1f} Mbit/s")
    assert deployed.status()["loop"]["switches"] - switched >= 50
    for way in (0, 1):
        assert shares(before, after, way) == pytest.approx([0.5, 0.5], abs=0.1)
    assert lost_pings(deployed, 500) == 0
    assert capture.stop() == []


def test_the_exit_follows_a_client_that_says_nothing(deployed: Guests) -> None:
    """Datagrams come down, and of the client's own there are those alone by which its loop tells where it is."""
    deployed.run(CLIENT, "wg-migrate interval 3")
    try:
        with deployed.running(CLIENT, traffic(20, "-R", "-u", "-b", "50k")) as listening:
            found = endpoints(deployed, 12)
            said = listening.communicate(timeout=600)[0]
        assert listening.returncode == 0, said
        assert found == set(PROXIES)
    finally:
        deployed.run(CLIENT, "wg-migrate interval 0.1")
    assert lost_pings(deployed, 100) == 0


def observed(guests: Guests, interval: float, seconds: int) -> list[Switch]:
    """Return the switches of a tunnel that is busy both ways for so many seconds."""
    guests.run(CLIENT, f"wg-migrate interval {interval}")
    capture = Capture(guests.bridge(), "udp port 51820")
    with guests.running(CLIENT, traffic(seconds, "--bidir", "-u", "-b", "1M", "-l", "1000")) as busy:
        said = busy.communicate(timeout=600)[0]
        assert busy.returncode == 0, said
    outside = guests.outside.address
    names = {outside(name): name for name in PROXIES}
    lines = capture.stop()
    found = switches(read(lines, BULK), outside(CLIENT), outside(EXIT))
    assert {names[switch.proxy] for switch in found} == set(PROXIES), lines[:20]
    return [Switch(names[switch.proxy], switch.late, switch.astray, switch.settled) for switch in found]


def told(found: list[Switch]) -> str:
    """Return the medians of switches to one path."""
    late, astray, settled = (
        statistics.median(values) for values in zip(*((s.late, s.astray, s.settled) for s in found), strict=True)
    )
    return f"{len(found)} switches, {late:.0f} late, {astray:.0f} astray, settled after {settled * 1000:.0f} ms"


def test_unequal_delays_pull_the_exit_back_for_their_difference_and_no_longer(deployed: Guests) -> None:
    rates = {}
    try:
        with deployed.netem(**DELAYS):
            found = observed(deployed, 1, 10)
            for name in PROXIES:
                print(f"{deployed.release}: to {name}: {told([s for s in found if s.proxy == name])}")
            for interval in (86400, 1, 0.1):
                deployed.run(CLIENT, f"wg-migrate interval {interval}")
                for way in ("", "-R"):
                    with deployed.running(CLIENT, traffic(3, way)) as busy:
                        result = json.loads(busy.communicate(timeout=600)[0])["end"]
                    rates[f"{interval} {way}"] = round(result["sum_received"]["bits_per_second"] / 1e6, 1)
            print(f"{deployed.release}: {rates}")
            lost = lost_pings(deployed, 500)
    finally:
        deployed.run(CLIENT, "wg-migrate interval 0.1")
    assert lost == 0
    # An emulated proxy may sleep for longer than the paths differ; as a rule it does not.
    late = {name: statistics.median(s.late for s in found if s.proxy == name) for name in PROXIES}
    assert late[SLOW] == 0


def test_losses_and_narrow_paths_break_nothing(deployed: Guests) -> None:
    file = "/srv/web/narrow"
    wanted = deployed.run(WEB, f"head -c 1000000 /dev/urandom > {file}; sha256sum < {file}")
    fetch = f"import urllib.request as u, sys; sys.stdout.buffer.write(u.urlopen('http://{WEB_ADDRESS}/narrow').read())"
    try:
        with deployed.netem(**dict.fromkeys(PROXIES, "loss 2% rate 3mbit")):
            fetched = deployed.run(CLIENT, f"wg-migrate exec -- python3 -c {shlex.quote(fetch)} | sha256sum")
            lost = lost_pings(deployed, 500)
    finally:
        deployed.run(WEB, f"rm {file}")
    print(f"{deployed.release}: {lost} of 500 pings lost at 2 % each way")
    assert fetched == wanted
    assert lost < 100
    until(lambda: all_up(deployed), "every path is up", deployed.patience)


def test_a_reboot_of_every_host_brings_the_traffic_back(deployed: Guests) -> None:
    deployed.hang_up()
    begin = time.monotonic()
    subprocess.run([str(ROOT / "scripts" / "lab"), "restart", *HOSTS], check=True, capture_output=True)
    deployed.wait_until_live()
    print(f"{deployed.release}: all hosts rebooted and live after {time.monotonic() - begin:.0f} s")
    assert "198.18.51.20" in deployed.run(CLIENT, SEEN)
    until(lambda: deployed.status()["loop"]["switches"] > 0, "the loop runs", deployed.patience)


def test_removal_restores_the_hosts(deployed: Guests) -> None:
    deployed.play("playbooks/remove.yml")
    assert deployed.everywhere(deployed.differences) == {host: [] for host in HOSTS}
