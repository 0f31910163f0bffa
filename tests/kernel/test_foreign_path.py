"""A path by a proxy that is not ours, which knows the client by an address of its own choice."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import fcntl
import socket
import struct
from collections.abc import Iterator

import pytest
from wg_migrate import config as configuration
from wg_migrate import firewall, nft, tunnel
from wg_migrate.addresses import alone, family
from wg_migrate.config import Path
from wg_migrate.keys import NO_PRESHARED_KEY
from wg_migrate.probes import Probe

from .client import KEYS, make_key
from .machine import Machine
from .topology import Topology, built, ping, serve, wait_for

OWN = "10.64.0.7"
"""What the provider calls this client."""
_SIOCETHTOOL, _ETHTOOL_STXCSUM = 0x8946, 0x17
"""linux/sockios.h, linux/ethtool.h."""


@pytest.fixture(scope="module", params=["host", "namespace"])
def topology(request: pytest.FixtureRequest) -> Iterator[Topology]:
    """Give a client of three paths; the third ends at a stranger's WireGuard beside that of proxy2."""
    with built(request.param) as made:
        private, public = make_key(made.client)
        own_private, own_public = make_key(made.client)
        provider = made.proxies[1]
        serve(provider, "provider", private, own_public, NO_PRESHARED_KEY, alone(OWN), 51821)
        provider.run(f"ip route add {OWN}/32 dev provider")
        made.system.write(f"{KEYS}/provider.key", own_private, 0o600)
        made.system.write(f"{KEYS}/provider.psk", NO_PRESHARED_KEY, 0o600)
        path = Path("wgnet3", "provider", made.config.paths[1].address, 51821, public, own_address=OWN)
        made.config = dataclasses.replace(made.config, paths=[*made.config.paths, path])
        made.system.write(configuration.PATH, configuration.dump(made.config), 0o600)
        tunnel.up(made.system, made.config)
        yield made


def test_packets_go_both_ways_by_it_and_none_is_lost(topology: Topology) -> None:
    with topology.loop(0.01, up=3) as status:
        sent, received = topology.sent(), topology.received()
        assert ping(topology, 600) == 600
        assert topology.sent()["wgnet3"] - sent["wgnet3"] > 100
        assert topology.received()["wgnet3"] - received["wgnet3"] > 100
        assert status()["paths"]["wgnet3"]["probes_answered"] > 0


def test_no_connection_is_tracked(topology: Topology) -> None:
    """Of all namespaces of the client, wgnet is where a switch would break one."""
    assert ping(topology, 50) == 50
    counted = "cat /proc/sys/net/netfilter/nf_conntrack_count"
    assert topology.client.run(counted, "wgnet").strip() == "0"


def test_a_second_look_finds_nothing_to_do(topology: Topology) -> None:
    assert [str(action) for action in tunnel.up(topology.system, topology.config).actions] == []


def test_the_provider_may_send_nothing_but_what_comes_from_the_exit(topology: Topology) -> None:
    allowed = topology.client.run("wg show wgnet3 allowed-ips").split()
    assert allowed[1:] == [alone(topology.config.exit.address)]


@pytest.mark.faults
@pytest.mark.parametrize("chain", ["to_providers", "from_providers"])
def test_without_either_translation_packets_are_lost(topology: Topology, chain: str) -> None:
    with topology.loop(0.01, up=3):
        topology.client.run(f"nft flush chain inet wg_migrate {chain}", "wgnet")
        assert ping(topology, 300, 0.5) < 300
    tunnel.up(topology.system, topology.config)


def checksum_in_software(device: str) -> None:
    """Have the kernel finish every checksum itself: between two ends of a cable it would trust and not look."""
    value = ctypes.create_string_buffer(struct.pack("=II", _ETHTOOL_STXCSUM, 0))
    with socket.socket(type=socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCETHTOOL, struct.pack("@16sP16x", device.encode(), ctypes.addressof(value)))


def heard(machine: Machine, overlay: str, exit_address: str) -> list[str]:
    """Send a datagram and an echo request from the overlay address; return who was heard, at the exit and back."""
    kind = socket.AF_INET6 if ":" in overlay else socket.AF_INET
    with machine.inside("far"):
        server = socket.socket(kind, socket.SOCK_DGRAM)
    with machine.inside():
        client, probe = socket.socket(kind, socket.SOCK_DGRAM), Probe("wgnet3", overlay, exit_address)
    with server, client, contextlib.closing(probe):
        server.bind((exit_address, 9999))
        client.bind((overlay, 0))
        for each in (server, client):
            each.settimeout(1.0)
        client.sendto(b"there", (exit_address, 9999))
        probe.send()
        try:
            sender = server.recvfrom(64)[1]
            server.sendto(b"back", sender)
            answer = client.recvfrom(64)[1]
        except OSError:  # nothing came, or it bears an address to which there is no way back
            return []
        wait_for(lambda: probe.receive() != [], "the echo request is answered")
        return [str(sender[0]), str(answer[0])]


@pytest.mark.parametrize(
    ("overlay", "own", "exit_address"),
    [("10.87.0.5", OWN, "192.0.2.20"), ("fd00:87::5", "fd00:64::7", "2001:db8::20")],
    ids=["IPv4", "IPv6"],
)
def test_addresses_and_checksums_are_right_in_both_families(
    machine: Machine, overlay: str, own: str, exit_address: str
) -> None:
    """A cable with the path's name stands for the tunnel; what comes with a wrong checksum is heard by no socket."""
    which, mac = family(overlay), "address 02:00:00:00:00:01"
    for line in (
        "ip netns add far",
        # Without questions for neighbours, as in a tunnel: both ends are one address to the wire.
        f"ip link add wgnet3 {mac} type veth peer name far {mac} netns far",
        "ip link set wgnet3 arp off up",
        "ip -n far link set far arp off up",
        f"ip address add {alone(overlay)} dev lo",
        f"ip -n far address add {alone(exit_address)} dev far",
        f"ip {which} route add {alone(exit_address)} dev wgnet3 src {overlay}",
        f"ip -n far {which} route add {alone(own)} dev far",
    ):
        machine.run(line)
    machine.run("sysctl -q -f -", stdin="net.ipv4.ping_group_range = 0 0\nnet.ipv4.conf.all.rp_filter = 0\n")
    for namespace, device in ((None, "wgnet3"), ("far", "far")):
        with machine.inside(namespace):
            checksum_in_software(device)
    assert heard(machine, overlay, exit_address) == []
    table = nft.render("wg_migrate", firewall.outer_rules("0x5747", overlay, {"wgnet3": own}))
    machine.run("nft -f -", stdin=table)
    assert heard(machine, overlay, exit_address) == [own, exit_address]
