"""Captures at every vantage point: who sees what, packet by packet, and what is left when things go wrong."""

from __future__ import annotations

import json
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pcapng_blocks import Blocks, blocks

from tests.lab.conftest import CLIENT, EXIT, PROXIES, ROOT, WEB_ADDRESS, Lab, until
from tests.lab.test_traffic import CLIENT_ADDRESS, EXIT_ADDRESS, traffic
from tests.lab.test_watch import pinging

pytestmark = pytest.mark.lab
HOSTS = (CLIENT, *PROXIES, EXIT)
PROXY_ADDRESSES = {"wgnet1": "198.18.51.11", "wgnet2": "198.18.51.12"}
ETHERNET = 1
TCP, UDP = 6, 17
# Sent one by one: of TCP the kernel hands wg0 many segments as one, and wg0 sees what nobody else does.
DATAGRAMS = f"""
import socket, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stream:
    for number in range(600):
        stream.sendto(bytes(number * 37 % 1300), ("{WEB_ADDRESS}", 9))
        time.sleep(0.003)
"""


@dataclass(frozen=True)
class Seen:
    """An IPv4 packet in a file: when (ns), its bytes, and of WireGuard's data the receiver and the counter."""

    time: int
    size: int
    source: str
    target: str
    protocol: int
    ports: tuple[int, int]
    message: bytes

    @property
    def key(self) -> bytes:
        """What no two data messages of WireGuard have in common: receiver and counter (whitepaper, section 5.4.6)."""
        return self.message[4:16]


def seen(found: Blocks, layer: str, device: str | None = None) -> list[Seen]:
    """Return the IPv4 packets of a layer, in the file's order."""
    packets = []
    for number, packet in found.packets:
        name, of, link_type, *_ = found.devices[number]
        header = 14 if link_type == ETHERNET else 0
        data = packet.data[header:]
        if of != layer or (device and name != device) or (header and packet.data[12:14] != b"\x08\x00"):
            continue
        ends = (socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20]))
        ports = (int.from_bytes(data[20:22]), int.from_bytes(data[22:24]))
        packets.append(Seen(packet.time, packet.length - header, *ends, data[9], ports, data[28:]))
    return packets


@dataclass(frozen=True)
class Captured:
    """What a capture has written."""

    document: dict[str, Any]
    files: dict[str, Blocks]


def read(directory: Path) -> Captured:
    document = json.loads((directory / "capture.json").read_text())
    return Captured(document, {name: blocks((directory / f"{name}.pcapng").read_bytes()) for name in HOSTS})


@contextmanager
def capturing(directory: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Have a capture running, that has begun; it is told to end with the block."""
    argv = [str(ROOT / "scripts" / "capture"), "--to", str(directory), *words]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, cwd=directory.parent) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        assert said.startswith("capturing at client, wgnet1, wgnet2, exit into"), said + process.stderr.read()
        try:
            yield process
        finally:
            process.terminate()


def no_tcpdump_is_left(lab: Lab) -> bool:
    return all(lab.run(host, "pgrep tcpdump", check=False) == "" for host in HOSTS)


@pytest.fixture(scope="module")
def captured(deployed: Lab, tmp_path_factory: pytest.TempPathFactory) -> Captured:
    """Return a capture of two seconds of traffic both ways: datagrams of all sizes, and TCP that the kernel bundles."""
    directory = tmp_path_factory.mktemp("capture") / "made"
    datagrams = f"wg-migrate exec -- python3 -c {shlex.quote(DATAGRAMS)}"
    busy = f"sudo sh -c {shlex.quote(f'{datagrams} & {traffic(2, "-R", "-b", "3M")}; wait')}"
    command = [str(ROOT / "scripts" / "lab"), "ssh", CLIENT, busy]
    argv = [str(ROOT / "scripts" / "capture"), "--to", str(directory), "--", *command]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "error" not in json.loads(done.stdout)
    assert no_tcpdump_is_left(deployed)
    return read(directory)


def test_every_vantage_point_is_complete(captured: Captured) -> None:
    document = captured.document
    assert document["network"]["paths"] == [
        {"name": name, "proxy": name, "address": address, "port": 51820} for name, address in PROXY_ADDRESSES.items()
    ]
    assert document["schedule"]["period"] == 0.1
    assert [point["name"] for point in document["points"]] == list(HOSTS)
    for point in document["points"]:
        assert point["complete"], point
        assert (point["dropped"], point["packets"]) == (0, len(captured.files[point["name"]].packets))
        # One kernel has one clock: whatever is measured is wrong by that much, and must be known to be.
        assert abs(point["clock_offset"]) <= point["clock_error"]
        assert point["clock_error"] < 1


def test_files_are_in_the_order_of_time(captured: Captured) -> None:
    for found in captured.files.values():
        times = [packet.time for _, packet in found.packets]
        assert times == sorted(times)


def up(packets: list[Seen]) -> list[Seen]:
    """Return the data messages of WireGuard that go to the exit."""
    return [packet for packet in packets if packet.target == EXIT_ADDRESS and packet.message[:4] == b"\4\0\0\0"]


def down(packets: list[Seen]) -> list[Seen]:
    return [packet for packet in packets if packet.source == EXIT_ADDRESS and packet.message[:4] == b"\4\0\0\0"]


def common(packets: list[Seen], others: list[Seen]) -> list[tuple[bytes, int]]:
    """Return the packets from the first to the last that the others have too: some were on their way at both ends."""
    known = {packet.key for packet in others}
    places = [place for place, packet in enumerate(packets) if packet.key in known]
    return [(packet.key, packet.size) for packet in packets[places[0] : places[-1] + 1]]


@pytest.mark.parametrize("way", [up, down])
@pytest.mark.parametrize("path", PROXIES)
def test_a_proxy_sees_what_its_path_carries_in_the_same_sizes_and_order(
    captured: Captured, path: str, way: Any
) -> None:
    client = way(seen(captured.files[CLIENT], "overlay", path))
    proxy = way(seen(captured.files[path], "overlay"))
    assert common(client, proxy) == common(proxy, client)
    assert len(common(client, proxy)) > max(50, 0.8 * len(client), 0.8 * len(proxy))


def inner_sizes(captured: Captured) -> list[int]:
    """Return the sizes of the packets that the client sent into its inner tunnel, in their order."""
    found = captured.files[CLIENT]
    own = socket.inet_aton(captured.document["network"]["inner_address"])
    return [
        packet.length
        for number, packet in found.packets
        if found.devices[number][1] == "inner"
        # By wireguard-go's device the kernel solicits routers, too: that is all that there is to a multicast address.
        and (packet.data[24] == 0xFF if packet.data[0] >> 4 == 6 else packet.data[12:16] == own)
    ]


def test_the_proxies_together_see_what_the_client_sent_packet_by_packet(captured: Captured) -> None:
    """Sizes and order: wg0's packets, each padded and encrypted, are those of all proxies in the order of counters."""
    # WireGuard pads to 16 bytes, up to the MTU, and adds 60: IPv4, UDP, its header and tag.
    sent = [60 + min(-(-size // 16) * 16, 1340) for size in inner_sizes(captured)]
    # Counters begin anew with each session, of which a receiver's index is the name.
    sessions = list(dict.fromkeys(packet.message[4:8] for packet in up(seen(captured.files[CLIENT], "overlay"))))
    messages = sorted(
        (packet for path in PROXIES for packet in up(seen(captured.files[path], "overlay"))),
        key=lambda packet: (sessions.index(packet.message[4:8]), int.from_bytes(packet.message[8:16], "little")),
    )
    received = [packet.size for packet in messages if packet.size > 60]  # an empty one keeps the tunnel alive
    least = len(received) - 40
    assert least > 300
    assert any(sent[at : at + least] == received[20 : 20 + least] for at in range(len(sent) - least + 1))


def test_each_proxy_sees_only_its_own_path(captured: Captured) -> None:
    for path, address in PROXY_ADDRESSES.items():
        overlay = seen(captured.files[path], "overlay")
        ends = {captured.document["network"]["overlay_address"], EXIT_ADDRESS}
        assert {frozenset((packet.source, packet.target)) for packet in overlay} == {frozenset(ends)}
        outer = seen(captured.files[path], "outer")
        assert {frozenset((packet.source, packet.target)) for packet in outer} == {
            frozenset((CLIENT_ADDRESS, address)),
            frozenset((address, EXIT_ADDRESS)),
        }


def test_no_file_has_the_connections_over_which_it_came(captured: Captured) -> None:
    for name, found in captured.files.items():
        packets = [packet for layer in ("inner", "overlay", "outer") for packet in seen(found, layer)]
        assert packets
        assert [p for p in packets if p.protocol == TCP and 22 in p.ports] == [], name


@pytest.mark.usefixtures("deployed")
def test_tcpdump_itself_reads_a_file_of_one_kind_of_device(tmp_path: Path) -> None:
    argv = [str(ROOT / "scripts" / "capture"), "--at", "exit", "--filter", "inner", "--to", str(tmp_path / "made")]
    busy = [str(ROOT / "scripts" / "lab"), "ssh", CLIENT, "sudo wg-migrate exec -- ping -c 3 -i 0.2 198.18.51.80"]
    subprocess.run([*argv, "--", *busy], check=True, capture_output=True, timeout=60)
    said = subprocess.run(
        ["tcpdump", "-n", "-r", str(tmp_path / "made" / "exit.pcapng"), "icmp"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.count("ICMP echo request") == said.count("ICMP echo reply") == 3
    assert not (tmp_path / "made" / "client.pcapng").exists()


def test_a_host_that_drops_out_is_told_and_ctrl_c_leaves_good_files_and_no_tcpdump(
    deployed: Lab, tmp_path: Path
) -> None:
    directory = tmp_path / "made"
    with capturing(directory, "--seconds", "60") as process:
        with pinging(deployed):
            until(lambda: all(file.packets for file in read(directory).files.values()), "packets are written")
        # What holds the capture there is killed: nobody is left who could end tcpdump.
        deployed.run("wgnet2", "pkill -KILL -f '^python3 -c .*PR_SET_PDEATHSIG'")
        assert process.stderr is not None
        assert process.stderr.readline().startswith("wgnet2 dropped out: ")
        until(lambda: deployed.run("wgnet2", "pgrep tcpdump", check=False) == "", "tcpdump died with it")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    assert no_tcpdump_is_left(deployed)
    found = read(directory)
    assert {point["name"]: point["complete"] for point in found.document["points"]} == {
        name: name != "wgnet2" for name in HOSTS
    }
    assert all(file.rest == b"" and file.packets for file in found.files.values())


def test_a_killed_capture_leaves_no_tcpdump_and_what_came_can_be_read(deployed: Lab, tmp_path: Path) -> None:
    directory = tmp_path / "made"
    with capturing(directory, "--seconds", "60") as process:
        with pinging(deployed):
            until(lambda: all(file.packets for file in read(directory).files.values()), "packets are written")
        process.kill()
    until(lambda: no_tcpdump_is_left(deployed), "no tcpdump is left")
    assert all(file.packets for file in read(directory).files.values())
    assert not any(point["complete"] for point in read(directory).document["points"])


def test_a_host_without_tcpdump_is_refused_and_nothing_is_written(deployed: Lab, tmp_path: Path) -> None:
    deployed.run("exit", "chmod -x $(command -v tcpdump)")
    try:
        argv = [str(ROOT / "scripts" / "capture"), "--to", str(tmp_path / "made"), "--seconds", "1"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    finally:
        deployed.run("exit", "chmod +x /usr/bin/tcpdump")
    assert done.returncode == 1
    assert done.stderr.startswith("capture: no tcpdump on exit: install it there")
    assert not (tmp_path / "made").exists()


def test_hosts_capture_by_themselves_up_to_a_size_and_are_left_as_they_were(deployed: Lab, tmp_path: Path) -> None:
    directory = tmp_path / "made"
    deployed.run(EXIT, "dpkg --purge tcpdump libpcap0.8t64")
    before = deployed.run(EXIT, "dpkg --get-selections")
    options = {"capture_seconds": 4, "capture_megabytes": 1, "capture_snap": 0, "capture_to": str(directory)}
    words = [word for name, value in options.items() for word in ("-e", f"{name}={value}")]
    try:
        with pinging(deployed):
            said = deployed.play("playbooks/capture.yml", *words)
        assert deployed.run(EXIT, "dpkg --get-selections") == before
    finally:
        deployed.run(EXIT, "dpkg --install /var/cache/apt/archives/libpcap*.deb /var/cache/apt/archives/tcpdump*.deb")
    assert "exit.pcapng" in said
    for host in HOSTS:
        assert deployed.run(host, "ls /var/tmp/wg-migrate-capture", check=False) == ""
        assert deployed.run(host, "systemctl list-units --all --plain --no-legend 'wg-migrate-capture*'") == ""
    assert no_tcpdump_is_left(deployed)
    found = read(directory)
    points = {point["name"]: point for point in found.document["points"]}
    assert "the size limit was reached" in points[CLIENT]["problem"]
    for host in HOSTS:
        times = [packet.time for _, packet in found.files[host].packets]
        assert times == sorted(times)
        assert 0 < sum(len(packet.data) for _, packet in found.files[host].packets) < 1_000_000
