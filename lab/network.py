"""The bridge that plays the Internet: podman's network, under a name of its own so that captures and tests find it."""

from __future__ import annotations

import json
from pathlib import Path

from lab.controller import podman, podman_json
from lab.shell import LabError, answer, as_root, run, step
from lab.topology import BUILD, CONTROLLER4, CONTROLLER6, NETWORK, SUBNET4, SUBNET6

# Where netavark's networks of root are kept: podman-network(1).
DEFINITION = Path("/etc/containers/networks") / f"{NETWORK}.json"
FORWARDING = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv6.conf.default.forwarding")
FORWARDING_BEFORE = BUILD / "forwarding.json"


def create_command(podman_names_bridges: bool) -> list[str]:
    """Return podman's words to make the network. Its resolver is off: machines ask the controller's, through NAT."""
    named = ["--interface-name", NETWORK] if podman_names_bridges else []
    four = ["--subnet", SUBNET4, "--gateway", CONTROLLER4]
    six = ["--ipv6", "--subnet", SUBNET6, "--gateway", CONTROLLER6]
    return ["network", "create", *named, "--disable-dns", *four, *six, NETWORK]


def sysctl_path(key: str) -> Path:
    """Return the file of sysctl KEY."""
    return Path("/proc/sys") / key.replace(".", "/")


def ensure_network() -> None:
    """Make the network where it is missing. Raises LabError where podman uses the older CNI, which cannot."""
    if podman_json("network", "inspect", NETWORK):
        return
    backend = (answer(podman("info", "--format={{.Host.NetworkBackend}}")) or "").strip()
    if backend != "netavark":
        raise LabError(
            f"podman uses the network backend {backend or '(unknown)'}, the lab needs netavark (podman >= 4): "
            'write network_backend = "netavark" under [network] in /etc/containers/containers.conf'
        )
    with step(f"bridge {NETWORK}: {SUBNET4}, {SUBNET6}"):
        if not FORWARDING_BEFORE.exists():
            FORWARDING_BEFORE.write_text(json.dumps({key: sysctl_path(key).read_text().strip() for key in FORWARDING}))
        names_bridges = "--interface-name" in (answer(podman("network", "create", "--help")) or "")
        run(podman(*create_command(names_bridges)), "network")
        if not names_bridges:
            # podman before 4.5 has no option for it, but reads it from its definition of the network.
            edit = f's/"network_interface": "[^"]*"/"network_interface": "{NETWORK}"/'
            run(as_root(["sed", "--in-place", edit, str(DEFINITION)]), "network")


def remove_network() -> None:
    """Remove the network, and with it podman's firewall rules; stop forwarding where the lab was what started it."""
    if podman_json("network", "inspect", NETWORK):
        run(podman("network", "rm", NETWORK), "network")
    if FORWARDING_BEFORE.exists() and not forwarding_in_use():
        before = json.loads(FORWARDING_BEFORE.read_text())
        run(as_root(["sysctl", "--quiet", *(f"{key}={value}" for key, value in before.items())]), "network")


def forwarding_in_use() -> bool:
    """Say whether other bridges stand here, of containers or virtual machines: their traffic may need forwarding."""
    return any(Path("/sys/class/net").glob("*/bridge"))
