"""A capture directory of known content: packets as they stand on the wire, and the files that hold them (pcapng).

A `Scene` sends packets through the double tunnel and writes down what every device of every host would see.
"""

from __future__ import annotations

import ipaddress
import json
import struct
from collections import defaultdict
from pathlib import Path
from typing import Any

from observe.report.capture import load
from observe.report.findings import Findings, find

STARTED = 1_700_000_000
"""2023-11-14T22:13:20+00:00, when each of these captures began."""
OVERLAY, INNER, WEB = "10.87.0.9", "10.87.16.9", "203.0.113.80"
UPLINK, CARD, ROUTER = "192.0.2.7", b"\x02\0\0\0\0\7", b"\x02\0\0\0\0\1"
EXIT = ("exit", "192.0.2.20", 51820)
PATHS = (("wgnet1", "wgnet1", "192.0.2.11", 51820), ("wgnet2", "wgnet2", "192.0.2.12", 51820))
ETHERNET, RAW = 1, 101
SNAP = 96
LAYERS = {
    "client": {"wg0": "inner", "wgnet1": "overlay", "wgnet2": "overlay", "eth0": "outer"},
    "wgnet1": {"wgnet": "overlay", "eth0": "outer"},
    "wgnet2": {"wgnet": "overlay", "eth0": "outer"},
    "exit": {"wg0": "inner", "eth0": "outer"},
}
FILTERS = {"eth0": "not tcp port 22"}
_TCP, _UDP, _ICMP = 6, 17, 1


def ip(source: str, target: str, protocol: int, payload: bytes, size: int = 0) -> bytes:
    """Return an IP packet; `size` is what its header says, where only its beginning is there."""
    ends = (ipaddress.ip_address(source), ipaddress.ip_address(target))
    if ends[0].version == 6:
        length = (size or 40 + len(payload)) - 40
        return struct.pack("!IHBB", 6 << 28, length, protocol, 64) + ends[0].packed + ends[1].packed + payload
    length = size or 20 + len(payload)
    return struct.pack("!BBHHHBBH", 0x45, 0, length, 0, 0, 64, protocol, 0) + ends[0].packed + ends[1].packed + payload


def udp(source: tuple[str, int], target: tuple[str, int], size: int) -> bytes:
    """Return a UDP packet of so many bytes, IP header included."""
    header = 48 if ":" in source[0] else 28
    payload = struct.pack("!HHHH", source[1], target[1], size - header + 8, 0) + bytes(size - header)
    return ip(source[0], target[0], _UDP, payload)


def tcp(source: tuple[str, int], target: tuple[str, int], size: int, stamps: tuple[int, int] | None) -> bytes:
    """Return a TCP segment of so many bytes, 52 or more; `stamps` are the time it tells and the one it repeats."""
    options = b"\1\1\x08\x0a" + struct.pack("!II", *stamps) if stamps else b"\1" * 12
    header = struct.pack("!HHIIBBHHH", source[1], target[1], 0, 0, 8 << 4, 0x10, 0, 0, 0) + options
    return ip(source[0], target[0], _TCP, header + bytes(size - 20 - len(header)))


def echo(source: str, target: str, number: int, reply: bool) -> bytes:
    """Return an echo request or reply."""
    return ip(source, target, _ICMP, struct.pack("!BBHHH", 0 if reply else 8, 0, 0, 7, number) + bytes(56))


def frame(packet: bytes, outward: bool, kind: int | None = None) -> bytes:
    """Return a packet as the client's card sends it, or receives it."""
    ether_type = kind or (0x86DD if packet[0] >> 4 == 6 else 0x0800)
    return (ROUTER + CARD if outward else CARD + ROUTER) + struct.pack("!H", ether_type) + packet


class Scene:
    """The packets of all devices of all hosts, by point and device, as (time, bytes of the packet, link type)."""

    def __init__(self, paths: tuple[tuple[str, str, str, int], ...] = PATHS, uplink: str = UPLINK) -> None:
        self.paths, self.uplink = paths, uplink
        self.seen: dict[str, dict[str, list[tuple[float, bytes, int]]]] = defaultdict(lambda: defaultdict(list))

    def see(self, point: str, device: str, time: float, packet: bytes, link_type: int = RAW) -> None:
        self.seen[point][device].append((time, packet, link_type))

    def send(self, time: float, path: int, inner: bytes, up: bool, delay: float = 0.005) -> None:
        """Send a packet of the client's applications; `delay` is each of the two hops', in seconds."""
        name, proxy, address, port = self.paths[path]
        overlay = _between((OVERLAY, 40000), EXIT[1:], len(inner) + 60, up)
        outer = _between((self.uplink, 40001), (address, port), len(overlay) + 60, up)
        onward = _between((address, 40002), EXIT[1:], len(overlay), up)
        at_exit, at_client = (time + 2 * delay, time) if up else (time, time + 2 * delay)
        self.see("client", "wg0", at_client, inner)
        self.see("client", name, at_client, overlay)
        self.see("client", "eth0", at_client, frame(outer, up), ETHERNET)
        self.see(proxy, "wgnet", time + delay, overlay)
        self.see(proxy, "eth0", time + delay, frame(outer, up), ETHERNET)
        self.see(proxy, "eth0", time + delay, frame(onward, up), ETHERNET)
        self.see("exit", "eth0", at_exit, frame(onward, up), ETHERNET)
        self.see("exit", "wg0", at_exit, inner)

    def write(self, directory: Path, *, offsets: dict[str, float] | None = None, **changes: Any) -> Path:
        """Write the capture; `offsets` are the hosts' clocks less the controller's, `changes` go into capture.json."""
        directory.mkdir(parents=True, exist_ok=True)
        points = []
        for name, layers in LAYERS.items():
            offset = (offsets or {}).get(name, 0.0)
            devices = self.seen.get(name, {})
            (directory / f"{name}.pcapng").write_bytes(
                pcapng({device: devices.get(device, []) for device in layers}, offset)
            )
            points.append(point(name, layers, offset, sum(len(found) for found in devices.values())))
        (directory / "capture.json").write_text(json.dumps(document(self.paths, points) | changes))
        return directory


def point(name: str, layers: dict[str, str], offset: float, packets: int) -> dict[str, Any]:
    """Return a point as capture.json has it."""
    return {
        "name": name,
        "role": name if name in {"client", "exit"} else "proxy",
        "file": f"{name}.pcapng",
        "filter": sorted(set(layers.values())),
        "interfaces": [{"name": device, "layer": layer} for device, layer in layers.items()],
        "clock_offset": offset,
        "clock_error": 0.0002,
        "packets": packets,
        "dropped": 0,
        "complete": True,
        "problem": None,
    }


def document(paths: tuple[tuple[str, str, str, int], ...], points: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what capture.json holds."""
    return {
        "format": 1,
        "started": "2023-11-14T22:13:20+00:00",
        "seconds": 2.0,
        "command": ["curl", "http://203.0.113.80/"],
        "client": "client",
        "network": {
            "overlay_address": OVERLAY,
            "inner_address": INNER,
            "exit": {"name": EXIT[0], "address": EXIT[1], "port": EXIT[2]},
            "paths": [
                {"name": name, "proxy": proxy, "address": address, "port": port} for name, proxy, address, port in paths
            ],
        },
        "scope": "host",
        "schedule": {"period": 0.1, "strategy": "round_robin"},
        "points": points,
    }


def pcapng(
    devices: dict[str, list[tuple[float, bytes, int]]], offset: float = 0.0, snap: int = SNAP, order: str = "<"
) -> bytes:
    """Return a file of some devices; times in nanoseconds by a clock that is `offset` seconds ahead."""
    parts = [_block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)]
    packets = []
    for number, (name, found) in enumerate(devices.items()):
        link_type = found[0][2] if found else RAW
        options = _option(2, name.encode(), order) + _option(9, b"\x09", order)
        options += _option(11, b"\0" + FILTERS.get(name, "").encode(), order) + bytes(4)
        parts.append(_block(1, struct.pack(f"{order}HHI", link_type, 0, snap) + options, order))
        packets += [(time, number, packet) for time, packet, _link_type in found]
    for time, number, packet in sorted(packets, key=lambda each: each[0]):
        stamp = STARTED * 10**9 + round((time + offset) * 1e9)
        kept = packet[:snap]
        head = struct.pack(f"{order}5I", number, stamp >> 32, stamp & 0xFFFFFFFF, len(kept), len(packet))
        parts.append(_block(6, head + kept + bytes(-len(kept) % 4), order))
    return b"".join(parts)


def _block(kind: int, body: bytes, order: str) -> bytes:
    length = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + length + body + length


def _option(code: int, value: bytes, order: str) -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def _between(near: tuple[str, int], far: tuple[str, int], size: int, up: bool) -> bytes:
    return udp(near, far, size) if up else udp(far, near, size)


def download(scene: Scene, seconds: float = 1.0, period: float = 0.1, paths: int = 2, begin: float = 0.0) -> None:
    """Download at an even pace: 10 segments down and 5 acknowledgements up in 10 ms, a switch each period."""
    near, far = (INNER, 50000), (WEB, 443)
    for tick in range(round(seconds * 100)):
        time = begin + tick / 100
        path = int((time - begin) / period + 1e-9) % paths
        for number in range(10):
            scene.send(time + number / 1000, path, tcp(far, near, 1300, (number, tick)), up=False)
        for number in range(5):
            scene.send(time + number / 500 + 1e-4, path, tcp(near, far, 52, (tick, number)), up=True)


def found(scene: Scene, directory: Path) -> Findings:
    """Return what the report finds in a scene."""
    return find(load(scene.write(directory)))
