"""A loop with nothing real around it: paths that answer or do not, nft, and a clock that only the tests move."""

from __future__ import annotations

import errno
import re
import struct
from collections.abc import Callable
from typing import Any

from client_samples import CONFIG, public_key
from fake_system import Answer, FakeSystem
from wg_migrate.config import PATH, Config, Path, dump
from wg_migrate.loop import Loop
from wg_migrate.repair import REQUEST, Repair
from wg_migrate.route_switch import encode
from wg_migrate.schedule import Health, parse
from wg_migrate.sessions import Session
from wg_migrate.system import Outcome
from wg_migrate.tunnel_want import path_mark
from wg_migrate.watch import Watch

ROUND_TRIP = 0.02
START = 1000.0
MAIN = 254
_ATTRIBUTES, _OIF, _TABLE = 28, 4, 15  # linux/rtnetlink.h


def paths(count: int) -> list[Path]:
    return [
        Path(f"wgnet{n}", f"proxy{n}", f"192.0.2.1{n}", 51820, public_key(f"PROXY{n}")) for n in range(1, count + 1)
    ]


class World:
    """What is outside of the loop: devices by index, which paths let packets pass, and what the devices count."""

    def __init__(self, names: list[str]) -> None:
        self.now = START
        self.devices = {name: 7 + 2 * number for number, name in enumerate(names)}
        self.alive = dict.fromkeys(names, True)
        self.ages: dict[str, float | None] = dict.fromkeys(names, 10.0)
        self.counters = {name: [0, 0] for name in names}  # received, sent
        self.answers: list[tuple[float, FakeProbe, int]] = []
        self.exit_answers = True
        self.unopened: set[str] = set()
        self.opened: list[FakeProbe] = []

    def open_probe(self, name: str) -> FakeProbe:
        if name in self.unopened:
            raise OSError(1, "not permitted")
        self.opened.append(FakeProbe(self, name))
        return self.opened[-1]

    def deliver(self) -> None:
        """Have the answers arrive that are due."""
        due = [answer for answer in self.answers if answer[0] <= self.now]
        self.answers = [answer for answer in self.answers if answer[0] > self.now]
        for _, probe, number in due:
            if probe.name in self.devices and not probe.closed:
                self.counters[probe.name][0] += 1
                probe.unread.append((number, ROUND_TRIP))

    def read_counters(self) -> dict[str, tuple[int, int]]:
        return {name: (self.counters[name][0], self.counters[name][1]) for name in self.devices}

    def sessions(self) -> dict[str, Session]:
        return {
            name: Session("192.0.2.1:1", age, 1, 2, 0 if age is None else int(1.8e9 - age))
            for name, age in self.ages.items()
            if name in self.devices
        }

    def remove(self, *names: str) -> None:
        for name in names:
            del self.devices[name]

    def make_anew(self, name: str, index: int) -> None:
        self.devices[name] = index
        self.counters[name] = [0, 0]


class FakeProbe:
    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.closed = False
        self.unread: list[tuple[int, float | None]] = []
        self.number = 0
        self._world = world

    def send(self) -> tuple[int, bool]:
        world = self._world
        self.number += 1
        if self.name not in world.devices:
            return self.number, False
        world.counters[self.name][1] += 1
        if world.alive[self.name] and world.exit_answers:
            world.answers.append((world.now + ROUND_TRIP, self, self.number))
        return self.number, True

    def receive(self) -> list[tuple[int, float | None]]:
        self._world.deliver()
        answers, self.unread = self.unread, []
        return answers

    def close(self) -> None:
        self.closed = True


_ACKNOWLEDGED = encode(1, "192.0.2.1")


class FakeSwitch:
    """Like the kernel, it knows devices by their numbers, and routes by their tables; `broken` gives a message's error.

    `sent` are the messages for the main table.
    """

    def __init__(self, world: World) -> None:
        self.sent: list[bytes] = []
        self.broken: dict[bytes, int] = {}
        self.routes: dict[int, int] = {}  # the index of the device, by the number of the table
        self._world = world
        self._refused: list[tuple[int, OSError]] = []

    def post(self, message: bytes) -> int:
        try:
            self.send(message)
        except OSError as error:
            self._refused.append((struct.unpack_from("=I", message, 8)[0], error))
        return len(message)

    def refusals(self) -> list[tuple[int, OSError]]:
        refused, self._refused = self._refused, []
        return refused

    def send(self, message: bytes) -> None:
        message = message[:6] + _ACKNOWLEDGED[6:12] + message[12:]  # whether an answer is awaited makes no difference
        if message in self.broken:
            raise OSError(self.broken[message], "broken")
        attributes = {}
        for start in range(_ATTRIBUTES, len(message), 8):
            _, kind, value = struct.unpack("=HHI", message[start : start + 8])
            attributes[kind] = value
        index, table = attributes[_OIF], attributes.get(_TABLE, MAIN)
        if index not in self._world.devices.values():
            raise OSError(errno.ENODEV, "No such device")
        self.routes[table] = index
        if table == MAIN:
            self.sent.append(message)

    def device(self, table: int) -> str | None:
        """Return where a table leads, if it leads anywhere: its route goes with the device."""
        index = self.routes.get(table)
        return next((name for name, each in self._world.devices.items() if each == index), None)


class FakeNudge:
    def __init__(self) -> None:
        self.sent = 0
        self.full = False
        self.gone = False

    def send(self) -> bool:
        self.sent += 1
        return not self.full

    def lost(self) -> bool:
        return self.gone


class FakeNft:
    """nft with one table, which it walks through packet by packet; `refuses` is what it says instead."""

    def __init__(self) -> None:
        self.refuses = ""
        self.keeps = False
        self.loads = 0
        self.table: list[tuple[int, int]] | None = None  # the mark and the packets of each batch
        self._at = 0

    def apply(self, _argv: list[str], stdin: str | None) -> Outcome:
        """Put the script's table in place, or take the table away where the script has none."""
        assert stdin is not None
        if "chain" not in stdin:
            if self.keeps:
                return Outcome(1, "", "Device or resource busy")
            self.table = None
            return Outcome(0, "", "")
        if self.refuses:
            return Outcome(1, "", self.refuses)
        found = re.findall(r"(\d+)-(\d+) : (0x[0-9a-f]+)", stdin)
        self.table = [(int(mark, 16), int(last) - int(first) + 1) for first, last, mark in found]
        self.table = self.table or [(int(mark, 16), 1) for mark in re.findall(r"mark set (0x[0-9a-f]+)", stdin)]
        self.loads += 1
        self._at = 0
        return Outcome(0, "", "")

    def next_marks(self, packets: int) -> dict[int, int]:
        """Walk on by so many packets; return how many got each mark."""
        assert self.table is not None
        marked: dict[int, int] = {}
        while packets:
            skip, here = self._at, 0
            while skip >= self.table[here][1]:
                skip -= self.table[here][1]
                here += 1
            mark, size = self.table[here]
            taken = min(packets, size - skip)
            marked[mark] = marked.get(mark, 0) + taken
            packets -= taken
            self._at = (self._at + taken) % sum(size for _, size in self.table)
        return marked


class Rig:
    """A running loop, by default round robin every 0.1 s on two paths that are up and have answered probes.

    `before` changes the world before the loop sees it; without `settled` no time has passed since.
    """

    def __init__(
        self,
        schedule: dict[str, Any] | None = None,
        count: int = 2,
        settled: bool = True,
        before: Callable[[Rig], None] | None = None,
    ) -> None:
        self.config: Config = Config(**{**vars(CONFIG), "paths": paths(count)})
        self.names = [path.name for path in self.config.paths]
        self.world = World(self.names)
        self.nft = FakeNft()
        if before is not None:
            before(self)
        answers: dict[str, Answer] = {
            "nft -f -": self.nft.apply,
            "wg set wg0": "",
        }
        self.system = FakeSystem(answers, {PATH: dump(self.config)})
        self.switch, self.nudge = FakeSwitch(self.world), FakeNudge()
        switch: Any = self.switch
        nudge: Any = self.nudge
        now = self.world.now
        self.watch = Watch(self.names, Health(), self.world.open_probe, self.world.read_counters, now)
        self.loop = Loop(self.config, self.system, switch, nudge, self.watch, Repair(self.system), now)
        self.find()
        self.loop.take(parse(schedule or {}), now)
        self._owed = [0.0, 0.0]
        if settled:
            self.run(0.5)

    @property
    def now(self) -> float:
        return self.world.now

    def find(self) -> None:
        self.loop.find(self.world.devices, self.world.sessions(), self.world.now)

    def status(self) -> dict[str, Any]:
        return self.loop.status(self.world.now)

    def active(self) -> str:
        active: str = self.status()["active"]
        return active

    def take(self, **document: Any) -> None:
        self.loop.handle({"command": "schedule", "schedule": document}, self.world.now)

    def run(self, seconds: float, up: float = 0.0, down: float = 0.0) -> list[str]:
        """Let time pass and do what is due, as the service does; return on which paths the route was put.

        `up` and `down` are packets of others a second.
        """
        world, before = self.world, len(self.switch.sent)
        end, standing = world.now + seconds, 0
        while world.now < end:
            then = max(world.now, min(self.loop.wake(), end))
            standing = standing + 1 if then == world.now else 0
            assert standing < 100, "something is due for ever"
            self._carry(up * (then - world.now), down * (then - world.now))
            world.now = then
            self.loop.step(then)
            if then >= self.loop.next_find:
                self.find()
        return [self.name_of(message) for message in self.switch.sent[before:]]

    def carry(self, up: int, down: int = 0) -> None:
        """Send packets of others, as the route or the batches say; what comes down comes by the route's path."""
        main = self.switch.device(MAIN)
        marked = self.nft.next_marks(up) if self.nft.table is not None else {0: up}
        for mark, packets in marked.items():
            device = self.switch.device(mark) or main
            if device is not None:
                self.world.counters[device][1] += packets
        if main is not None and self.world.alive[main]:
            self.world.counters[main][0] += down

    def switched(self) -> list[str]:
        return [self.name_of(message) for message in self.switch.sent]

    def name_of(self, message: bytes) -> str:
        return next((name for name in self.names if message == self.message(name)), "an old device")

    def message(self, name: str) -> bytes:
        return encode(self.world.devices.get(name, 0), self.config.overlay_address)

    def table_paths(self) -> set[str]:
        """Return the paths in the table that stands."""
        marks = {mark for mark, _ in self.nft.table or []}
        return {name for name in self.names if path_mark(name) in marks}

    def repairs(self) -> bool:
        """Tell whether repair was asked for, and take the request away as its service does."""
        return self.system.files.pop(REQUEST, None) is not None

    def _carry(self, up: float, down: float) -> None:
        self._owed = [self._owed[0] + up, self._owed[1] + down]
        whole = [int(owed) for owed in self._owed]
        self._owed = [owed - part for owed, part in zip(self._owed, whole, strict=True)]
        if any(whole):
            self.carry(*whole)
