"""Making, starting, watching and removing the machines, whatever kind each is of."""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import containers, guests
from lab.certificates import CERTIFICATE
from lab.keys import USER_KEY, host_key, public, ssh_command
from lab.kinds import Kind, Standing
from lab.shell import LabError, answer, step
from lab.topology import MACHINES, ROOT, Machine

KINDS: tuple[Kind, ...] = (containers, guests)


def standing() -> dict[str, tuple[Kind, Standing]]:
    """Return what there is of each machine of the lab and of which kind it is, by its name."""
    found: dict[str, tuple[Kind, Standing]] = {}
    for kind in KINDS:
        for name, there in kind.standing().items():
            if name not in found or there.state != "absent":
                found[name] = kind, there
    return found


def each(work: Callable[[Machine], None], machines: Sequence[Machine]) -> None:
    """Do WORK for all MACHINES at the same time. Once all are done, raise what the first that failed raised."""
    with ThreadPoolExecutor(max_workers=len(MACHINES)) as pool:
        list(pool.map(work, machines))


def fingerprint(kind: Kind, machine: Machine, tag: str) -> str:
    """Return a word that changes with anything that MACHINE was made of: kind, image, options, keys."""
    made_of = [*kind.made_of(machine, tag), public(USER_KEY), public(host_key(machine))]
    if machine.image == "web":
        made_of.append(CERTIFICATE.read_text())
    return hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:16]


def ensure_machines(machines: Sequence[Machine], kind: Kind, tag: str) -> None:
    """Have MACHINES run as this KIND, made of the images of TAG; return when SSH answers and all has started."""
    have = standing()
    wanted = {m.name: fingerprint(kind, m, tag) for m in machines}
    stale = [m for m in machines if have[m.name][1].state != "absent" and have[m.name][1].fingerprint != wanted[m.name]]
    if stale:
        with step(f"kind, image or keys changed, made anew: {', '.join(m.name for m in stale)}"):
            each(remove, stale)

    def ensure(machine: Machine) -> None:
        state = "absent" if machine in stale else have[machine.name][1].state
        if state == "absent":
            kind.create(machine, tag, wanted[machine.name])
        kind.start(machine, state)
        wait_ready(machine, kind.READY_SECONDS)

    with step(f"{len(machines)} x {kind.NAME}: boot, SSH"):
        each(ensure, machines)


def refuse_foreign(have: Mapping[str, tuple[Kind, Standing]]) -> None:
    """Raise LabError where the machines that stand belong to another checkout: names and addresses are one for all.

    A checkout that is gone can take nothing down any more; its machines, whose keys went with it, are made anew.
    """
    owners = {there.owner for _, there in have.values() if there.state != "absent"} - {str(ROOT)}
    owners = {owner for owner in owners if not owner or Path(owner).exists()}
    if owners:
        raise LabError(
            f"a lab of {' and '.join(sorted(owner or 'somebody else' for owner in owners))} stands on this machine, "
            "which has room for one: take it down first (`scripts/lab down`, there or here)"
        )


def remove(machine: Machine) -> None:
    """Remove MACHINE at once, whatever kind it is of, and all its files."""
    for kind in KINDS:
        kind.remove(machine)


def remove_all() -> None:
    """Remove all machines. podman takes the bridge away with its last container, unless others' cables are in it."""
    for kind in reversed(KINDS):
        each(kind.remove, MACHINES)


def restart(kind: Kind, machine: Machine) -> None:
    """Reboot MACHINE, of this KIND, and return when it has started everything again."""
    kind.restart(machine)
    wait_ready(machine, kind.READY_SECONDS)


def wait_ready(machine: Machine, seconds: float) -> None:
    """Return once MACHINE is reached over SSH and its systemd has finished starting.

    Raises LabError after so many SECONDS, or when units of it failed.
    """
    deadline = time.monotonic() + seconds
    ask = ssh_command(machine, "-o", f"ConnectTimeout={seconds / 30:.0f}", "systemctl", "is-system-running", "--wait")
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
                f"{machine.name} is not ready after {seconds:.0f} s: {why}\n(see build/lab/{machine.name}.log)"
            )
        time.sleep(0.2)  # sshd or the system's bus is not there yet, or /run/nologin still is
