"""A piece of the client's cable that damages, doubles and delays WireGuard's packets.

Kernels without netem have nothing for it. So the client's port is taken off the bridge, another one put in its place,
and every frame carried from the one to the other here. Checksums that a sender left to the network card stay so
(PACKET_VNET_HDR, packet(7)): what is damaged is found by nobody before WireGuard.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import random
import select
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator

from tests.lab.conftest import CLIENT, ROOT, Lab

SHARE = 0.02
"""Of the packets each way, for each kind of damage."""
DELAYS = 0.002, 0.02
"""Seconds for which a packet is held back: behind dozens that were sent after it."""
SOL_PACKET, PACKET_VNET_HDR = 263, 15  # linux/socket.h, linux/if_packet.h
HEADER = 10
"""Bytes before each frame: struct virtio_net_hdr."""
PAYLOAD = HEADER + 14 + 20 + 8
"""Where WireGuard's message begins, behind Ethernet, IPv4 without options, and UDP."""
NEAR, FAR, BRIDGE_TABLE = "wgm-rough0", "wgm-rough1", "wgm-rough"


@contextlib.contextmanager
def rough_wire(lab: Lab, draw: random.Random) -> Iterator[Counter[str]]:
    """Carry the client's frames while the block runs; give how many were `damaged`, `doubled` and `delayed` so far."""
    told = subprocess.run([str(ROOT / "scripts" / "lab"), "status", "--json"], capture_output=True, check=True)
    port = str(json.loads(told.stdout)["machines"][CLIENT]["bridge_port"])
    bridge = lab.bridge()
    counts: Counter[str] = Counter()
    with contextlib.ExitStack() as undone:
        _lay(lab, port, bridge, undone)
        client, others = undone.enter_context(_tap(port)), undone.enter_context(_tap(NEAR))
        ended = threading.Event()
        carrier = threading.Thread(target=_carry, args=(client, others, draw, counts, ended))
        carrier.start()
        try:
            yield counts
        finally:
            ended.set()
            carrier.join()


def _lay(lab: Lab, port: str, bridge: str, undone: contextlib.ExitStack) -> None:
    """Put the cable in place of the client's port. Its ends are for taps alone: this machine hears nothing by them."""
    lab.run(CLIENT, "ip link set dev eth0 gso_max_segs 1")
    undone.callback(lab.run, CLIENT, "ip link set dev eth0 gso_max_segs 65535")
    _run(f"ip link add {NEAR} type veth peer name {FAR}")
    undone.callback(_run, f"ip link delete dev {NEAR}")
    drop = "type filter hook ingress device {0} priority 0; drop;"
    deaf = " ".join(f"chain {name} {{ {drop.format(name)} }};" for name in (port, NEAR))
    _run(f"nft table netdev {BRIDGE_TABLE} {{ {deaf} }};")
    undone.callback(_run, f"nft delete table netdev {BRIDGE_TABLE}")
    for device in (NEAR, FAR):
        _run(f"sysctl --quiet --write net.ipv6.conf.{device}.disable_ipv6=1")
    _run(f"ip link set dev {FAR} gso_max_segs 1 master {bridge} up")
    _run(f"ip link set dev {NEAR} up")
    _run(f"ip link set dev {port} nomaster")
    undone.callback(_run, f"ip link set dev {port} master {bridge}")


def _run(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True)


def _tap(device: str) -> socket.socket:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
    tap.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
    tap.bind((device, 0))
    return tap


def _carry(
    client: socket.socket, others: socket.socket, draw: random.Random, counts: Counter[str], ended: threading.Event
) -> None:
    """Carry frames both ways until `ended`."""
    held: list[tuple[float, int, socket.socket, bytes]] = []
    number = 0
    while not ended.is_set():
        wait = max(0.0, held[0][0] - time.monotonic()) if held else 0.2
        for tap in select.select([client, others], [], [], min(wait, 0.2))[0]:
            frame, (_, _, kind, *_) = tap.recvfrom(1 << 17)
            if kind == socket.PACKET_OUTGOING:
                continue  # our own
            to = others if tap is client else client
            number += 1
            for later, each in _treat(frame, draw, counts):
                heapq.heappush(held, (time.monotonic() + later, number, to, each))
        while held and held[0][0] <= time.monotonic():
            _, _, to, frame = heapq.heappop(held)
            to.send(frame)


def _treat(frame: bytes, draw: random.Random, counts: Counter[str]) -> Iterator[tuple[float, bytes]]:
    """Return what becomes of a frame: copies, each with the seconds that it is held back."""
    if not _is_wireguard(frame):
        yield 0.0, frame
        return
    fate = draw.random()
    if fate < SHARE:
        counts["damaged"] += 1
        place = draw.randrange(PAYLOAD, len(frame))
        yield 0.0, frame[:place] + bytes([frame[place] ^ 1 << draw.randrange(8)]) + frame[place + 1 :]
    elif fate < 2 * SHARE:
        counts["doubled"] += 1
        yield 0.0, frame
        yield draw.uniform(*DELAYS), frame
    elif fate < 3 * SHARE:
        counts["delayed"] += 1
        yield draw.uniform(*DELAYS), frame
    else:
        yield 0.0, frame


def _is_wireguard(frame: bytes) -> bool:
    """Tell whether a frame is UDP over IPv4 from or to port 51820."""
    ports = frame[HEADER + 34 : HEADER + 38]
    udp = frame[HEADER + 12 : HEADER + 15] == b"\x08\x00\x45" and frame[HEADER + 23] == socket.IPPROTO_UDP
    port = (51820).to_bytes(2, "big")
    return udp and len(frame) > PAYLOAD and port in (ports[:2], ports[2:])
