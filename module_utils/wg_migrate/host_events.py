"""Hear from the kernel when something of ours changes in this namespace: wg0, routes, rules, tables of nftables.

And when something changes that our routes follow: the uplinks that paths are pinned to, and the host's routes by them.

Formats: linux/rtnetlink.h, linux/fib_rules.h, linux/netfilter/nfnetlink.h, netlink(7).
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import sys
from collections.abc import Collection, Iterator

from .config import INNER_DEVICE
from .tunnel_want import FIRST_RULE, LAST_RULE, NFT_TABLE, ROUTE_PROTOCOL, TABLE

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_RTM_NEWLINK, _RTM_DELLINK = 16, 17
_RTM_NEWROUTE, _RTM_DELROUTE, _RTM_NEWRULE, _RTM_DELRULE = 24, 25, 32, 33
_RTMSG_LENGTH = 12
"""Bytes of struct rtmsg and of struct fib_rule_hdr, which stand before the attributes."""
_RTM_PROTOCOL = 5
"""Where struct rtmsg has the protocol, a byte."""
_RTA_OIF, _RTA_TABLE, _FRA_PRIORITY = 4, 15, 6
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

    def concern_us(self, uplinks: Collection[str]) -> bool:
        """Read all that has come; tell whether any of it is about what is ours, or some of it was lost.

        `uplinks` are the devices that paths are pinned to.
        """
        indices = _indices(uplinks)
        ours = [routing_is_ours(message, uplinks, indices) for message in _read(self._routing)]
        # A table's name is in every message about it and its rules, with a zero byte after it.
        ours += [message is None or f"{NFT_TABLE}\0".encode() in message for message in _read(self._tables)]
        return any(ours)


def routing_is_ours(datagram: bytes | None, uplinks: Collection[str] = (), indices: Collection[int] = ()) -> bool:
    """Tell whether a datagram of routing messages is about wg0, our rules or our tables; None stands for a lost one.

    So is one about the devices that paths are pinned to, which are given by name and by index.
    """
    if datagram is None:
        return True
    return any(_message_is_ours(kind, body, uplinks, indices) for kind, body in _messages(datagram))


def _message_is_ours(kind: int, body: bytes, uplinks: Collection[str], indices: Collection[int]) -> bool:
    if kind in (_RTM_NEWLINK, _RTM_DELLINK):
        # A device's routes go with it, and nothing is said of them.
        return any(f"{name}\0".encode() in body for name in (INNER_DEVICE, *uplinks))
    if kind in (_RTM_NEWROUTE, _RTM_DELROUTE):
        ours = body[_RTM_PROTOCOL : _RTM_PROTOCOL + 1] == bytes([int(ROUTE_PROTOCOL)])
        return ours or _number(body, _RTA_TABLE) == int(TABLE) or _number(body, _RTA_OIF) in indices
    if kind in (_RTM_NEWRULE, _RTM_DELRULE):
        return FIRST_RULE <= _number(body, _FRA_PRIORITY) <= LAST_RULE
    return False


def _indices(devices: Collection[str]) -> set[int]:
    found = set()
    for name in devices:
        with contextlib.suppress(OSError):  # it is not there now
            found.add(socket.if_nametoindex(name))
    return found


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
