"""Hear from the kernel when something of ours changes in this namespace: wg0, routes, rules, tables of nftables.

Formats: linux/rtnetlink.h, linux/fib_rules.h, linux/netfilter/nfnetlink.h, netlink(7).
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import sys
from collections.abc import Iterator

from .config import INNER_DEVICE
from .tunnel_want import FIRST_RULE, LAST_RULE, NFT_TABLE, TABLE

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_RTM_NEWLINK, _RTM_DELLINK = 16, 17
_RTM_NEWROUTE, _RTM_DELROUTE, _RTM_NEWRULE, _RTM_DELRULE = 24, 25, 32, 33
_RTMSG_LENGTH = 12
"""Bytes of struct rtmsg and of struct fib_rule_hdr, which stand before the attributes."""
_RTA_TABLE, _FRA_PRIORITY = 15, 6
_NETLINK_NETFILTER = 12
_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP = 270, 1
_RTNLGRP_LINK = 1
_RTNLGRP_IPV4_ROUTE, _RTNLGRP_IPV4_RULE, _RTNLGRP_IPV6_ROUTE, _RTNLGRP_IPV6_RULE = 7, 8, 11, 19
_NFNLGRP_NFTABLES = 7
_LARGEST = 65536


class HostEvents:
    """Sockets of the namespace in which it was made. Wait for them with select."""

    def __init__(self) -> None:
        routes = (_RTNLGRP_LINK, _RTNLGRP_IPV4_ROUTE, _RTNLGRP_IPV4_RULE, _RTNLGRP_IPV6_ROUTE, _RTNLGRP_IPV6_RULE)
        self._routing = _member(socket.NETLINK_ROUTE, routes)
        self._tables = _member(_NETLINK_NETFILTER, (_NFNLGRP_NFTABLES,))

    def sockets(self) -> list[socket.socket]:
        """Return the sockets to wait for."""
        return [self._routing, self._tables]

    def concern_us(self) -> bool:
        """Read all that has come; tell whether any of it is about what is ours, or some of it was lost."""
        ours = [routing_is_ours(message) for message in _read(self._routing)]
        # A table's name is in every message about it and its rules, with a zero byte after it.
        ours += [message is None or f"{NFT_TABLE}\0".encode() in message for message in _read(self._tables)]
        return any(ours)


def routing_is_ours(datagram: bytes | None) -> bool:
    """Tell whether a datagram of routing messages is about wg0, our rules or our table; None stands for a lost one."""
    if datagram is None:
        return True
    return any(_message_is_ours(kind, body) for kind, body in _messages(datagram))


def _message_is_ours(kind: int, body: bytes) -> bool:
    if kind in (_RTM_NEWLINK, _RTM_DELLINK):
        return f"{INNER_DEVICE}\0".encode() in body  # its routes go with it, and nothing is said of them
    if kind in (_RTM_NEWROUTE, _RTM_DELROUTE):
        return _number(body, _RTA_TABLE) == int(TABLE)
    if kind in (_RTM_NEWRULE, _RTM_DELRULE):
        return FIRST_RULE <= _number(body, _FRA_PRIORITY) <= LAST_RULE
    return False


def _messages(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kind and body of each message."""
    while len(datagram) >= _HEADER.size:
        length, kind, _flags, _sequence, _port = _HEADER.unpack_from(datagram)
        if length < _HEADER.size:
            return
        yield kind, datagram[_HEADER.size : length]
        datagram = datagram[(length + 3) & ~3 :]


def _number(body: bytes, wanted: int) -> int:
    """Return a message's attribute of this kind as a number, -1 where it has none."""
    attributes = body[_RTMSG_LENGTH:]
    while len(attributes) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(attributes)
        if length < _ATTRIBUTE.size:
            break
        if kind == wanted and length == _ATTRIBUTE.size + 4:
            return int.from_bytes(attributes[_ATTRIBUTE.size : length], sys.byteorder)
        attributes = attributes[(length + 3) & ~3 :]
    return -1


def _member(protocol: int, groups: tuple[int, ...]) -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, protocol)
    made.bind((0, 0))
    for group in groups:
        made.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
    return made


def _read(from_: socket.socket) -> Iterator[bytes | None]:
    """Yield the datagrams that have come; None where the kernel had to drop some."""
    with contextlib.suppress(BlockingIOError):
        while True:
            try:
                yield from_.recv(_LARGEST)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                yield None
