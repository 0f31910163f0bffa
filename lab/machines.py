"""Making, starting, watching and removing the machines: podman containers with systemd as their first process."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.certificates import CERTIFICATE
from lab.controller import podman, podman_json
from lab.image import name_of
from lab.keys import USER_KEY, host_key, public, seed, ssh_command
from lab.shell import LabError, answer, as_root, run, step
from lab.topology import MACHINES, NETWORK, ROOT, Machine

READY_SECONDS = 60
# What a test may do on a rented host it may do here: devices, namespaces, captures, sandboxes of units, a look at
# processes. The rest of root's powers stays away: it could reach the controller's own devices and modules.
CAPABILITIES = "NET_ADMIN,NET_RAW,SYS_ADMIN,SYS_PTRACE"
OWNER_LABEL = "wg-migrate.lab"
FINGERPRINT_LABEL = "wg-migrate.fingerprint"


@dataclass(frozen=True)
class Container:
    """What podman says of the container of a machine: `state` is podman's word, or `absent`; `pid` 0 unless it runs."""

    state: str = "absent"
    pid: int = 0
    owner: str = ""
    fingerprint: str = ""


def containers() -> dict[str, Container]:
    """Return the containers of all machines by machine name."""
    listed = podman_json("ps", "--all", "--format=json")
    return parse_containers(listed)


def parse_containers(listed: Sequence[dict[str, Any]]) -> dict[str, Container]:
    """Return LISTED, the list of `podman ps --all --format=json`, as containers by machine name."""
    by_name = {name: entry for entry in listed for name in entry["Names"]}
    found = {}
    for machine in MACHINES:
        entry = by_name.get(machine.container)
        if entry is None:
            found[machine.name] = Container()
            continue
        labels = entry.get("Labels") or {}
        owner, fingerprint = labels.get(OWNER_LABEL, ""), labels.get(FINGERPRINT_LABEL, "")
        found[machine.name] = Container(entry["State"], int(entry.get("Pid") or 0), owner, fingerprint)
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


def fingerprint(machine: Machine, tag: str) -> str:
    """Return a word that changes with anything that MACHINE was made of: image, options, keys."""
    made_of = [name_of(machine.image, tag), *create_options(machine), public(USER_KEY), public(host_key(machine))]
    if machine.image == "web":
        made_of.append(CERTIFICATE.read_text())
    return hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:16]


def each(work: Callable[[Machine], None], machines: Sequence[Machine]) -> None:
    """Do WORK for all MACHINES at the same time. Once all are done, raise what the first that failed raised."""
    with ThreadPoolExecutor(max_workers=len(MACHINES)) as pool:
        list(pool.map(work, machines))


def ensure_machines(tag: str) -> None:
    """Have every machine run, made of the images of TAG; return when SSH answers and systemd has started everything."""
    have = containers()
    refuse_foreign(have)
    stale = [m for m in MACHINES if have[m.name].state != "absent" and have[m.name].fingerprint != fingerprint(m, tag)]
    if stale:
        with step(f"image or keys changed, made anew: {', '.join(m.name for m in stale)}"):
            each(remove, stale)

    def ensure(machine: Machine) -> None:
        state = "absent" if machine in stale else have[machine.name].state
        if state == "absent":
            create(machine, tag)
        if state == "paused":
            run(podman("unpause", machine.container), machine.name)
        elif state != "running":
            run(podman("start", machine.container), machine.name)
        wait_ready(machine)

    with step(f"{len(MACHINES)} machines: boot, SSH"):
        each(ensure, MACHINES)


def refuse_foreign(have: dict[str, Container]) -> None:
    """Raise LabError where the machines that stand belong to another checkout: names and addresses are one for all.

    A checkout that is gone can take nothing down any more; its machines, whose keys went with it, are made anew.
    """
    owners = {container.owner for container in have.values() if container.state != "absent"} - {str(ROOT)}
    owners = {owner for owner in owners if not owner or Path(owner).exists()}
    if owners:
        raise LabError(
            f"a lab of {' and '.join(sorted(owner or 'somebody else' for owner in owners))} stands on this machine, "
            "which has room for one: take it down first (`scripts/lab down`, there or here)"
        )


def create(machine: Machine, tag: str) -> None:
    """Make the container of MACHINE, with the keys and the machine-id that are its own."""
    labels = [f"--label={OWNER_LABEL}={ROOT}", f"--label={FINGERPRINT_LABEL}={fingerprint(machine, tag)}"]
    name = f"--name={machine.container}"
    image = name_of(machine.image, tag)
    run(podman("create", name, *labels, *create_options(machine), image), machine.name)
    # Against what its name says, archive mode gives everything to root: without it, owners are those of the archive.
    run(podman("cp", "--archive=false", "-", f"{machine.container}:/"), machine.name, given=seed(machine))


def remove(machine: Machine) -> None:
    """Remove the container of MACHINE at once, if there is one, and all its files."""
    run(podman("rm", "--force", "--ignore", "--time=0", machine.container), machine.name)


def restart(machine: Machine) -> None:
    """Reboot MACHINE: systemd stops everything in order, and starts anew on the same files. /run starts empty."""
    run(podman("restart", "--time=20", machine.container), machine.name)
    wait_ready(machine)


def wait_ready(machine: Machine) -> None:
    """Return once MACHINE is reached over SSH and its systemd has finished starting.

    Raises LabError after READY_SECONDS, or when units of it failed.
    """
    deadline = time.monotonic() + READY_SECONDS
    ask = ssh_command(machine, "-o", "ConnectTimeout=2", "systemctl", "is-system-running", "--wait")
    while True:
        asked = subprocess.run(ask, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        state = asked.stdout.strip()
        if state == "running":
            return
        if state == "degraded":
            failed = answer(ssh_command(machine, "systemctl", "--failed", "--no-legend", "--plain")) or ""
            raise LabError(
                f"{machine.name}: units failed: {', '.join(line.split()[0] for line in failed.splitlines())}"
            )
        if time.monotonic() > deadline:
            why = (asked.stderr or state).strip()
            raise LabError(
                f"{machine.name} is not ready after {READY_SECONDS} s: {why}\n(see build/lab/{machine.name}.log)"
            )
        time.sleep(0.2)  # sshd or the system's bus is not there yet, or /run/nologin still is


def bridge_port(container: Container) -> str:
    """Return the name of the controller's end of the cable of CONTAINER, empty where it does not run."""
    if not container.pid:
        return ""
    shown = answer(
        as_root(["nsenter", f"--net=/proc/{container.pid}/ns/net", "ip", "-json", "link", "show", "dev", "eth0"])
    )
    return socket.if_indextoname(json.loads(shown)[0]["link_index"]) if shown else ""
