"""The tunnel of the original demo, rebuilt for comparison: `original.py up WEB_ADDRESS` and `original.py down`.

All its devices are in the host's namespace, and a route to the web's address leads into it. It uses the keys and
peers of the deployed client, whose own tunnel must be down.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

CONFIG = "/etc/wg-migrate/config.json"
MARK, TABLE = "0x100", "100"
LAYER = 80
"""Bytes that a layer of WireGuard takes of the MTU, as in our tunnel: only the loop is to differ. The original had 1420
on all three devices. Its full packets were cut up, and of a wireguard-go that hands the kernel many at once (UDP
segmentation offload) none came through."""


def run(*words: str, check: bool = True) -> bool:
    """Run a command, which says nothing, and tell whether it succeeded."""
    # wireguard-go stays: with our output in its hands, SSH would wait for it.
    done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=check)
    return done.returncode == 0


def tunnel(device: str, peer: dict[str, Any], keys: str, address: str, mark: str, mtu: int) -> None:
    """Make a WireGuard device with one peer: a proxy or the exit, as the client's configuration has it."""
    if not run("ip", "link", "add", "dev", device, "type", "wireguard", check=False):
        run("wireguard-go", device)
    name = peer.get("proxy") or peer["name"]
    own = ("private-key", f"{keys}/{name}.key", "fwmark", mark)
    shared = ("peer", peer["public_key"], "preshared-key", f"{keys}/{name}.psk")
    rest = ("endpoint", f"{peer['address']}:{peer['port']}", "allowed-ips", "0.0.0.0/0", "persistent-keepalive", "20")
    run("wg", "set", device, *own, *shared, *rest)
    run("ip", "address", "add", f"{address}/32", "dev", device)
    run("ip", "link", "set", "dev", device, "mtu", str(mtu), "up")


def up(web_address: str) -> list[str]:
    """Make the tunnel; return the devices of its two paths, the first of which carries it."""
    with open(CONFIG) as stream:
        config = json.load(stream)
    keys, mtu, paths = config["key_directory"], config["uplink_mtu"], config["paths"][:2]
    for path in paths:
        tunnel(path["name"], path, keys, config["overlay_address"], "0", mtu - LAYER)
    run("ip", "rule", "add", "fwmark", MARK, "table", TABLE)
    run("ip", "route", "add", "default", "dev", paths[0]["name"], "table", TABLE)
    tunnel("wg0", config["exit"], keys, config["inner_address"], MARK, mtu - 2 * LAYER)
    run("ip", "route", "add", f"{web_address}/32", "dev", "wg0")
    return [path["name"] for path in paths]


def down() -> None:
    """Remove whatever of it is there."""
    with open(CONFIG) as stream:
        names = [path["name"] for path in json.load(stream)["paths"]]
    for device in ("wg0", *names):
        run("ip", "link", "delete", "dev", device, check=False)
    while run("ip", "rule", "delete", "fwmark", MARK, "table", TABLE, check=False):
        pass


if __name__ == "__main__":
    if sys.argv[1] == "up":
        print(json.dumps(up(*sys.argv[2:])))
    else:
        down()
        print("null")
