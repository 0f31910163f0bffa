"""Echo requests (RFC 792, RFC 4443) through one path to the exit, by a socket that can use no other device.

The kernel's ping sockets (icmp(7), sysctl ping_group_range) need no right to forge packets; it fills in the identifier
and the checksum, and gives us only our own answers.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time

_KINDS = {socket.AF_INET: (socket.IPPROTO_ICMP, 8, 0), socket.AF_INET6: (socket.IPPROTO_ICMPV6, 128, 129)}
"""Protocol, type of a request and of an answer."""
_HEADER = struct.Struct("!BBHHH")
_TIMESTAMPS = 35
"""SO_TIMESTAMPNS, of which Python has no word: the kernel notes when a packet came, however late we read it."""
_TIMESPEC = struct.Struct("@ll")


class Probe:
    """The probe of one path. Raises OSError where its device is gone or ping sockets are not allowed."""

    def __init__(self, device: str, source: str, target: str) -> None:
        self._number = 0
        self._sent_at = 0.0
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        protocol, self._request, self._reply = _KINDS[family]
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, protocol)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")
            self._socket.setsockopt(socket.SOL_SOCKET, _TIMESTAMPS, 1)
            self._socket.setblocking(False)
            self._socket.bind((source, 0))
            self._socket.connect((target, 0))
        except OSError:
            self._socket.close()
            raise

    def send(self) -> tuple[int, bool]:
        """Send a probe; return its number, and whether it went: one that did not is as good as lost."""
        self._number = (self._number + 1) & 0xFFFF
        self._sent_at = time.time()
        try:
            self._socket.send(_HEADER.pack(self._request, 0, 0, 0, self._number))
        except OSError:
            return self._number, False
        return self._number, True

    def receive(self) -> list[tuple[int, float | None]]:
        """Return the numbers of the probes that were answered since the last time, and after how many seconds.

        The time is known of the last probe only, and only as far as nobody has set the clock meanwhile.
        """
        answers: list[tuple[int, float | None]] = []
        # An ICMP error that came instead of an answer ends this too; the rest is read the next time.
        with contextlib.suppress(OSError):
            while True:
                answer, ancillary, _, _ = self._socket.recvmsg(64, 64)
                if len(answer) >= _HEADER.size and answer[0] == self._reply:
                    number = int(_HEADER.unpack_from(answer)[4])
                    if number == self._number:
                        return [*answers, (number, self._after(ancillary))]  # nothing more is to come
                    answers.append((number, None))
        return answers

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _after(self, ancillary: list[tuple[int, int, bytes]]) -> float | None:
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, _TIMESTAMPS):
                seconds, nanoseconds = _TIMESPEC.unpack(data)
                return float(seconds + nanoseconds / 1e9 - self._sent_at)
        return None
