"""The command line of the captures: scripts/capture."""

from __future__ import annotations

import argparse
import dataclasses
import getpass
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wg_migrate.errors import WgMigrateError
from wg_migrate.reading import read_number

from observe import points
from observe.capture_run import run
from observe.hosts import Inventory, load
from observe.preparation import Wanted, vantage_points

ROOT = Path(__file__).resolve().parent.parent
_LONGEST = 86400.0
"""Seconds: for longer there is playbooks/capture.yml."""
_LARGEST_SNAP = 262144
"""Bytes: the most that tcpdump keeps of a packet."""


def parser() -> argparse.ArgumentParser:
    """Return what understands the command line."""
    top = argparse.ArgumentParser(
        prog="scripts/capture",
        usage="%(prog)s [options] [--seconds N | -- COMMAND ...]",
        description="Capture a client's packets at several hosts at the same time, into a pcapng file each. It ends "
        "with COMMAND, which runs here, after N seconds, or by Ctrl-C. Nothing is left on the hosts. Status: the "
        "command's; 1 where a host is missing.",
    )
    top.add_argument("-i", "--inventory", action="append", default=[], help="as for ansible-playbook")
    top.add_argument("--at", metavar="HOST,...", help="where; left out: the client, its proxies and its exit")
    top.add_argument("--client", help="whose packets; needed where the inventory has several clients")
    top.add_argument("--filter", metavar="LAYER,...", help=f"of {', '.join(points.LAYERS)}; left out: all of them")
    top.add_argument("--snap", default=points.SNAP, help="bytes kept of a packet, 0 for all; left out: %(default)s")
    top.add_argument("--to", type=Path, metavar="DIRECTORY", help="left out: build/captures/TIME")
    top.add_argument("-K", "--ask-become-pass", action="store_true", help="ask for the password that sudo wants")
    top.add_argument("--seconds", help="how long, up to a day")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for and return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    cut = words.index("--") if "--" in words else len(words)
    options, command = parser().parse_args(words[:cut]), words[cut + 1 :]
    # Whoever ends this, however: no tcpdump is left, and the files can be read.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        if cut < len(words) and not command:
            raise WgMigrateError("there is no command after --: write, for example, -- curl https://example.org")
        wanted = read(options, command)
        document, status = run(wanted, _say)
    except WgMigrateError as error:
        print("\n".join(f"capture: {line}" for line in str(error).splitlines()), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    _say(table(document))
    return status or int(not all(point["complete"] for point in document["points"]))


def read(options: argparse.Namespace, command: Sequence[str]) -> Wanted:
    """Return what the options ask for. Raises WgMigrateError with what to write instead."""
    if options.seconds is not None and command:
        raise WgMigrateError("there are --seconds and a command: write one of them, for the command ends the capture")
    if command and not shutil.which(command[0]):
        raise WgMigrateError(f"there is no command {command[0]}: write one that this machine has")
    seconds = None if options.seconds is None else read_number("--seconds", options.seconds, 0.1, _LONGEST, "10")
    snap = int(read_number("--snap", options.snap, 0, _LARGEST_SNAP, str(points.SNAP)))
    layers = _layers(options.filter)
    directory = options.to or ROOT / "build" / "captures" / time.strftime("%Y%m%dT%H%M%S")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise WgMigrateError(f"{directory} is there already: write a new directory after --to")
    inventory = load(options.inventory)
    at = None if options.at is None else [name for name in options.at.split(",") if name]
    client = choose_client(inventory, options.client, at)
    hosts = choose_hosts(inventory, client, at, layers)
    if options.ask_become_pass:
        inventory = _with_password(inventory, getpass.getpass("BECOME password: "))
    return Wanted(inventory, client, hosts, layers, snap, directory, seconds, command)


def _layers(text: str | None) -> list[str]:
    chosen = list(points.LAYERS) if text is None else [name for name in text.split(",") if name]
    unknown = [name for name in chosen if name not in points.LAYERS]
    if unknown or not chosen:
        raise WgMigrateError(f"--filter {text}: write some of {', '.join(points.LAYERS)}")
    return chosen


def choose_client(inventory: Inventory, name: str | None, at: Sequence[str] | None) -> str:
    """Return the client that a capture is about: the one named, the one it is made at, or the only one."""
    clients = inventory.of("client")
    if name is not None:
        if name not in clients:
            raise WgMigrateError(f"there is no client {name}: write one of {', '.join(clients)}")
        return name
    candidates = [client for client in clients if at is not None and client in at] or clients
    if len(candidates) > 1:
        raise WgMigrateError(f"there are the clients {', '.join(candidates)}: write --client with one of them")
    return candidates[0]


def choose_hosts(inventory: Inventory, client: str, at: Sequence[str] | None, layers: Sequence[str]) -> list[str]:
    """Return the hosts to capture at: those named, or all where one of the layers is to be seen."""
    known = vantage_points(inventory, client)
    if at is not None:
        unknown = [name for name in at if name not in known]
        if unknown or not at:
            raise WgMigrateError(f"--at {','.join(at)}: write some of {', '.join(known)}")
    blind = [name for name in known if not set(points.OF_ROLE[inventory.hosts[name].role]) & set(layers)]
    for name in at or ():
        if name in blind:
            seen = " or ".join(points.OF_ROLE[inventory.hosts[name].role])
            raise WgMigrateError(f"{name} sees no {' and no '.join(layers)} packets: write --filter {seen} for it")
    return [name for name in known if name not in blind and (at is None or name in at)]


def _with_password(inventory: Inventory, secret: str) -> Inventory:
    hosts = {name: dataclasses.replace(host, become_password=secret) for name, host in inventory.hosts.items()}
    return dataclasses.replace(inventory, hosts=hosts)


def table(document: dict[str, Any]) -> str:
    """Return what was captured, a line a host."""
    lines = [f"{document['seconds']:.1f} s"]
    for point in document["points"]:
        offset, error = point["clock_offset"] * 1000, point["clock_error"] * 1000
        words = [f"{point['file'] or point['name']:<20} {point['packets']:>8} packets, {point['dropped']} missed"]
        words.append(f"clock {offset:+.2f} ms, give or take {error:.2f} ms")
        words += [f"INCOMPLETE: {point['problem']}"] if point["problem"] else []
        lines.append(f"  {', '.join(words)}")
    return "\n".join(lines)


def _say(words: str) -> None:
    """Say what is going on, beside what the command prints."""
    print(words.replace(f"{ROOT}{os.sep}", ""), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
