"""A client, two proxies and an exit on one wire, small: what is between them is real, what is around them is not."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from wg_migrate import config as configuration
from wg_migrate import control, schedule, schedule_file, tunnel
from wg_migrate.addresses import alone
from wg_migrate.config import Config
from wg_migrate.errors import WgMigrateError
from wg_migrate.sessions import read_sessions

from .client import EXIT, KEYS, PROXIES, make_config, make_key
from .machine import ROOT, ClientSystem, Machine, connect

CLIENT = "192.0.2.10"
WEB = "198.51.100.80"
"""An address of the exit that stands for all of the Internet."""
COMMAND = "import sys; sys.path.insert(0, sys.argv.pop(1)); from wg_migrate.cli import main; sys.exit(main())"
PATIENCE = 20.0
"""Seconds after which something that takes tenths of one has failed."""


@dataclass
class Topology:
    """`wire` is the bridge between the machines."""

    wire: Machine
    client: Machine
    proxies: list[Machine]
    exit: Machine
    system: ClientSystem
    config: Config

    def received(self) -> dict[str, int]:
        """Return how many packets have come out of each outer tunnel."""
        links = json.loads(self.client.run("ip -json -statistics link show", "wgnet"))
        return {link["ifname"]: link["stats64"]["rx"]["packets"] for link in links if link["ifname"] != "lo"}

    def sent(self) -> dict[str, int]:
        """Return how many packets have gone into each outer tunnel."""
        links = json.loads(self.client.run("ip -json -statistics link show", "wgnet"))
        return {link["ifname"]: link["stats64"]["tx"]["packets"] for link in links if link["ifname"] != "lo"}

    @contextlib.contextmanager
    def loop(
        self, when: float | dict[str, Any], program: str = COMMAND, up: int = 2
    ) -> Iterator[Callable[[], dict[str, Any]]]:
        """Run the loop as its service does, by a period or a whole schedule; give a function that asks for its state.

        It has begun when so many paths are `up`, and must live to the end.
        """
        document = when if isinstance(when, dict) else {"period": when}
        self.system.write(schedule_file.PATH, schedule_file.dump(schedule.parse(document)))
        service = self.client.start([sys.executable, "-c", program, str(ROOT / "module_utils"), "run"])
        path = self.client.path(control.PATH)
        try:
            wait_for(lambda: _up(path) >= up, "the paths are up")
            yield lambda: control.ask({"command": "status"}, path)
            assert service.running
        finally:
            said = service.stop()
        assert said == ""


def _up(path: str) -> int:
    """Return how many paths are up, by a loop that may not run yet."""
    try:
        status = control.ask({"command": "status"}, path)
    except WgMigrateError:
        return 0
    return sum(each["health"] == "up" for each in status["paths"].values())


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Return when the condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE:.0f} s"
        time.sleep(0.05)


@contextlib.contextmanager
def built(scope: str) -> Iterator[Topology]:
    """Build it all, wait until both layers have shaken hands, and end it all."""
    with contextlib.ExitStack() as machines:
        yield _build(scope, [machines.enter_context(contextlib.closing(Machine())) for _ in range(5)])


def _build(scope: str, machines: list[Machine]) -> Topology:
    wire, client, proxy1, proxy2, exit_machine = machines
    wire.run("ip link add bridge type bridge")
    wire.run("ip link set bridge up")
    connect(wire, client, "client", f"{CLIENT}/24")
    connect(wire, proxy1, "proxy1", f"{PROXIES['proxy1']}/24")
    connect(wire, proxy2, "proxy2", f"{PROXIES['proxy2']}/24")
    connect(wire, exit_machine, "exit", f"{EXIT.address}/24")
    system = ClientSystem(client)
    for machine in (client, proxy1, proxy2, exit_machine):
        machine.run("ip route add default via 192.0.2.1")
    ends = {"proxy1": proxy1, "proxy2": proxy2, "exit": exit_machine}
    publics = {name: make_key(client) for name in ends}
    config = make_config(scope, {name: public for name, (_, public) in publics.items()})
    for name, machine in ends.items():
        private, public = make_key(client)
        preshared = client.run("wg genpsk").strip()
        system.write(f"{KEYS}/{name}.key", private, 0o600)
        system.write(f"{KEYS}/{name}.psk", preshared, 0o600)
        inner = name == "exit"
        allowed = ",".join(map(alone, config.inner_addresses if inner else [config.overlay_address]))
        serve(machine, "wg0" if inner else "wgnet", publics[name][0], public, preshared, allowed)
    exit_machine.run(f"ip address add {EXIT.inner_address}/20 dev wg0")
    exit_machine.run(f"ip address add {EXIT.inner_address6}/64 dev wg0")
    exit_machine.run(f"ip address add {WEB}/32 dev lo")
    # As the exit's own table does: the client's small packets are answered by nothing, not even by an error.
    rules = "type filter hook input priority 0; policy accept; iifname wg0 udp dport 9 drop;"
    exit_machine.run("nft -f -", stdin=f"table ip discard {{ chain c {{ {rules} }}; }}")
    for proxy in (proxy1, proxy2):
        proxy.run(f"ip route add {config.overlay_address}/32 dev wgnet")
        proxy.run("sysctl -q -w net.ipv4.ip_forward=1")
        proxy.run(
            "nft -f -",
            stdin="table ip n { chain c { type nat hook postrouting priority 100; oifname eth0 masquerade; }; }",
        )
    system.write(configuration.PATH, configuration.dump(config), 0o600)
    client.run("mkdir -p /run/wg-migrate")
    tunnel.up(system, config)
    topology = Topology(wire, client, [proxy1, proxy2], exit_machine, system, config)
    wait_for(lambda: ping(topology, 1, 1.0) == 1, "the exit answers through both tunnels")
    wait_for(lambda: all(session.live for session in read_sessions(system, "wgnet").values()), "both paths are warm")
    return topology


def ping(topology: Topology, count: int, patience: float = 5.0) -> int:
    """Send datagrams 5 ms apart to the exit, which sends them back; return how many came back.

    `patience` is in seconds, for each answer after the last was sent.
    """
    with topology.exit.inside():
        server, stopper = _datagrams(WEB), _datagrams(WEB)
    with topology.client.inside(topology.config.inner_namespace):
        client = _datagrams(topology.config.inner_address)
    echo = threading.Thread(target=_echo, args=(server,))
    echo.start()
    with server, stopper, client:
        answers: set[bytes] = set()
        for number in range(1, count + 1):
            client.sendto(str(number).encode(), server.getsockname())
            _collect(client, answers, time.monotonic() + 0.005)
        deadline = time.monotonic() + patience
        while len(answers) < count and time.monotonic() < deadline:
            _collect(client, answers, time.monotonic() + 0.05)
        stopper.sendto(b"", server.getsockname())
        echo.join()
    return len(answers)


def _collect(client: socket.socket, answers: set[bytes], until: float) -> None:
    """Take the answers that come until a time of the monotonic clock."""
    while (left := until - time.monotonic()) > 0:
        if select.select([client], [], [], left)[0]:
            answers.add(client.recv(64))


def _datagrams(address: str) -> socket.socket:
    made = socket.socket(type=socket.SOCK_DGRAM)
    made.bind((address, 0))
    return made


def _echo(server: socket.socket) -> None:
    """Send every datagram back, until an empty one comes."""
    while True:
        text, sender = server.recvfrom(64)
        if not text:
            return
        server.sendto(text, sender)


def serve(
    machine: Machine, device: str, private: str, peer: str, preshared: str, allowed: str, port: int = 51820
) -> None:
    """Make a WireGuard device with one peer, as wg-quick would."""
    machine.start(["wireguard-go", "--foreground", device])
    wait_for(lambda: os.path.exists(machine.path(f"/run/wireguard/{device}.sock")), f"{device} is there")
    text = (
        f"[Interface]\nPrivateKey = {private}\nListenPort = {port}\n"
        f"[Peer]\nPublicKey = {peer}\nPresharedKey = {preshared}\nAllowedIPs = {allowed}\n"
    )
    machine.run(f"wg setconf {device} /dev/stdin", stdin=text)
    machine.run(f"ip link set {device} mtu 1340 up" if device == "wg0" else f"ip link set {device} mtu 1420 up")


class Capture:
    """What passes a port of the wire to the client, counted: by destination address and UDP port, or by protocol."""

    def __init__(self, topology: Topology, port: str = "client") -> None:
        with topology.wire.inside():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
            self._socket.bind((port, 0x0003))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.seen: Counter[str] = Counter()

    def __enter__(self) -> Capture:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        time.sleep(0.2)
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        while not self._over.is_set():
            if not select.select([self._socket], [], [], 0.1)[0]:
                continue
            frame, (_, _, kind, _, _) = self._socket.recvfrom(2048)
            if kind != socket.PACKET_OUTGOING:  # the bridge sends those to the client; what comes in is from it
                self.seen[name(frame)] += 1

    def leaks(self) -> dict[str, int]:
        """Return what left the client and was not WireGuard to a proxy, or ARP or neighbour discovery."""
        allowed = {f"udp {address} 51820" for address in PROXIES.values()} | {"arp", "icmpv6"}
        return {name: number for name, number in self.seen.items() if name not in allowed}


def name(frame: bytes) -> str:
    """Return what a frame is, in words."""
    kind = struct.unpack_from("!H", frame, 12)[0]
    if kind == 0x0806:
        return "arp"
    if kind == 0x86DD:
        return "icmpv6" if frame[20] in (0, 58) else "ipv6"
    if kind != 0x0800:
        return f"ethernet {kind:#x}"
    address, protocol = socket.inet_ntoa(frame[30:34]), frame[23]
    fragment = struct.unpack_from("!H", frame, 20)[0] & 0x3FFF
    if fragment:
        return f"fragment {address}"
    if protocol == socket.IPPROTO_UDP:
        return f"udp {address} {struct.unpack_from('!H', frame, 14 + (frame[14] & 15) * 4 + 2)[0]}"
    return f"protocol {protocol} {address}"


def share(before: dict[str, int], after: dict[str, int]) -> float:
    """Return the share of wgnet1 in the packets between two counts."""
    first, second = (after[path] - before[path] for path in ("wgnet1", "wgnet2"))
    assert first + second > 500, "too few packets to tell"
    return first / (first + second)
