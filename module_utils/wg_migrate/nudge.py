"""A small packet through wg0: the exit follows the path of the last packet that it heard."""

from __future__ import annotations

import errno
import socket

from .config import INNER_DEVICE

DISCARD_PORT = 9
"""RFC 863; the exit drops the packet unanswered."""


class Nudge:
    """Opened in the namespace where wg0 is, and bound to it, so that it can leave by nothing else."""

    def __init__(self, exit_inner_address: str) -> None:
        self._target = (exit_inner_address, DISCARD_PORT)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, INNER_DEVICE.encode() + b"\0")
        self._socket.setblocking(False)

    def send(self) -> bool:
        """Send the packet; return whether it went (a full queue means that there is traffic enough without it)."""
        try:
            self._socket.sendto(b"", self._target)
        except OSError:
            return False
        return True

    def lost(self) -> bool:
        """Tell whether the wg0 that this is bound to is gone from its namespace."""
        try:
            self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
        except OSError as error:
            return error.errno == errno.ENODEV
        return False
