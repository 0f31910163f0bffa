"""Capture on a host without the controller: `record.py SSH_CONNECTION ORDER`, ORDER as JSON. As root.

{"do": "start", "programs": [[...], ...], "seconds": N, "bytes": N} has each tcpdump written to a file by a unit of its
own, which ends after so many seconds, or when its file has so many bytes; returns when all of them capture. {"do":
"running"} prints how many still do. {"do": "remove"} ends them, removes all that was written, and prints what it was.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

DIRECTORY = Path("/var/tmp/wg-migrate-capture")
UNIT = "wg-migrate-capture"
HEADER = 24
"""Bytes of a capture without packets: written when the filter stands (pcap-savefile(5))."""
PATIENCE = 20.0


def units() -> list[str]:
    """Return the units that capture."""
    listing = ["systemctl", "list-units", "--plain", "--no-legend", "--state=active", f"{UNIT}-*"]
    shown = subprocess.run(listing, capture_output=True, text=True, check=False).stdout
    return [line.split()[0] for line in shown.splitlines() if line.strip()]


def remove() -> None:
    """End and remove everything, also of an earlier capture."""
    if running := units():
        subprocess.run(["systemctl", "stop", *running], check=False)
    shutil.rmtree(DIRECTORY, ignore_errors=True)


def start(programs: list[list[str]], seconds: float, size: int) -> None:
    """Start the units; end this process with a sentence where one does not capture."""
    remove()
    DIRECTORY.mkdir(mode=0o700)
    for number, argv in enumerate(programs):
        said = DIRECTORY / f"{number}.said"
        unit = ["systemd-run", "--quiet", "--collect", f"--unit={UNIT}-{number}"]
        # systemd ends it in time, also where the controller is gone; the kernel stops a file that grows too large.
        bounds = [
            f"RuntimeMaxSec={seconds:g}",
            "KillSignal=SIGINT",
            f"LimitFSIZE={size}",
            "LimitCORE=0",
            "TimeoutStopSec=10",
        ]
        bounds += [f"StandardOutput=file:{DIRECTORY / str(number)}.pcap", f"StandardError=file:{said}"]
        options = [word for bound in bounds for word in ("--property", bound)]
        subprocess.run([*unit, *options, "--", *argv], check=True)
    deadline = time.monotonic() + PATIENCE
    for number in range(len(programs)):
        while not has_begun(DIRECTORY / f"{number}.pcap"):
            if time.monotonic() > deadline:
                words = (DIRECTORY / f"{number}.said").read_text().strip().splitlines() or ["nothing"]
                remove()
                sys.exit(f"tcpdump did not begin; it said: {words[-1]}")
            time.sleep(0.05)


def has_begun(file: Path) -> bool:
    """Tell whether a capture has its header."""
    return file.exists() and file.stat().st_size >= HEADER


def main(order: dict[str, Any]) -> None:
    """Do what is ordered."""
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
    if order["do"] == "start":
        start(order["programs"], order["seconds"], order["bytes"])
    elif order["do"] == "running":
        print(len(units()))
    else:
        if DIRECTORY.exists():
            print(DIRECTORY)
        remove()


if __name__ == "__main__":
    main(json.loads(sys.argv[2]))
