"""Tell what a capture here needs to know: `look.py SSH_CONNECTION QUESTION`, QUESTION and answer as JSON.

QUESTION is {"peers": [ADDRESS, ...], "mark": MARK, "client": BOOL}: packets of this mark to the peers leave by the
uplinks. SSH_CONNECTION is sshd's variable of that name. Changes nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from typing import Any

CONFIGURATION = "/etc/wg-migrate/config.json"


def printed(*argv: str) -> str:
    """Return what a command prints; nothing where it fails or is not there."""
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def listed(*argv: str) -> list[dict[str, Any]]:
    """Return what a command prints as a list in JSON; none where it fails."""
    try:
        found = json.loads(printed(*argv) or "[]")
    except ValueError:
        return []
    return [each for each in found if each]


def uplinks(peers: list[str], mark: str) -> list[str]:
    """Return the devices by which the peers are reached, and that of the default route."""
    routes = [listed("ip", "-json", "route", "get", peer, "mark", mark) for peer in peers]
    routes.append(listed("ip", "-json", "route", "show", "default"))
    return list(dict.fromkeys(str(route["dev"]) for found in routes for route in found if "dev" in route))


def is_there(device: str) -> bool:
    """Tell whether there is such a device now."""
    return os.path.exists(f"/sys/class/net/{device}")


def configured() -> dict[str, Any]:
    """Return the client's configuration, {} where there is none that can be read."""
    with contextlib.suppress(OSError, ValueError), open(CONFIGURATION) as stream:
        found: dict[str, Any] = json.load(stream)
        return found
    return {}


def main(connection: str, question: dict[str, Any]) -> None:
    """Print the answer."""
    # Where sudo and sshd leave PATH short, the tools of root are missing from it.
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
    configuration = configured() if question["client"] else {}
    pinned = [path.get("uplink") for path in configuration.get("paths", [])]
    devices = uplinks(question["peers"], question["mark"])
    devices += [device for device in dict.fromkeys(pinned) if device and device not in devices and is_there(device)]
    addresses = [each for device in devices for each in listed("ip", "-json", "address", "show", "dev", device)]
    answer: dict[str, Any] = {
        "tcpdump": shutil.which("tcpdump"),
        "uplinks": devices,
        "addresses": [entry["local"] for each in addresses for entry in each.get("addr_info", []) if "local" in entry],
        "ssh": connection.split(),
    }
    if question["client"]:
        answer["status"] = json.loads(printed("wg-migrate", "status", "--json") or "null")
        answer.update(management_ports=[22], lan_networks=[])
        answer.update({key: configuration[key] for key in ("management_ports", "lan_networks") if key in configuration})
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
