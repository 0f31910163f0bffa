"""The paths' marks in namespace wgnet: by which device a packet leaves, and who may send one to watch a path."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from .client import SCOPES
from .machine import Machine
from .test_tunnel import Client, prepared

MARKS = ("0", "0x5747", "0x5801", "0x5802")
COUNTERS = """
table ip seen {
    counter wgnet1 { }
    counter wgnet2 { }
    chain after {
        type filter hook postrouting priority 0
        udp dport != 9 accept
        oifname "wgnet1" counter name wgnet1
        oifname "wgnet2" counter name wgnet2
    }
}
"""
BATCHES = """
table inet batches {
    chain output {
        type route hook output priority mangle - 10
        udp dport 9 meta mark set 0x5802
    }
}
"""


@pytest.fixture(params=SCOPES)
def client(request: pytest.FixtureRequest, machine: Machine) -> Client:
    return prepared(machine, request.param)


@dataclass
class Ways:
    """By which device packets leave namespace wgnet."""

    machine: Machine

    def asked(self, *marks: str) -> list[str]:
        """Return the devices that the routes name for packets with these marks."""
        lines = [f"ip -json route get 192.0.2.20 mark {mark}" for mark in marks]
        return [str(json.loads(self.machine.run(line, "wgnet"))[0]["dev"]) for line in lines]

    def taken(self, sticky: str) -> list[str]:
        """Return by which device a packet without a mark leaves that is sent by this one, as wireguard-go does."""
        with self._counted() as devices, socket.socket(type=socket.SOCK_DGRAM) as client:
            information = struct.pack("i8x", socket.if_nametoindex(sticky))  # in_pktinfo of ip(7)
            client.sendmsg([b"?"], [(socket.SOL_IP, socket.IP_PKTINFO, information)], 0, ("192.0.2.20", 9))
        return devices

    def pinged(self, bound: str) -> list[str]:
        """Return by which device an echo request leaves from a ping socket that is bound to this one."""
        with self._counted() as devices, socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as ping:
            ping.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, bound.encode())
            ping.sendto(bytes([8, 0, 0, 0, 0, 0, 0, 1]), ("192.0.2.20", 0))
        return devices

    @contextlib.contextmanager
    def _counted(self) -> Iterator[list[str]]:
        """Be in namespace wgnet; the list holds afterwards by which devices packets have left meanwhile."""
        devices: list[str] = []
        self.machine.run("nft -f -", "wgnet", stdin=COUNTERS)
        with self.machine.inside("wgnet"):
            yield devices
        listed = json.loads(self.machine.run("nft --json list counters table ip seen", "wgnet"))["nftables"]
        self.machine.run("nft delete table ip seen", "wgnet")
        counters = [each["counter"] for each in listed if "counter" in each]
        devices += [counter["name"] for counter in counters if counter["packets"]]


def test_a_paths_mark_picks_its_device_and_without_that_the_active_one(client: Client) -> None:
    client.up()
    ways = Ways(client.machine)
    assert ways.asked(*MARKS) == ["wgnet1", "wgnet1", "wgnet1", "wgnet2"]
    client.machine.run("ip route replace default dev wgnet2 src 10.87.0.5 proto 87", "wgnet")
    assert ways.asked(*MARKS) == ["wgnet2", "wgnet2", "wgnet1", "wgnet2"]
    client.machine.run("ip link delete wgnet1", "wgnet")
    assert ways.asked(*MARKS) == ["wgnet2", "wgnet2", "wgnet2", "wgnet2"]


def test_a_socket_that_sticks_to_a_device_takes_the_active_path(client: Client) -> None:
    client.up()
    ways = Ways(client.machine)
    assert ways.taken("wgnet2") == ["wgnet1"]
    client.machine.run("nft delete table inet wg_migrate", "wgnet")
    assert ways.taken("wgnet2") == ["wgnet2"]


def test_a_path_that_the_batches_have_chosen_stays_chosen(client: Client) -> None:
    """Their chain marks a packet before the table of namespace wgnet sees it."""
    client.up()
    ways = Ways(client.machine)
    client.machine.run("nft -f -", "wgnet", stdin=BATCHES)
    assert ways.taken("wgnet1") == ["wgnet2"]


def test_a_ping_leaves_by_the_path_that_it_watches(client: Client) -> None:
    client.up()
    ways = Ways(client.machine)
    assert ways.pinged("wgnet2") == ["wgnet2"]
    client.machine.run("nft -f -", "wgnet", stdin=BATCHES)
    assert ways.pinged("wgnet1") == ["wgnet1"]


def test_root_needs_no_rights_for_a_ping_in_wgnet(client: Client) -> None:
    client.up()
    bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--securebits=+noroot"]
    program = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)"
    said = [
        client.machine.start([*bare, *group, sys.executable, "-c", program], "wgnet").wait()
        for group in ([], ["--regid=65534", "--clear-groups"])
    ]
    assert said[0] == ""
    assert "PermissionError" in said[1]
