"""Send small packets upstream, session by session: `sessions.py ADDRESS SESSIONS LEAST MOST`.

Each session begins with `wg-migrate new-session` and has a random number of packets, LEAST to MOST. Prints as JSON, for
each, how many were sent and how many each path carried: a list of {"sent": n, "carried": {path: n}}.
"""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import time

PORT, SIZE = 9, 64
"""RFC 863, discard; bytes of data in a packet."""
BURST, PAUSE = 20, 0.002
"""Packets, seconds: 10,000 packets a second at most, of which no queue on this machine loses any."""
PATIENCE = 5.0


def send(address: str, packets: int) -> None:
    """Send this many packets into the tunnel."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stream:
        for number in range(packets):
            stream.sendto(bytes(SIZE), (address, PORT))
            if number % BURST == BURST - 1:
                time.sleep(PAUSE)


def carried() -> dict[str, int]:
    """Return the packets of the present session that each path has carried, by the path's name."""
    said = subprocess.run(["wg-migrate", "status", "--json"], capture_output=True, check=True).stdout
    return {name: path["packets_up_session"] for name, path in json.loads(said)["paths"].items()}


def session(address: str, packets: int) -> dict[str, object]:
    """Have one session, and wait until all its packets went. What is still missing after PATIENCE does not come."""
    subprocess.run(["wg-migrate", "new-session"], check=True)
    send(address, packets)
    deadline = time.monotonic() + PATIENCE
    counts = carried()
    while sum(counts.values()) < packets and time.monotonic() < deadline:
        time.sleep(0.02)
        counts = carried()
    return {"sent": packets, "carried": counts}


def main(address: str, sessions: int, least: int, most: int) -> None:
    """Have the sessions and print what they gave."""
    chance = random.SystemRandom()
    print(json.dumps([session(address, chance.randint(least, most)) for _ in range(sessions)]))


if __name__ == "__main__":
    main(sys.argv[1], *(int(argument) for argument in sys.argv[2:]))
