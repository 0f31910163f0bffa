"""The words of scripts/lab."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence

from lab.certificates import ensure_certificates
from lab.controller import podman_command
from lab.image import ensure_images, own_images, remove_earlier, remove_images
from lab.keys import ensure_keys, keep_trust_anchor, ssh_command
from lab.machines import bridge_port, containers, each, ensure_machines, refuse_foreign, remove, restart
from lab.network import ensure_network, remove_network
from lab.shell import LabError, step
from lab.topology import BUILD, MACHINES, NETWORK, machine

NAMES = [m.name for m in MACHINES]


def up(_: argparse.Namespace) -> None:
    """Make what is missing, start what is stopped, and return when all machines answer."""
    begin = time.monotonic()
    refuse_foreign(containers())
    BUILD.mkdir(parents=True, exist_ok=True)
    ensure_keys()
    ensure_certificates()
    tag = ensure_images()
    ensure_network()
    ensure_machines(tag)
    keep_trust_anchor(machine("web"))
    remove_earlier(tag)
    print(f"the lab is up after {time.monotonic() - begin:.1f} s; next: scripts/lab ssh client")


def down(arguments: argparse.Namespace) -> None:
    """Remove machines, bridge and build/lab, and with --all the images."""
    with step("machines, bridge and keys removed"):
        each(remove, MACHINES)
        remove_network()
    if arguments.all:
        with step("images removed"):
            kept = remove_images(own_images())
        for image in kept:
            print(f"  kept, as a container that is not of the lab stands on it: {image}")
    shutil.rmtree(BUILD, ignore_errors=False)


def reset(arguments: argparse.Namespace) -> None:
    """Make all machines anew; images, bridge and keys stay."""
    refuse_foreign(containers())
    with step("machines removed"):
        each(remove, MACHINES)
    up(arguments)


def restart_machines(arguments: argparse.Namespace) -> None:
    """Reboot the machines named."""
    refuse_absent(arguments.host)
    with step(f"restarted: {', '.join(arguments.host)}"):
        each(restart, [machine(name) for name in arguments.host])


def refuse_absent(names: Sequence[str]) -> None:
    """Raise LabError where one of the machines of these NAMES is not there, or not this checkout's."""
    have = containers()
    refuse_foreign(have)
    absent = [name for name in names if have[name].state == "absent"]
    if absent:
        raise LabError(f"there is no {' and no '.join(absent)} yet: scripts/lab up makes them")


def status(arguments: argparse.Namespace) -> None:
    """Print who runs and where, with --json for scripts: bridge, the words before podman's own, and all machines."""
    have = containers()
    machines = {
        m.name: {
            "state": have[m.name].state,
            "container": m.container,
            "address": m.address4,
            "address6": m.address6,
            "bridge_port": bridge_port(have[m.name]),
        }
        for m in MACHINES
    }
    if arguments.json:
        print(json.dumps({"bridge": NETWORK, "podman": podman_command(), "machines": machines}, indent=2))
        return
    print(f"{'machine':<9}{'state':<10}{'address':<16}{'':<16}port of bridge {NETWORK}")
    for name, about in machines.items():
        print(f"{name:<9}{about['state']:<10}{about['address']:<16}{about['address6']:<16}{about['bridge_port']}")


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

    add("up", up, "make what is missing, start what is stopped, return when all machines answer")
    add("down", down, "remove the machines, their bridge and build/lab").add_argument(
        "--all", action="store_true", help="the images too: nothing of the lab is left"
    )
    add("status", status, "say who runs, and where").add_argument("--json", action="store_true", help="for scripts")
    reach = add("ssh", ssh, "log in to a machine, or run a command there")
    reach.add_argument("host", choices=NAMES)
    reach.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    again = add("restart", restart_machines, "reboot machines; their files stay")
    again.add_argument("host", nargs="+", choices=NAMES)
    add("reset", reset, "make all machines anew from the image, with the same keys")
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
