"""Each point's view of the client's traffic: when, how much, up or down, by which path.

A view keeps only what belongs to the client's tunnel: wg0's own packets inside the paths (overlay), what is inside wg0
(inner), WireGuard between client and proxies or between proxies and exit (outer).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from observe.report.capture import Capture, Endpoint, Network, Point
from observe.report.packets import UDP, Bools, Floats, Integers, Packets, is_address

NO_PATH = -1


@dataclass(frozen=True)
class Trace:
    """The client's packets at a point in the order of time, n of them.

    `times` in seconds since the capture began, `sizes` in bytes, `up` from the client, `path` its number in the
    network's paths, or NO_PATH where the layer does not tell.
    """

    times: Floats
    sizes: Integers
    up: Bools
    path: Integers

    def __len__(self) -> int:
        """Return how many they are."""
        return len(self.times)

    def take(self, which: Bools) -> Trace:
        """Return those where the mask is true."""
        return Trace(self.times[which], self.sizes[which], self.up[which], self.path[which])


@dataclass(frozen=True)
class View:
    """A trace and where it comes from: the point and the layer."""

    point: str
    role: str
    layer: str
    trace: Trace

    @property
    def source(self) -> str:
        """Say where the figures come from."""
        return f"{self.point}, {self.layer} layer, {len(self.trace)} packets"


def path_of(network: Network, proxy: str) -> int:
    """Return the number of the path that ends at a proxy, or NO_PATH."""
    return next((number for number, path in enumerate(network.paths) if path.proxy.name == proxy), NO_PATH)


def views(capture: Capture, point: Point, packets: Mapping[str, Packets]) -> dict[str, View]:
    """Return a point's views by layer, of those layers that were captured there, even where no packet was seen."""
    found = {}
    for layer in dict.fromkeys(point.layers.values()):
        devices = [name for name in packets if point.layers.get(name) == layer]
        parts = [_trace(capture.network, point, layer, name, packets[name]) for name in devices]
        if parts:
            found[layer] = View(point.name, point.role, layer, _joined(parts))
    return found


def at_uplink(packets: Packets, network: Network) -> tuple[Bools, Bools, Integers]:
    """Tell of each packet of the client's uplink whether it is WireGuard to a proxy, from one, and of which path."""
    ends = enumerate(path.proxy for path in network.paths)
    return _sides(packets, [(number, _to(packets, proxy), _from(packets, proxy)) for number, proxy in ends])


def _trace(network: Network, point: Point, layer: str, device: str, packets: Packets) -> Trace:
    if layer == "inner":
        up, down = (is_address(column, network.inner_address) for column in (packets.source, packets.target))
        return _of(packets, up, down, np.full(len(packets), NO_PATH))
    if layer == "overlay":
        return _overlay(network, point, device, packets)
    if point.role == "exit":
        return _at_exit(packets, network)
    if point.role == "proxy":
        return _at_proxy(packets, network, point)
    return _of(packets, *at_uplink(packets, network))


def _overlay(network: Network, point: Point, device: str, packets: Packets) -> Trace:
    """wg0's own packets; not the loop's echo requests, nor other clients' on a proxy."""
    up = is_address(packets.source, network.overlay_address) & _to(packets, network.exit)
    down = is_address(packets.target, network.overlay_address) & _from(packets, network.exit)
    if point.role == "proxy":
        number = path_of(network, point.name)
    else:
        number = next((number for number, path in enumerate(network.paths) if path.name == device), NO_PATH)
    return _of(packets, up, down, np.full(len(packets), number))


def _at_proxy(packets: Packets, network: Network, point: Point) -> Trace:
    """WireGuard between a proxy and its clients; that to the exit is the same traffic once more."""
    number = path_of(network, point.name)
    paths = [network.paths[number].proxy] if number != NO_PATH else []
    return _of(packets, *_sides(packets, [(number, _to(packets, proxy), _from(packets, proxy)) for proxy in paths]))


def _at_exit(packets: Packets, network: Network) -> Trace:
    """WireGuard between the proxies and the exit; whose it is besides this client's, nobody can tell."""
    to, back, ends = _to(packets, network.exit), _from(packets, network.exit), []
    for number, path in enumerate(network.paths):
        address = path.proxy.address
        ends.append((number, to & is_address(packets.source, address), back & is_address(packets.target, address)))
    return _of(packets, *_sides(packets, ends))


def _sides(packets: Packets, ends: list[tuple[int, Bools, Bools]]) -> tuple[Bools, Bools, Integers]:
    """Return which packets go up, which down, and by which path, from each path's number and packets up and down."""
    path, up, down = np.full(len(packets), NO_PATH), np.zeros(len(packets), bool), np.zeros(len(packets), bool)
    for number, to, back in ends:
        path[to | back] = number
        up |= to
        down |= back
    return up, down, path


def _to(packets: Packets, end: Endpoint) -> Bools:
    found: Bools = is_address(packets.target, end.address) & (packets.target_port == end.port)
    found &= packets.protocol == UDP
    return found


def _from(packets: Packets, end: Endpoint) -> Bools:
    found: Bools = is_address(packets.source, end.address) & (packets.source_port == end.port)
    found &= packets.protocol == UDP
    return found


def _of(packets: Packets, up: Bools, down: Bools, path: Integers) -> Trace:
    ours = up | down
    return Trace(packets.times[ours], packets.sizes[ours], up[ours], path[ours])


def _joined(parts: list[Trace]) -> Trace:
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in ("times", "sizes", "up", "path")]
    order = np.argsort(columns[0], kind="stable")
    return Trace(*(column[order] for column in columns))
