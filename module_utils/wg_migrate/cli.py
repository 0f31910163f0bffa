"""The on-host command `wg-migrate`: the same code as the Ansible modules, by another door."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from . import confirmation, control, keeper, loop_service, metrics, rotation, status_text, tunnel
from .config import APPLICATION_NAMESPACE, load
from .errors import WgMigrateError
from .reading import read_interval
from .report import report, report_of_loop
from .schedule import parse
from .system import System
from .tunnel_apply import TUNNEL_UNIT


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status: 0 done, 1 refused or failed (with one sentence), 2 not understood."""
    options = _parser().parse_args(arguments)
    if not _is_root() and options.run is not _status:
        return _fail("this needs root: run it with sudo")
    try:
        options.run(options, System())
    except WgMigrateError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename or 'the system'}: {error.strerror or error}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="wg-migrate", description="The client's end of a migrating double tunnel.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="make the tunnel as the configuration says").set_defaults(run=_up)
    commands.add_parser("down", help="take the tunnel down").set_defaults(run=_down)
    commands.add_parser("confirm", help="keep the last change (site.yml does this)").set_defaults(run=_confirm)
    commands.add_parser("roll-back", help="take an unconfirmed change back (a timer does this)").set_defaults(
        run=_roll_back
    )
    commands.add_parser("run", help="run the migration loop (the service does this)").set_defaults(run=_run)
    commands.add_parser("keep", help="mend the tunnel when others change it (the service does this)").set_defaults(
        run=_keep
    )
    status = commands.add_parser("status", help="tell what tunnel and loop are doing")
    status.add_argument("--json", action="store_true", help="as JSON")
    status.add_argument("--follow", action="store_true", help="again every second, until Ctrl-C")
    status.set_defaults(run=_status)
    schedule = commands.add_parser("schedule", help="show the running loop's schedule, or change it until it ends")
    schedule.add_argument("file", nargs="?", help="a schedule as JSON; - is standard input")
    schedule.set_defaults(run=_schedule)
    interval = commands.add_parser("interval", help="change only the period of the running loop's schedule")
    interval.add_argument("seconds", help="from 0.001 to 86400")
    interval.set_defaults(run=_interval)
    session = commands.add_parser("new-session", help="begin a session: weights and batches are drawn anew")
    session.set_defaults(run=_new_session)
    adopt = commands.add_parser("adopt", help="use the new keys towards a peer (rotate-keys.yml does this)")
    adopt.add_argument("peer", help="name of the proxy or exit")
    adopt.add_argument("public_key", help="its own new public key")
    adopt.add_argument(
        "--in",
        dest="later",
        type=int,
        metavar="SECONDS",
        help="not now, but then; until it is done its path carries nothing",
    )
    adopt.set_defaults(run=_adopt)
    measures = commands.add_parser("metrics", help="write the state for node_exporter's textfile collector")
    measures.add_argument("file", help="whole path, ending in .prom")
    measures.set_defaults(run=_metrics)
    execute = commands.add_parser("exec", help="run a command where its traffic goes through the tunnel")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="the command and its arguments")
    execute.set_defaults(run=_exec)
    return parser


def _up(_options: argparse.Namespace, system: System) -> None:
    if confirmation.is_of_another_boot(system):
        _roll_back(_options, system)
        return
    for action in tunnel.up(system, load(system)).actions:
        print(action)


def _down(_options: argparse.Namespace, system: System) -> None:
    # Else systemd would go on taking the tunnel for standing, and to start the unit, or the loop, would put nothing up.
    system.attempt(["systemctl", "stop", TUNNEL_UNIT])
    for action in tunnel.down(system).actions:
        print(action)


def _confirm(_options: argparse.Namespace, system: System) -> None:
    confirmation.confirm(system)


def _roll_back(_options: argparse.Namespace, system: System) -> None:
    if confirmation.roll_back(system):
        print("nobody confirmed the last change: what stood before stands again")


def _run(_options: argparse.Namespace, system: System) -> None:
    loop_service.run(system)


def _keep(_options: argparse.Namespace, system: System) -> None:
    keeper.run(system)


def _schedule(options: argparse.Namespace, _system: System) -> None:
    if options.file is None:
        print(json.dumps(control.ask({"command": "status"})["schedule"], indent=2))
        return
    try:
        text = sys.stdin.read() if options.file == "-" else Path(options.file).read_text()
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WgMigrateError(
            f'{options.file} is not JSON ({error}): write an object such as {{"period": 0.1}}'
        ) from None
    parse(document)  # what is wrong in itself is refused here, also where no loop runs
    control.ask({"command": "schedule", "schedule": document})


def _new_session(_options: argparse.Namespace, _system: System) -> None:
    control.ask({"command": "new_session"})


def _interval(options: argparse.Namespace, _system: System) -> None:
    control.ask({"command": "interval", "interval": read_interval(options.seconds)})


def _adopt(options: argparse.Namespace, system: System) -> None:
    if options.later is not None:
        rotation.adopt_later(system, options.peer, options.public_key, options.later)
    elif rotation.adopt(system, options.peer, options.public_key):
        print(f"the new keys towards {options.peer} are in use")


def _exec(options: argparse.Namespace, system: System) -> None:
    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not argv:
        raise WgMigrateError("there is no command: write, for example, wg-migrate exec -- curl https://example.org")
    if load(system).scope == "namespace":
        # `ip netns exec` also puts /etc/netns/comps/resolv.conf in place of /etc/resolv.conf.
        argv = ["ip", "netns", "exec", APPLICATION_NAMESPACE, "sh", "-c", WITHOUT_HOST_RESOLVERS, "sh", *argv]
    os.execvp(argv[0], argv)


# The C library may ask a daemon of the host instead of a resolver (nss-resolve(8), nscd(8)), which asks beside
# the tunnel. Where the socket is nothing, it asks the resolver. The mounts end with the command.
WITHOUT_HOST_RESOLVERS = """
for socket in /run/systemd/resolve/io.systemd.Resolve /run/nscd/socket; do
    if test -e "$socket"; then mount --bind /dev/null "$socket" || exit 1; fi
done
exec "$@"
"""


def _status(options: argparse.Namespace, system: System) -> None:
    def look() -> dict[str, Any]:
        return report(system) if _is_root() else report_of_loop()

    if options.follow:
        status_text.follow(look, sys.stdout, options.json)
        return
    state = look()
    print(json.dumps(state, indent=2) if options.json else status_text.table(state))


def _metrics(options: argparse.Namespace, system: System) -> None:
    metrics.write(system, options.file)


def _is_root() -> bool:
    return os.geteuid() == 0


def _fail(message: str) -> int:
    print(f"wg-migrate: {message}", file=sys.stderr)
    return 1
