"""What the Internet does to packets, a day's worth of switches, and a clock that is set back."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from tests.lab.conftest import CLIENT, EXIT, PROXIES, WEB, Capture, Lab, all_up, until
from tests.lab.initiation import initiation
from tests.lab.rough_wire import rough_wire
from tests.lab.test_faults import FROM_CLIENT, answered, back_within
from tests.lab.test_traffic import EXIT_ADDRESS, lost, lost_pings, pings

pytestmark = [pytest.mark.lab, pytest.mark.faults]
PEERS = (*PROXIES, EXIT)
SWITCHES = 10_000
PERIOD = 0.02
"""Seconds: the switches then take longer than two handshakes' life (WireGuard shakes hands anew after 120 s)."""
HOUR = 3600
KEYS = "/etc/wg-migrate/keys"


@pytest.fixture
def network(deployed: Lab) -> Iterator[Lab]:
    """Lend the network: nothing of the client leaves beside the paths, and all is as it was afterwards."""
    capture = Capture(deployed.bridge(), FROM_CLIENT)
    yield deployed
    until(lambda: all_up(deployed), "all is as it was")
    assert lost_pings(deployed, 200) == 0
    assert capture.stop() == []


def test_damaged_doubled_and_delayed_packets_reach_nobody_twice_or_wrong(network: Lab) -> None:
    """TCP brings the file whole, and of the pings no more are lost than packets were damaged."""
    file = "/srv/web/rough"
    wanted = network.run(WEB, f"head -c 8000000 /dev/urandom > {file}; sha256sum < {file}")
    download = f"wg-migrate exec -- curl -s -m 60 http://198.18.51.80/{file.rpartition('/')[2]} | sha256sum"
    try:
        with rough_wire(network, random.SystemRandom()) as counts:
            assert network.run(CLIENT, download) == wanted
            before = counts["damaged"]
            said = network.run(CLIENT, pings(1000).replace("-q", ""), check=False)  # -q hides duplicates
            damaged = counts["damaged"] - before
    finally:
        network.run(WEB, f"rm {file}")
    print(f"{dict(counts)}; of 1000 pings {lost(said, 1000)} lost, {damaged} packets damaged meanwhile")
    assert min(counts[kind] for kind in ("damaged", "doubled", "delayed")) >= 50
    assert 0 < lost(said, 1000) <= damaged
    assert "duplicate" not in said


def handshakes(lab: Lab) -> dict[str, int]:
    """Return when each tunnel of the client last shook hands, in seconds since 1970."""
    state = lab.status()
    devices = {**state["paths"], "wg0": state["inner"]}
    return {name: device["handshake_time"] for name, device in devices.items()}


def test_ten_thousand_switches_and_a_rekey_of_every_tunnel_lose_nothing(network: Lab) -> None:
    before, switches = handshakes(network), network.status()["loop"]["switches"]
    network.run(CLIENT, f"wg-migrate interval {PERIOD}")
    count = round(SWITCHES * PERIOD * 100 * 1.05)
    try:
        said = network.run(CLIENT, pings(count), check=False, timeout=count / 100 + 60)
        made = network.status()["loop"]["switches"] - switches
    finally:
        network.run(CLIENT, "wg-migrate interval 0.1")
    after = handshakes(network)
    moved = {name: after[name] - before[name] for name in after}
    print(f"{made} switches, {lost(said, count)} of {count} pings lost, handshakes moved by {moved} s")
    assert made >= SWITCHES
    assert all(seconds > 0 for seconds in moved.values())
    assert lost(said, count) == 0


def shake_hands(lab: Lab, peer: str, seconds: float) -> None:
    """Let a peer hear a handshake of this client that bears the time of so many seconds from now."""
    private_key = lab.run(CLIENT, f"cat {KEYS}/{peer}.key").strip()
    device = "wg0" if peer == EXIT else "wgnet"
    peer_key = lab.run(peer, f"wg show {device} public-key").strip()
    message = initiation(private_key, peer_key, time.time() + seconds).hex()
    address = EXIT_ADDRESS if peer == EXIT else f"198.18.51.1{PEERS.index(peer) + 1}"
    # As the devices send: to a proxy by the uplink with the mark that is let out there, to the exit by a path.
    sending = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(1, 36, 0x5747);"
    sending += f" s.sendto(bytes.fromhex('{message}'), ('{address}', 51820)); s.settimeout(5); print(s.recv(200)[0])"
    inside = "ip netns exec wgnet " if peer == EXIT else ""
    assert lab.run(CLIENT, f'{inside}python3 -c "{sending}"').strip() == "2", "the peer has not answered"


def test_a_clock_that_is_set_back_stops_new_handshakes_until_the_servers_forget(network: Lab) -> None:
    """The machines of the lab share one clock, so that it is the past that is changed: the client's was fast before."""
    for peer in PEERS:
        shake_hands(network, peer, HOUR)
    for _ in range(20):
        assert answered(network), "sessions go on"
        time.sleep(0.5)
    network.run(CLIENT, "pkill -KILL wireguard-go")
    until(lambda: network.status()["up"], "the devices are there again")
    time.sleep(15)  # three more handshakes of each, WireGuard's REKEY_TIMEOUT apart
    assert handshakes(network) == dict.fromkeys(("wgnet1", "wgnet2", "wg0"))
    assert not answered(network)
    with back_within(network, 30):
        for peer in PEERS:
            network.run(peer, f"systemctl restart wg-quick@{'wg0' if peer == EXIT else 'wgnet'}")
