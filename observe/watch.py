"""The command line of the live view: scripts/watch."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import getpass
import json
import os
import signal
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from wg_migrate.errors import WgMigrateError
from wg_migrate.reading import read_number

from observe import watch_screen
from observe.hosts import Inventory, load
from observe.watch_hosts import Watcher

_PERIOD = 1.0
_LONGEST = 86400.0


def parser() -> argparse.ArgumentParser:
    """Return what understands the command line."""
    top = argparse.ArgumentParser(
        prog="scripts/watch",
        description="Watch all hosts of the inventory live, until Ctrl-C: each path's rates, health and handshakes, "
        "switches a second, leaks. Without a terminal: a line a second.",
    )
    top.add_argument("-i", "--inventory", action="append", default=[], help="as for ansible-playbook")
    top.add_argument("--at", metavar="HOST,...", help="only these hosts")
    top.add_argument("--json", action="store_true", help="a JSON object a second, one a line")
    top.add_argument("--seconds", help="end after so many seconds")
    top.add_argument("-K", "--ask-become-pass", action="store_true", help="ask for the password that sudo wants")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for and return the exit status."""
    options = parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        seconds = None if options.seconds is None else read_number("--seconds", options.seconds, 1, _LONGEST, "10")
        inventory = load(options.inventory)
        names = choose(inventory, options.at)
        secret = getpass.getpass("BECOME password: ") if options.ask_become_pass else None
        hosts = [inventory.hosts[name] for name in names]
        if secret is not None:
            hosts = [dataclasses.replace(host, become_password=secret) for host in hosts]
        watchers = [Watcher(host, inventory) for host in hosts]
        try:
            show(watchers, options.json, seconds)
        finally:
            for watcher in watchers:
                watcher.stop()
            for watcher in watchers:
                watcher.join()
    except WgMigrateError as error:
        print("\n".join(f"watch: {line}" for line in str(error).splitlines()), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass  # the way to end it
    except BrokenPipeError:
        # At the end Python flushes its output, and would complain of the closed pipe.
        with contextlib.suppress(OSError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
    return 0


def choose(inventory: Inventory, at: str | None) -> list[str]:
    """Return the hosts to watch. Raises WgMigrateError for names that the inventory does not have."""
    chosen = list(inventory.hosts) if at is None else [name for name in at.split(",") if name]
    if not chosen or [name for name in chosen if name not in inventory.hosts]:
        raise WgMigrateError(f"--at {at}: write some of {', '.join(inventory.hosts)}")
    return [name for name in inventory.hosts if name in chosen]


def show(watchers: Sequence[Watcher], as_json: bool, seconds: float | None) -> None:
    """Show what the watchers see, again and again; on a terminal in place."""
    end = None if seconds is None else time.monotonic() + seconds
    states = [watcher.state for watcher in watchers]
    console = Console()
    with contextlib.ExitStack() as opened:
        live = None
        if console.is_terminal and not as_json:
            live = opened.enter_context(Live(console=console, screen=True, auto_refresh=False))
        while end is None or time.monotonic() < end:
            time.sleep(_PERIOD / 4 if live else _PERIOD)
            now = time.monotonic()
            if live:
                live.update(watch_screen.screen(states, now), refresh=True)
            else:
                text = json.dumps(watch_screen.document(states, now)) if as_json else watch_screen.line(states, now)
                print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
