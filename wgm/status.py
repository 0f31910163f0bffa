"""What tunnel and loop of each client are doing, as its own `wg-migrate status` tells it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from wg_migrate import status_text
from wg_migrate.errors import WgMigrateError

from observe.hosts import Host, load
from observe.session import Session
from observe.ssh import Connection, each

_ANSWER_SECONDS = 30.0


def show(sources: Sequence[str], secret: str | None, as_json: bool) -> int:
    """Print the state of all clients of the inventory and return the exit status: 1 where one does not tell its own.

    SECRET is the password that sudo wants. Raises WgMigrateError for an inventory that cannot be read.
    """
    inventory = load(sources)
    clients = [inventory.hosts[name] for name in inventory.of("client")]
    if secret is not None:
        clients = [dataclasses.replace(host, become_password=secret) for host in clients]
    states = each(lambda name: _state(next(host for host in clients if host.name == name)), inventory.of("client"))
    if as_json:
        print(json.dumps(states, indent=2))
    else:
        print("\n\n".join(_text(name, state) for name, state in states.items()))
    return int(any("error" in state for state in states.values()))


def _text(name: str, state: dict[str, Any]) -> str:
    return f"client {name}\n{state['error'] if 'error' in state else status_text.table(state)}"


def _state(host: Host) -> dict[str, Any]:
    """Return what the client says of itself, or why it does not, as `error`."""
    try:
        with contextlib.closing(Connection(host)) as connection:
            return _ask(connection)
    except WgMigrateError as error:
        return {"error": str(error)}


def _ask(connection: Connection) -> dict[str, Any]:
    told: list[bytes] = []
    session = Session(
        connection, [["wg-migrate", "status", "--json"]], lambda _, data: told.append(data), lasting=False
    )
    session.join(_ANSWER_SECONDS)
    if session.problem:
        raise WgMigrateError(f"{session.name}: {session.problem}")
    found: dict[str, Any] = json.loads(b"".join(told))
    return found
