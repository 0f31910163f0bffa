"""One switch is one netlink message: the default route of namespace wgnet, replaced at once.

Nothing here runs a process. Formats: linux/netlink.h, linux/rtnetlink.h, rtnetlink(7).
"""

from __future__ import annotations

import os
import select
import socket
import struct

from .tunnel_want import ROUTE_PROTOCOL

_RTM_NEWROUTE = 24
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_REPLACE, _NLM_F_CREATE = 0x1, 0x4, 0x100, 0x400
_NLMSG_ERROR = 2
_RT_TABLE_MAIN, _RT_SCOPE_LINK, _RTN_UNICAST = 254, 253, 1
_RT_TABLE_UNSPEC = 0
_RTA_OIF, _RTA_PREFSRC, _RTA_TABLE = 4, 7, 15
_HEADER = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=BBBBBBBBI")
_ANSWER = struct.Struct("=IHHIIi")
_ACKNOWLEDGED = 0xFFFFFFFF
"""Sequence number of the messages whose answer is awaited."""


def encode(device_index: int, source: str, table: int | None = None, number: int | None = None) -> bytes:
    """Return the message that makes the device with this index the default for the family of the address `source`.

    The route stands in table main, with this source address, or in the table with this number. The kernel
    acknowledges the message; one with a `number`, from 0 on, it answers only if it refuses it, and by that number.
    """
    table_word = _RT_TABLE_MAIN if table is None else _RT_TABLE_UNSPEC
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    route = _ROUTE.pack(family, 0, 0, 0, table_word, int(ROUTE_PROTOCOL), _RT_SCOPE_LINK, _RTN_UNICAST, 0)
    attributes = _attribute(_RTA_OIF, struct.pack("=i", device_index))
    if table is None:
        attributes += _attribute(_RTA_PREFSRC, socket.inet_pton(family, source))
    else:
        attributes += _attribute(_RTA_TABLE, struct.pack("=I", table))
    flags = _NLM_F_REQUEST | _NLM_F_REPLACE | _NLM_F_CREATE
    flags, sequence = (flags | _NLM_F_ACK, _ACKNOWLEDGED) if number is None else (flags, number)
    length = _HEADER.size + len(route) + len(attributes)
    return _HEADER.pack(length, _RTM_NEWROUTE, flags, sequence, 0) + route + attributes


def _attribute(kind: int, value: bytes) -> bytes:
    """Return a routing attribute; all of ours have lengths divisible by 4 and so need no padding."""
    return struct.pack("=HH", 4 + len(value), kind) + value


class RouteSwitch:
    """A netlink socket of the namespace in which it was made."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        # The kernel answers within the call that sends: what it has said is there, and nothing more will come.
        self._socket.setblocking(False)
        self._answers = select.poll()
        self._answers.register(self._socket, select.POLLIN)
        self._refused: list[tuple[int, OSError]] = []
        self.post = self._socket.send
        """Make a switch by a message with a number. Nothing is read: that would be a fifth of what a switch costs."""

    def send(self, message: bytes | bytearray) -> None:
        """Make a switch, acknowledged. Raises OSError with the kernel's reason, ENODEV where the device is gone."""
        self._socket.send(message)
        while True:
            sequence, error = self._read()
            if sequence == _ACKNOWLEDGED:
                if error is not None:
                    raise error
                return
            if error is not None:
                self._refused.append((sequence, error))

    def refusals(self) -> list[tuple[int, OSError]]:
        """Return the numbers of the messages that the kernel has refused since the last time, with its reasons."""
        # Hardly ever there is one: a look costs a seventh of an attempt to read that fails.
        while self._answers.poll(0):
            sequence, error = self._read()
            if error is not None:
                self._refused.append((sequence, error))
        refused, self._refused = self._refused, []
        return refused

    def _read(self) -> tuple[int, OSError | None]:
        """Return an answer's number, and the error that it tells. Raises BlockingIOError where there is no answer."""
        answer = self._socket.recv(256)
        if len(answer) < _ANSWER.size:
            raise OSError("the kernel's answer to a route message is too short")
        _length, kind, _flags, sequence, _port, error = _ANSWER.unpack_from(answer)
        if kind == _NLMSG_ERROR and error != 0:
            return int(sequence), OSError(-error, os.strerror(-error))
        return int(sequence), None
