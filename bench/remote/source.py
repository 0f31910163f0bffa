"""Send an endless download to the first who connects: `source.py PORT BITS_A_SECOND`. Ends when that one goes."""

from __future__ import annotations

import socket
import sys
import time

PAUSE = 0.005
"""Seconds between two portions: less than any silence that matters."""
PATIENCE = 30.0
"""Seconds to wait for somebody, or for one who takes nothing."""


def main(port: int, rate: float) -> None:
    """Serve one connection at RATE bits a second; say when somebody may connect."""
    portion = bytes(int(rate / 8 * PAUSE))
    with socket.create_server(("", port)) as server:
        server.settimeout(PATIENCE)
        print("listening", flush=True)
        connection, _ = server.accept()
        with connection:
            connection.settimeout(PATIENCE)
            due = time.monotonic()
            try:
                while True:
                    connection.sendall(portion)
                    # After a silence it goes on at its rate, as an application does, and makes up for nothing.
                    due = max(due + PAUSE, time.monotonic())
                    time.sleep(max(0.0, due - time.monotonic()))
            except OSError:
                pass  # the other has seen enough


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
