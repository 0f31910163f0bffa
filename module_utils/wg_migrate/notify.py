"""Tell systemd how we are: sd_notify(3), by its documented datagram protocol."""

from __future__ import annotations

import os
import socket


def notify(message: str) -> None:
    """Send a message such as READY=1 to the service manager; do nothing where there is none."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as stream:
        stream.sendto(message.encode(), address)


def watchdog_period() -> float:
    """Return after how many seconds to send WATCHDOG=1: a third of what systemd waits; infinity where it doesn't."""
    microseconds = os.environ.get("WATCHDOG_USEC")
    return int(microseconds) / 3e6 if microseconds else float("inf")
