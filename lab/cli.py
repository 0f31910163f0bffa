"""The words of scripts/lab."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence

from lab import containers, guests
from lab.accelerator import accelerator
from lab.certificates import ensure_certificates
from lab.controller import podman_command
from lab.guest_image import RELEASES, ensure_guest_image, remove_guest_images
from lab.image import ensure_images, remove_earlier, remove_every_image
from lab.keys import ensure_keys, keep_trust_anchor, ssh_command
from lab.machines import each, ensure_machines, refuse_foreign, remove_all, restart, standing
from lab.network import ensure_network, remove_network
from lab.shell import LabError, step, write
from lab.topology import BUILD, MACHINES, NETWORK, machine

NAMES = [m.name for m in MACHINES]
WEB = [machine("web")]
"""Always a container: it plays the Internet, and nothing is deployed on it."""
HOSTS = [m for m in MACHINES if m not in WEB]
CHOSEN = BUILD / "release"
"""What the hosts were made as last: a release of Debian as virtual machines, or nothing as containers."""


def up(arguments: argparse.Namespace) -> None:
    """Make what is missing, start what is stopped, and return when all machines answer."""
    make(release_of(arguments))


def release_of(arguments: argparse.Namespace) -> str:
    """Return of which release of Debian the hosts are to be as virtual machines, or nothing for containers.

    Raises LabError where a release is asked for without virtual machines.
    """
    if arguments.release and not arguments.vm:
        raise LabError("--release is for virtual machines: write --vm, too. Containers are Debian 13")
    return (arguments.release or RELEASES[-1]) if arguments.vm else ""


def make(release: str) -> None:
    """Have the lab up, its hosts as virtual machines of RELEASE, or as containers where that is empty."""
    begin = time.monotonic()
    refuse_foreign(standing())
    if release:
        guests.refuse_without_tools()
    BUILD.mkdir(parents=True, exist_ok=True)
    write(CHOSEN, release)
    ensure_keys()
    ensure_certificates()
    tag = ensure_images({m.image for m in (WEB if release else MACHINES)})
    image = ensure_guest_image(release) if release else None
    ensure_network()
    if image is None:
        ensure_machines(MACHINES, containers, tag)
    else:
        # The bridge stands as long as a container is on it: the guests' cables come after.
        ensure_machines(WEB, containers, tag)
        if any(there.state != "running" for _, there in map(standing().__getitem__, (m.name for m in HOSTS))):
            print(f"  virtual machines run by {accelerator(image).told}", flush=True)
        ensure_machines(HOSTS, guests, image.word)
    keep_trust_anchor(machine("web"))
    remove_earlier(tag)
    print(f"the lab is up after {time.monotonic() - begin:.1f} s; next: scripts/lab ssh client")


def down(arguments: argparse.Namespace) -> None:
    """Remove machines, bridge and build/lab, and with --all the images."""
    with step("machines, bridge and keys removed"):
        remove_all()
        remove_network()
    if arguments.all:
        with step("images removed"):
            kept = remove_every_image()
            remove_guest_images()
        for image in kept:
            print(f"  kept, as a container that is not of the lab stands on it: {image}")
    shutil.rmtree(BUILD, ignore_errors=False)


def reset(arguments: argparse.Namespace) -> None:
    """Make all machines anew, of the kind that they were if none is asked for; images, bridge and keys stay."""
    release = release_of(arguments) or (CHOSEN.read_text() if CHOSEN.exists() else "")
    refuse_foreign(standing())
    with step("machines removed"):
        remove_all()
    make(release)


def restart_machines(arguments: argparse.Namespace) -> None:
    """Reboot the machines named."""
    refuse_absent(arguments.host)
    have = standing()
    with step(f"restarted: {', '.join(arguments.host)}"):
        each(lambda m: restart(have[m.name][0], m), [machine(name) for name in arguments.host])


def refuse_absent(names: Sequence[str]) -> None:
    """Raise LabError where one of the machines of these NAMES is not there, or not this checkout's."""
    have = standing()
    refuse_foreign(have)
    absent = [name for name in names if have[name][1].state == "absent"]
    if absent:
        raise LabError(f"there is no {' and no '.join(absent)} yet: scripts/lab up makes them")


def status(arguments: argparse.Namespace) -> None:
    """Print who runs and where, with --json for scripts: bridge, the words before podman's own, and all machines."""
    have = standing()
    machines = {
        m.name: {
            "state": there.state,
            "kind": kind.NAME,
            "name": m.full_name,
            "address": m.address4,
            "address6": m.address6,
            "bridge_port": kind.bridge_port(m),
        }
        for m in MACHINES
        for kind, there in [have[m.name]]
    }
    if arguments.json:
        print(json.dumps({"bridge": NETWORK, "podman": podman_command(), "machines": machines}, indent=2))
        return
    columns = {"machine": 9, "state": 10, "kind": 17, "address": 16, "address6": 16, "bridge_port": 0}
    heads = {"address6": "", "bridge_port": f"port of bridge {NETWORK}"}
    for about in (
        {name: heads.get(name, name) for name in columns},
        *({"machine": n, **m} for n, m in machines.items()),
    ):
        print("".join(f"{about[name]:<{width}}" for name, width in columns.items()))


def ssh(arguments: argparse.Namespace) -> None:
    """Become the ssh that leads to the machine named."""
    refuse_absent([arguments.host])
    command = ssh_command(machine(arguments.host), *arguments.command)
    os.execvp(command[0], command)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; `work` of what it parses is the function of the command."""
    top = argparse.ArgumentParser(prog="scripts/lab", description=f"Five machines on this one: {', '.join(NAMES)}.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, work: object, words: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=words, description=words)
        command.set_defaults(work=work)
        return command

    made = add("up", up, "make what is missing, start what is stopped, return when all machines answer")
    add("down", down, "remove the machines, their bridge and build/lab").add_argument(
        "--all", action="store_true", help="the images too: nothing of the lab is left"
    )
    add("status", status, "say who runs, and where").add_argument("--json", action="store_true", help="for scripts")
    reach = add("ssh", ssh, "log in to a machine, or run a command there")
    reach.add_argument("host", choices=NAMES)
    reach.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    again = add("restart", restart_machines, "reboot machines; their files stay")
    again.add_argument("host", nargs="+", choices=NAMES)
    anew = add("reset", reset, "make all machines anew from the image, with the same keys")
    for command in (made, anew):
        command.add_argument(
            "--vm", action="store_true", help="all but web bare virtual machines, with a kernel of their own"
        )
        command.add_argument("--release", choices=RELEASES, help="of Debian: 12 or 13; without it 13")
    return top


def main() -> None:
    """Do what the command line asks for; a LabError ends it with its message."""
    arguments = parser().parse_args()
    try:
        arguments.work(arguments)
    except LabError as error:
        sys.exit(f"lab: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
