"""What a switch costs the original loop: `original_cost.py LOOP SWITCHES`.

Runs the loop of `original.py` in a scratch namespace with two devices like the real ones, and prints as JSON the
CPU seconds a switch, of bash and of the processes that it starts.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys

NAMESPACE = "wgm-bench"
DEVICES = ("wgnet1", "wgnet2")
PERIOD = 0.001


def ip(*words: str) -> None:
    """Change the scratch namespace by `ip`."""
    subprocess.run(["ip", "-netns", NAMESPACE, *words], check=True)


def cpu_seconds(loop: str, switches: int) -> float:
    """Return the CPU time, user and system, of a whole loop with this many switches."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = ["bash", "-c", loop, "loop", *DEVICES, "100", str(PERIOD), str(switches)]
    subprocess.run(["ip", "netns", "exec", NAMESPACE, *words], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(loop: str, switches: int) -> None:
    """Make the namespace, measure, and remove it whatever happens."""
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    try:
        ip("link", "add", DEVICES[0], "type", "veth", "peer", "name", DEVICES[1])
        for device in DEVICES:
            ip("link", "set", device, "up")
        ip("route", "add", "default", "dev", DEVICES[0], "table", "100")
        # What it costs to come as far as the first switch is not of the switches.
        start = cpu_seconds(loop, 0)
        print(json.dumps((cpu_seconds(loop, switches) - start) / switches))
    finally:
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
