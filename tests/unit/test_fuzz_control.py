"""The control socket with anybody on it: each request is answered or hung up on, and the loop goes on as before."""

from __future__ import annotations

import contextlib
import json
import select
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hostile import deep, everywhere, fuzz, judge, raw, spoilt, texts, values
from hypothesis import example, given
from hypothesis import strategies as st
from loop_rig import Rig
from test_fuzz_schedule import RUNNING, SAMPLES, still
from wg_migrate.control import LARGEST, ControlServer

MOST = 16
"""Connections that the server keeps open."""
REQUESTS: list[dict[str, Any]] = [
    {"command": "status"},
    {"command": "interval", "interval": 0.2},
    *({"command": "schedule", "schedule": each} for each in SAMPLES),
]
requests = st.one_of(
    st.sampled_from(REQUESTS).flatmap(spoilt).map(json.dumps),
    st.dictionaries(st.sampled_from(["command", "schedule", "interval"]), values).map(json.dumps),
    values.map(json.dumps),
    deep.map(lambda text: f'{{"command": {text}}}'),
    deep.map(lambda text: f'{{"command": "schedule", "schedule": {{"period": {text}}}}}'),
    texts.map(lambda text: f'{{"command": "schedule", "schedule": {{}}, "command": {json.dumps(text)}}}'),
).map(str.encode)


class Door:
    """A running loop and its control socket, served by the test itself: nothing happens beside it."""

    def __init__(self, path: str, schedule: dict[str, Any]) -> None:
        self.rig = Rig(schedule)
        self.server = ControlServer(path, lambda request: self.rig.loop.handle(request, self.rig.now))
        self._path = path

    def serve(self) -> None:
        while ready := select.select(self.server.descriptors(), [], [], 0)[0]:
            self.server.serve(ready)

    def connect(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        made.setblocking(False)
        made.connect(self._path)
        self.serve()
        return made

    def say(self, connection: socket.socket, message: bytes) -> dict[str, Any] | None:
        """Return the answer, or None where the server hung up."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(message)
            self.serve()
            if answer := connection.recv(LARGEST):
                return dict(json.loads(answer))
        return None

    def close(self) -> None:
        own = vars(self.server)
        for each in (own["_listener"], *own["_connections"]):
            each.close()


@pytest.fixture(scope="module", params=RUNNING, ids=str)
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    made = Door(str(tmp_path_factory.mktemp("control") / "control.sock"), request.param)
    yield made
    made.close()


@given(message=st.one_of(requests, raw))
@fuzz(50)
def test_any_request_is_answered_and_a_refused_one_changes_nothing(door: Door, message: bytes) -> None:
    check_request(door, message)


def test_each_thing_that_is_wrong_is_answered_and_changes_nothing(door: Door) -> None:
    for request in REQUESTS:
        for wrong in everywhere(request, every=11):
            check_request(door, json.dumps(wrong).encode())


def check_request(door: Door, message: bytes) -> None:
    rig, before = door.rig, still(door.rig)
    with door.connect() as connection:
        answer = door.say(connection, message)
    door.serve()
    assert answer is not None or message == b""
    if answer is None or "error" in answer:
        if answer:
            judge(answer["error"])
        assert still(rig) == before
    elif answer["schedule"] != before["status"]["schedule"]:
        rig.take(**before["status"]["schedule"])  # back to where the next case begins


@pytest.mark.parametrize("length", [LARGEST - 1, LARGEST, LARGEST + 1, 3 * LARGEST])
def test_a_request_of_any_length_is_refused(door: Door, length: int) -> None:
    before = still(door.rig)
    with door.connect() as connection:
        answer = door.say(connection, b'"' + b"x" * (length - 2) + b'"')
        assert answer is not None
        assert ("longer" in answer["error"]) == (length > LARGEST)
    assert still(door.rig) == before


def deepest() -> int:
    """Return how many lists in lists Python can just read."""
    depth = 500
    with contextlib.suppress(RecursionError):
        while json.loads("[" * depth + "]" * depth):
            depth += 1
    return depth


def test_requests_of_every_depth_are_refused(door: Door) -> None:
    """Also where Python can just read them, but perhaps not repeat them in a message."""
    before, limit = still(door.rig), deepest()
    with door.connect() as connection:
        for depth in range(limit - 20, limit + 10):
            lists = "[" * depth + "]" * depth
            for words in (f'"command": {lists}', f'"command": "schedule", "schedule": {{"period": {lists}}}'):
                answer = door.say(connection, f"{{{words}}}".encode())
                assert answer is not None
                judge(answer["error"])
    assert still(door.rig) == before


class Crowd:
    """Those who connect: some say nothing, some do not read, some vanish."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._open: list[socket.socket] = []

    def come(self) -> None:
        self._open.append(self._door.connect())

    def come_and_vanish(self) -> None:
        self._door.connect().close()

    def ask_and_vanish(self) -> None:
        with self._door.connect() as connection:
            connection.send(b'{"command": "status"}')
        self._door.serve()

    def vanish(self) -> None:
        if self._open:
            self._open.pop(0).close()
            self._door.serve()

    def ask_and_never_read(self, often: int = 3) -> None:
        connection = self._door.connect()
        self._open.append(connection)
        with contextlib.suppress(OSError):  # hung up on, or no room any more
            for _ in range(often):
                connection.send(b'{"command": "status"}')
                self._door.serve()

    def flood(self) -> None:
        self.ask_and_never_read(500)

    def ask_half(self) -> None:
        self._open.append(self._door.connect())
        self._open[-1].send(b'{"command": ')

    def go(self) -> None:
        for each in self._open:
            each.close()
        self._door.serve()


WAYS = [Crowd.come, Crowd.come_and_vanish, Crowd.ask_and_vanish, Crowd.vanish, Crowd.ask_and_never_read, Crowd.ask_half]
visits = st.lists(st.tuples(st.sampled_from(WAYS), st.integers(1, 2 * MOST)), max_size=3)


@given(visits=visits)
@example(visits=[(Crowd.come, 500)])
@example(visits=[(Crowd.ask_half, 500)])
@example(visits=[(Crowd.flood, 2)])
@fuzz(8)
def test_a_crowd_keeps_nobody_from_asking_and_the_loop_from_nothing(
    door: Door, visits: list[tuple[Callable[[Crowd], None], int]]
) -> None:
    crowd, schedule = Crowd(door), door.rig.status()["schedule"]
    for way, times in visits:
        for _ in range(times):
            way(crowd)
        assert len(door.server.descriptors()) <= 1 + MOST
        with door.connect() as connection:
            answer = door.say(connection, b'{"command": "status"}')
            assert answer is not None
            assert answer["schedule"] == schedule
        switched = door.rig.run(0.5)
        assert "packets" in schedule or len(switched) >= 4
    crowd.go()
    assert len(door.server.descriptors()) == 1
    assert door.rig.status()["schedule"] == schedule


def test_the_one_who_was_silent_for_longest_goes_first(door: Door) -> None:
    crowd = Crowd(door)
    with door.connect() as silent, door.connect() as talking:
        for _ in range(2 * MOST):
            crowd.come()
            assert door.say(talking, b'{"command": "status"}')
        assert silent.recv(1) == b""
        crowd.go()
    door.serve()
