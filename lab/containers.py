"""The machines as podman containers with systemd as their first process."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any

from lab.controller import podman, podman_json
from lab.image import name_of
from lab.keys import own_files, seed
from lab.kinds import Standing
from lab.shell import answer, as_root, run
from lab.topology import MACHINES, NETWORK, ROOT, Machine

NAME = "container"
READY_SECONDS = 60.0
# What a test may do on a rented host it may do here: devices, namespaces, captures, sandboxes of units, a look at
# processes. The rest of root's powers stays away: it could reach the controller's own devices and modules.
CAPABILITIES = "NET_ADMIN,NET_RAW,SYS_ADMIN,SYS_PTRACE"
OWNER_LABEL = "wg-migrate.lab"
FINGERPRINT_LABEL = "wg-migrate.fingerprint"


def standing() -> dict[str, Standing]:
    """Return the containers of all machines by machine name."""
    return parse_containers(podman_json("ps", "--all", "--format=json"))


def parse_containers(listed: Sequence[dict[str, Any]]) -> dict[str, Standing]:
    """Return LISTED, the list of `podman ps --all --format=json`, as containers by machine name."""
    by_name = {name: entry for entry in listed for name in entry["Names"]}
    found = {}
    for machine in MACHINES:
        entry = by_name.get(machine.full_name)
        if entry is None:
            found[machine.name] = Standing()
            continue
        labels = entry.get("Labels") or {}
        owner, fingerprint = labels.get(OWNER_LABEL, ""), labels.get(FINGERPRINT_LABEL, "")
        found[machine.name] = Standing(entry["State"], int(entry.get("Pid") or 0), owner, fingerprint)
    return found


def create_options(machine: Machine) -> list[str]:
    """Return the options of `podman create` that make MACHINE what it is."""
    return [
        f"--hostname={machine.name}",
        f"--network={NETWORK}",
        f"--ip={machine.address4}",
        f"--ip6={machine.address6}",
        # A rebooted machine keeps its card. With a new one each time, neighbours would talk to the old for ten seconds.
        f"--mac-address={machine.mac}",
        "--systemd=always",
        f"--cap-add={CAPABILITIES}",
        # systemd sets sysctls and mounts, and sandboxes its units; podman's masks and AppArmor profile would stop it.
        "--security-opt=unmask=ALL",
        "--security-opt=apparmor=unconfined",
        "--device=/dev/net/tun",
    ]


def made_of(machine: Machine, tag: str) -> list[str]:
    """Return the image and the options of the container of MACHINE."""
    return [name_of(machine.image, tag), *create_options(machine)]


def create(machine: Machine, tag: str, fingerprint: str) -> None:
    """Make the container of MACHINE, with the keys and the machine-id that are its own."""
    labels = [f"--label={OWNER_LABEL}={ROOT}", f"--label={FINGERPRINT_LABEL}={fingerprint}"]
    name = f"--name={machine.full_name}"
    run(podman("create", name, *labels, *create_options(machine), name_of(machine.image, tag)), machine.name)
    # Against what its name says, archive mode gives everything to root: without it, owners are those of the archive.
    run(podman("cp", "--archive=false", "-", f"{machine.full_name}:/"), machine.name, given=seed(own_files(machine)))


def start(machine: Machine, state: str) -> None:
    """Have the container of MACHINE run."""
    if state == "paused":
        run(podman("unpause", machine.full_name), machine.name)
    elif state != "running":
        run(podman("start", machine.full_name), machine.name)


def remove(machine: Machine) -> None:
    """Remove the container of MACHINE at once, if there is one, and all its files."""
    run(podman("rm", "--force", "--ignore", "--time=0", machine.full_name), machine.name)


def restart(machine: Machine) -> None:
    """Reboot MACHINE: systemd stops everything in order, and starts anew on the same files. /run starts empty."""
    run(podman("restart", "--time=20", machine.full_name), machine.name)


def bridge_port(machine: Machine) -> str:
    """Return the name of the controller's end of the cable of MACHINE, empty where it does not run."""
    pid = (answer(podman("inspect", "--format={{.State.Pid}}", machine.full_name)) or "0").strip()
    if pid == "0":
        return ""
    shown = answer(as_root(["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-json", "link", "show", "dev", "eth0"]))
    return socket.if_indextoname(json.loads(shown)[0]["link_index"]) if shown else ""
