"""The control socket of the loop: one JSON object asks, one JSON object answers. Messages, not a stream.

AF_UNIX with SOCK_SEQPACKET keeps the bounds of messages, so that nothing is buffered and nobody's half sentence waits.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import socket
import struct
import sys
from collections.abc import Callable, Collection
from typing import Any

from .errors import WgMigrateError

PATH = "/run/wg-migrate/control.sock"
LARGEST = 65536
"""Bytes of a request or an answer."""
_LONGEST_ERROR = 800
_MOST_CONNECTIONS = 16
"""Whoever asks does so at once and goes; the others must not use up the descriptors that a process may have, and that
select can wait for."""
_TIMEOUT = 2.0
_CREDENTIALS = struct.Struct("3i")
"""SO_PEERCRED, unix(7): process, user, group of whoever has connected, as the kernel knows them."""

Handler = Callable[[dict[str, Any]], dict[str, Any]]


class ControlServer:
    """Listens on the control socket; `serve` answers whoever has asked, without ever waiting.

    The socket is for our own user, root, and for the members of `group` (a name; "": nobody), who may only ask for the
    status. Of too many connections the one that has been silent for longest is closed.
    """

    def __init__(self, path: str, handler: Handler, group: str = "") -> None:
        self._handler = handler
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # left by a loop that was killed
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        self._listener.setblocking(False)
        self._listener.bind(path)
        _open_to(path, group)
        self._listener.listen(8)
        self._connections: list[socket.socket] = []

    def descriptors(self) -> list[int]:
        """Return what to wait for."""
        return [each.fileno() for each in (self._listener, *self._connections)]

    def serve(self, ready: Collection[int]) -> None:
        """Answer and accept on the sockets that have something to read, which are given by their descriptors."""
        for each in [each for each in self._connections if each.fileno() in ready]:
            self._answer(each)
        if self._listener.fileno() in ready:
            self._accept()

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            self._connections.append(connection)
        if len(self._connections) > _MOST_CONNECTIONS:
            self._connections.pop(0).close()

    def _answer(self, connection: socket.socket) -> None:
        self._connections.remove(connection)
        answered = False
        with contextlib.suppress(OSError):  # a peer that went away, or does not read
            request, _, flags, _ = connection.recvmsg(LARGEST)
            answered = bool(request)
        if answered:
            # Outside: an error of the loop itself is none of the peer's.
            reply = self._reply(request, bool(flags & socket.MSG_TRUNC), may_command(connection))
            with contextlib.suppress(OSError):
                connection.send(json.dumps(reply).encode())
                self._connections.append(connection)  # the last to be closed
                return
        connection.close()

    def _reply(self, request: bytes, too_long: bool, in_command: bool) -> dict[str, Any]:
        if too_long:
            return {"error": f"the request is longer than {LARGEST} bytes"}
        try:
            document = json.loads(request)
        except (ValueError, RecursionError):
            return {"error": 'the request is not JSON: send an object such as {"command": "status"}'}
        if not isinstance(document, dict):
            return {"error": 'the request is no JSON object: send one such as {"command": "status"}'}
        if not in_command and document.get("command") != "status":
            return {"error": "the status is all that you may ask for: run this with sudo"}
        try:
            return self._handler(document)
        except WgMigrateError as error:
            return {"error": _cut(str(error))}


def _open_to(path: str, group: str) -> None:
    """Let only our own user connect, and the members of the group; say so where there is no such group."""
    os.chmod(path, 0o600)
    if not group:
        return
    try:
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
        os.chmod(path, 0o660)
    except (KeyError, OSError) as error:
        # Nobody's status is worth a loop that does not start.
        print(f"wg-migrate: group {group} cannot read the status: {error}", file=sys.stderr)


def may_command(connection: socket.socket) -> bool:
    """Tell whether the one at the other end has connected as our own user, root."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(credentials)
    return bool(user == os.geteuid())


def _cut(message: str) -> str:
    """Return a message that may repeat a word of any length, without its middle: it ends with what to send instead."""
    half = _LONGEST_ERROR // 2
    return message if len(message) <= _LONGEST_ERROR else f"{message[:half]} ... {message[-half:]}"


def ask(request: dict[str, Any], path: str = PATH) -> dict[str, Any]:
    """Send a request to the running loop and return its answer.

    Raises WgMigrateError where no loop is running, it does not answer, or it refuses.
    """
    text = json.dumps(request).encode()
    if len(text) > LARGEST:
        raise WgMigrateError(f"the request is longer than {LARGEST} bytes: write a shorter one")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(_TIMEOUT)
        try:
            connection.connect(path)
            connection.send(text)
            answer = json.loads(connection.recv(LARGEST))
        except (FileNotFoundError, ConnectionRefusedError):
            raise WgMigrateError("the migration loop is not running: start it with playbooks/migrate.yml") from None
        except PermissionError:
            raise WgMigrateError(
                f"{path} is for root and the group in client_status_group: run this with sudo"
            ) from None
        except (OSError, ValueError) as error:
            raise WgMigrateError(f"the migration loop gives no answer: {error}") from None
    if "error" in answer:
        raise WgMigrateError(str(answer["error"]))
    return dict(answer)
