"""The command line of scripts/wgm."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from wg_migrate.errors import WgMigrateError

from observe import capture, watch
from observe.hosts import refuse_missing
from wgm import devices, log, status
from wgm.commands import COMMANDS, migration
from wgm.run import asked_for
from wgm.run import run as run_playbook
from wgm.show import replay as show_again

HANDED_OVER = {"watch": watch.main, "capture": capture.main}
"""Commands that are programs of their own already."""
_STATUSES = (
    "Exit status: 0 done; 1 refused, or Ansible could not begin; 2 a host failed, or a claim does not hold; 4 a host "
    "could not be reached; 64 the command line is not understood; 130 ended by Ctrl-C; others are ansible-playbook's."
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """End with a status that a failed host does not have: argparse's own is 2, and so is Ansible's."""
        self.print_usage(sys.stderr)
        self.exit(os.EX_USAGE, f"wgm: {message}\n")


def parser() -> argparse.ArgumentParser:
    """Return what understands the command line."""
    top = _Parser(
        prog="scripts/wgm",
        description="Build, run and watch the double-tunnelled network: the playbooks with a screen and a log.",
        epilog=_STATUSES,
    )
    top.add_argument("--replay", nargs="?", const="", metavar="LOG", help="show a run again, without LOG the last one")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for name, command in COMMANDS.items():
        if " " in name:
            continue
        each = commands.add_parser(name, help=command.help, description=f"Run {command.playbook}.", epilog=_STATUSES)
        _add_inventory(each)
        each.add_argument("-l", "--limit", metavar="HOST,...", help="only these hosts or groups")
        each.add_argument("-C", "--check", action="store_true", help="change nothing, and tell what would be changed")
        each.add_argument("-D", "--diff", action="store_true", help="show what is changed in files")
        if name == "migrate":
            what = "seconds between two switches, a schedule as JSON, or a file with one; without it the inventory's"
            each.add_argument("what", nargs="?", metavar="INTERVAL|SCHEDULE", help=what)
            each.add_argument("--stop", action="store_true", help="stop the loop")
    _add_devices(
        commands.add_parser("client", help="devices that Ansible cannot manage, such as phones: add, list, remove")
    )
    each = commands.add_parser("status", help="what tunnel and loop of each client are doing", epilog=_STATUSES)
    _add_inventory(each)
    each.add_argument("--json", action="store_true", help="an object with each client's state, by its name")
    for name in HANDED_OVER:
        commands.add_parser(name, help=f"as scripts/{name}, with its arguments")
    return top


def _add_devices(client: argparse.ArgumentParser) -> None:
    verbs = client.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)
    for verb, words in devices.VERBS.items():
        each = verbs.add_parser(verb, help=words, description=f"{words[0].upper()}{words[1:]}.", epilog=_STATUSES)
        _add_inventory(each)
        if verb != "list":
            each.add_argument("name", metavar="NAME", help="the device's name, such as phone")
        if verb == "add":
            each.add_argument(
                "--exit", metavar="HOST", help="the exit that is to serve it; needed where there are several"
            )
            each.add_argument("--qr", action="store_true", help="draw it as a QR code, for the device's camera")


def _add_inventory(command: argparse.ArgumentParser) -> None:
    command.add_argument("-i", "--inventory", action="append", default=[], help="as for ansible-playbook")
    command.add_argument("-K", "--ask-become-pass", action="store_true", help="ask for the password that sudo wants")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for and return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in HANDED_OVER:
        return HANDED_OVER[words[0]](words[1:])
    try:
        options = parser().parse_args(words)
        if options.replay is not None:
            return show_again(Path(options.replay) if options.replay else log.last())
        if options.command is None:
            parser().error("write a command, such as deploy, or --help")
        refuse_missing(options.inventory)
        secret = getpass.getpass("BECOME password: ") if options.ask_become_pass else None
        if options.command == "status":
            return status.show(options.inventory, secret, options.json)
        if options.command == "client":
            return devices.do(words, options, secret)
        return run(words, options, secret)
    except WgMigrateError as error:
        print("\n".join(f"wgm: {line}" for line in str(error).splitlines()), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # At the end Python flushes its output, and would complain of the closed pipe.
        with contextlib.suppress(OSError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def run(words: Sequence[str], options: argparse.Namespace, secret: str | None) -> int:
    """Run a command's playbook and return the exit status. Raises WgMigrateError for bad input."""
    variables = migration(options.what, options.stop) if options.command == "migrate" else {}
    chosen = [f"--{word}" for word in ("check", "diff") if getattr(options, word)]
    return run_playbook(asked_for(words, options.command, options.inventory, options.limit, chosen), variables, secret)
