from __future__ import annotations

import contextlib
import grp
import json
import os
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wg_migrate import control
from wg_migrate.control import LARGEST, ControlServer, ask
from wg_migrate.errors import WgMigrateError


def handler(request: dict[str, Any]) -> dict[str, Any]:
    if request.get("command") != "status":
        raise WgMigrateError("send status")
    return {"interval": 0.1}


class Served:
    """A control server in a thread, as the loop serves it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.server = ControlServer(path, handler)
        self._stop_reader, self._stop_writer = socket.socketpair()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._stop_reader.fileno(), *self.server.descriptors()], [], [])
            if self._stop_reader.fileno() in ready:
                return
            self.server.serve(ready)

    def close(self) -> None:
        self._stop_writer.send(b"x")
        self._thread.join()
        own = vars(self.server)  # the loop has it as long as it lives, so that it needs no way to be closed
        for each in (own["_listener"], *own["_connections"], self._stop_reader, self._stop_writer):
            each.close()

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(5)
        connection.connect(self.path)
        return connection

    def say(self, request: bytes) -> dict[str, Any]:
        """Send bytes as they are and return the answer."""
        with self.connect() as connection:
            connection.send(request)
            answer: dict[str, Any] = json.loads(connection.recv(LARGEST))
            return answer


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(str(tmp_path / "control.sock"))
    yield made
    made.close()


def test_a_question_is_answered(served: Served) -> None:
    assert ask({"command": "status"}, served.path) == {"interval": 0.1}


def test_a_refusal_is_an_error_and_the_next_question_is_answered(served: Served) -> None:
    with pytest.raises(WgMigrateError, match="send status"):
        ask({"command": "stop"}, served.path)
    assert ask({"command": "status"}, served.path) == {"interval": 0.1}


NO_JSON = [b"status", b"{", b"\xff\xfe", b"\0", b"[" * 20000, b"9" * 5000, b'{"command": "status"']


@pytest.mark.parametrize("request_", NO_JSON, ids=lambda request: request[:8].hex())
def test_what_is_not_json_is_refused_with_what_to_send(served: Served, request_: bytes) -> None:
    assert 'send an object such as {"command": "status"}' in served.say(request_)["error"]
    assert ask({"command": "status"}, served.path) == {"interval": 0.1}


@pytest.mark.parametrize("request_", [b"[]", b'"status"', b"1", b"null", b"NaN"], ids=bytes.decode)
def test_what_is_no_object_is_refused_with_what_to_send(served: Served, request_: bytes) -> None:
    assert 'send one such as {"command": "status"}' in served.say(request_)["error"]


def test_a_request_that_is_too_long_is_refused(served: Served) -> None:
    assert f"longer than {LARGEST} bytes" in served.say(b'"' + b"x" * LARGEST + b'"')["error"]
    assert ask({"command": "status"}, served.path) == {"interval": 0.1}


def test_ten_megabytes_do_no_harm(served: Served) -> None:
    with served.connect() as connection, pytest.raises(OSError, match="too long"):
        connection.send(b"x" * 10_000_000)
    assert ask({"command": "status"}, served.path) == {"interval": 0.1}


def test_one_who_connects_and_says_nothing_blocks_nobody(served: Served) -> None:
    with served.connect(), served.connect(), served.connect():
        assert ask({"command": "status"}, served.path) == {"interval": 0.1}


def test_one_who_asks_and_does_not_listen_blocks_nobody(served: Served) -> None:
    with served.connect() as deaf:
        deaf.settimeout(1)
        with contextlib.suppress(OSError):  # hung up on, once there is no room for another answer
            for _ in range(2000):
                deaf.send(b"{}")
        assert ask({"command": "status"}, served.path) == {"interval": 0.1}


def test_one_who_goes_away_at_once_is_forgotten(served: Served) -> None:
    for _ in range(5):
        served.connect().close()
    assert ask({"command": "status"}, served.path) == {"interval": 0.1}
    assert ask({"command": "status"}, served.path) == {"interval": 0.1}
    assert len(served.server.descriptors()) <= 3


def test_one_connection_may_ask_often(served: Served) -> None:
    with served.connect() as connection:
        for _ in range(3):
            connection.send(b'{"command": "status"}')
            assert json.loads(connection.recv(LARGEST)) == {"interval": 0.1}


def test_the_socket_is_for_its_owner_alone(served: Served) -> None:
    assert os.stat(served.path).st_mode & 0o777 == 0o600


def test_a_group_that_is_not_there_keeps_nobody_from_starting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "control.sock")
    server = ControlServer(path, handler, "no-such-group")
    vars(server)["_listener"].close()
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert "group no-such-group cannot read the status" in capsys.readouterr().err


def test_the_socket_is_open_to_its_group(tmp_path: Path) -> None:
    path = str(tmp_path / "control.sock")
    server = ControlServer(path, handler, grp.getgrgid(os.getgid()).gr_name)
    vars(server)["_listener"].close()
    assert (os.stat(path).st_mode & 0o777, os.stat(path).st_gid) == (0o660, os.getgid())


def test_another_user_may_only_ask_for_the_status(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "may_command", lambda _connection: False)
    assert ask({"command": "status"}, served.path) == {"interval": 0.1}
    commands: list[Any] = ["interval", "new_session", "schedule", None, ["status"], {}]
    for command in commands:
        with pytest.raises(WgMigrateError, match="the status is all that you may ask for: run this with sudo"):
            ask({"command": command}, served.path)


def test_the_kernel_tells_who_has_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        assert control.may_command(ours)
        uid = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
        assert not control.may_command(ours)


def test_a_socket_left_by_a_killed_loop_is_replaced(tmp_path: Path) -> None:
    left = str(tmp_path / "left.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
        dead.bind(left)
    again = Served(left)
    assert ask({"command": "status"}, left) == {"interval": 0.1}
    again.close()


def test_where_no_loop_runs_the_playbook_is_named(tmp_path: Path) -> None:
    with pytest.raises(WgMigrateError, match=r"not running: start it with playbooks/migrate\.yml"):
        ask({"command": "status"}, str(tmp_path / "none.sock"))


def _hang_up(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    connection.close()


def test_a_loop_that_answers_nonsense_is_an_error(tmp_path: Path) -> None:
    path = str(tmp_path / "control.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen(1)
        thread = threading.Thread(target=_hang_up, args=(listener,))
        thread.start()
        with pytest.raises(WgMigrateError, match="gives no answer"):
            ask({"command": "status"}, path)
        thread.join()


def test_one_who_may_not_is_told_to_use_sudo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Refused(socket.socket):
        def connect(self, address: Any) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Refused)
    with pytest.raises(WgMigrateError, match="is for root and the group in client_status_group: run this with sudo"):
        ask({"command": "schedule", "schedule": {}}, str(tmp_path / "control.sock"))


def test_a_request_that_does_not_fit_into_a_message_is_an_error(served: Served) -> None:
    with pytest.raises(WgMigrateError, match="longer than 65536 bytes: write a shorter one"):
        ask({"command": "schedule", "schedule": {"strategy": "x" * 10_000_000}}, served.path)
    assert ask({"command": "status"}, served.path) == {"interval": 0.1}
