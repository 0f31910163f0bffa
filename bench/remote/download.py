"""Download for some seconds and tell the longest silence: `download.py ADDRESS PORT SECONDS`.

Prints as JSON the bytes received, the longest time without any (s), and when that began, in seconds from the start.
"""

from __future__ import annotations

import json
import socket
import sys
import time


def main(address: str, port: int, seconds: float) -> None:
    """Receive until the time is over; a silence that lasts until then counts with what it has lasted."""
    received = 0
    silence = silence_at = 0.0
    with socket.create_connection((address, port), timeout=10) as stream:
        begin = last = time.monotonic()
        print("connected", flush=True)
        while (now := time.monotonic()) < begin + seconds:
            stream.settimeout(begin + seconds - now)
            try:
                portion = stream.recv(1 << 16)
            except TimeoutError:
                portion = b""
                now = begin + seconds
            else:
                if not portion:
                    sys.exit("the server ended the download")
                now = time.monotonic()
            if now - last > silence:
                silence, silence_at = now - last, last - begin
            last = now
            received += len(portion)
    print(json.dumps({"bytes": received, "silence": round(silence, 4), "silence_at": round(silence_at, 3)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
