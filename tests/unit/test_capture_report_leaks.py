"""Leaks on the client's uplink: those that were planted are found, and nothing else is taken for one."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from capture_samples import ETHERNET, INNER, PATHS, UPLINK, WEB, Scene, download, echo, found, frame, ip, tcp, udp

from observe.report.capture import load
from observe.report.findings import find


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    download(made)
    return made


NOBODY = str(ipaddress.IPv4Address(0))
LEAKED = [
    ("dns", frame(udp((UPLINK, 5353), ("198.51.100.53", 53), 60), True), f"{UPLINK}:5353 > 198.51.100.53:53 udp"),
    ("answer", frame(udp(("198.51.100.53", 53), (UPLINK, 5353), 60), False), f"198.51.100.53:53 > {UPLINK}:5353 udp"),
    ("to a proxy's other port", frame(udp((UPLINK, 9), (PATHS[0][2], 9999), 60), True), "192.0.2.11:9999 udp"),
    ("tcp to a proxy's port", frame(tcp((UPLINK, 9), PATHS[0][2:], 60, None), True), "192.0.2.11:51820 tcp"),
    ("an inner address", frame(tcp((INNER, 9), (WEB, 443), 60, None), True), f"{INNER}:9 > {WEB}:443 tcp"),
    ("ipv6", frame(tcp(("2001:db8::7", 9), ("2001:db8::80", 443), 80, None), True), "2001:db8::7:9 > 2001:db8::80:443"),
    ("ipv6 answer", frame(tcp(("2001:db8::80", 443), ("2001:db8::7", 9), 80, None), False), "2001:db8::80:443 > 2001:"),
    ("ping", frame(echo(UPLINK, WEB, 1, reply=False), True), "protocol 1"),
]
ALLOWED = [
    ("management", frame(tcp(("192.0.2.1", 50022), (UPLINK, 22), 60, None), False), "management"),
    ("dhcp", frame(udp((NOBODY, 68), ("255.255.255.255", 67), 300), True), "neighbours"),
    ("neighbours", frame(ip("fe80::7", "ff02::1:ff00:1", 58, b"\x87" + bytes(23)), True), "neighbours"),
]


@pytest.mark.parametrize(("name", "packet", "words"), LEAKED, ids=[each[0] for each in LEAKED])
def test_a_leak_is_found(scene: Scene, tmp_path: Path, name: str, packet: bytes, words: str) -> None:
    for time in (0.5, 0.25, 0.75):
        scene.see("client", "eth0", time, packet, ETHERNET)
    leaks = found(scene, tmp_path).leaks
    assert leaks is not None
    assert leaks.counts["leaks"] == 3, name
    assert leaks.counts["wireguard"] == 1500
    assert leaks.times == pytest.approx([0.25, 0.5, 0.75])
    (example,) = leaks.examples
    assert words in example.flow
    assert example.packets == 3
    assert example.first == pytest.approx(0.25)


@pytest.mark.parametrize(("name", "packet", "kind"), ALLOWED, ids=[each[0] for each in ALLOWED])
def test_what_may_go_beside_the_tunnel_is_no_leak(
    scene: Scene, tmp_path: Path, name: str, packet: bytes, kind: str
) -> None:
    scene.see("client", "eth0", 0.5, packet, ETHERNET)
    leaks = found(scene, tmp_path).leaks
    assert leaks is not None
    assert (leaks.counts["leaks"], leaks.counts[kind], leaks.others) == (0, 1, 0), name


def test_others_on_the_wire_and_arp_are_not_the_clients(scene: Scene, tmp_path: Path) -> None:
    stranger = b"\xff" * 6 + b"\x02\0\0\0\0\x63\x08\0" + udp(("192.0.2.99", 1), ("192.0.2.255", 137), 90)
    scene.see("client", "eth0", 0.5, stranger, ETHERNET)
    scene.see("client", "eth0", 0.5, frame(bytes(46), True, 0x0806), ETHERNET)
    leaks = found(scene, tmp_path).leaks
    assert leaks is not None
    assert (leaks.counts["leaks"], leaks.others) == (0, 2)


def test_a_host_of_which_only_a_namespace_is_tunnelled_may_speak_for_itself(scene: Scene, tmp_path: Path) -> None:
    for packet in (udp((UPLINK, 5353), ("198.51.100.53", 53), 60), tcp((UPLINK, 9), (WEB, 443), 60, None)):
        scene.see("client", "eth0", 0.5, frame(packet, True), ETHERNET)
    leaks = find(load(scene.write(tmp_path, scope="namespace"))).leaks
    assert leaks is not None
    # The applications speak with the web server, and only through the tunnel; the resolver is the host's.
    assert (leaks.counts["leaks"], leaks.own) == (1, 1)
    assert f"> {WEB}:443 tcp" in leaks.examples[0].flow


def test_without_any_wireguard_on_the_uplink_nothing_is_judged(scene: Scene, tmp_path: Path) -> None:
    scene.seen["client"]["eth0"] = [(0.5, LEAKED[0][1], ETHERNET)]
    result = found(scene, tmp_path)
    assert result.leaks is None
    assert "No WireGuard packet" in result.missing["leaks"]
