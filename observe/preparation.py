"""Before a capture begins: who is asked, what for, and with which programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wg_migrate.errors import WgMigrateError
from wg_migrate.tunnel_want import MARK

from observe import points
from observe.hosts import Inventory
from observe.ssh import Connection, each


@dataclass(frozen=True)
class Wanted:
    """What to capture: at which hosts, for which client, which layers, how many bytes of a packet (0: all), where to.

    `seconds` is how long; with neither that nor a command, until Ctrl-C.
    """

    inventory: Inventory
    client: str
    at: Sequence[str]
    layers: Sequence[str]
    snap: int
    directory: Path
    seconds: float | None = None
    command: Sequence[str] = ()


def vantage_points(inventory: Inventory, client: str) -> list[str]:
    """Return the hosts at which a client's packets are seen: itself, its paths' proxies that are ours, its exit."""
    plan = inventory.plan[client]
    ours = [path["proxy"] for path in plan["paths"] if not path.get("own_address")]
    return [client, *ours, plan["exit"]["name"]]


@dataclass(frozen=True)
class Prepared:
    """What to capture at each host, and what the client's `wg-migrate status` said; {} where it was not asked."""

    streams: dict[str, list[points.Stream]]
    status: dict[str, Any]


def prepare(wanted: Wanted, connections: dict[str, Connection]) -> Prepared:
    """Ask every host what it takes to capture there. Raises WgMigrateError with all that is missing."""
    looks = each(lambda name: _look(wanted, connections[name]), connections)
    _refuse_without_tcpdump(looks)
    plan = wanted.inventory.plan[wanted.client]
    ports = {path["proxy"]: path["port"] for path in plan["paths"]}
    heard = [
        proxy["address"] for proxy in wanted.inventory.plan[plan["exit"]["name"]]["proxies"] if proxy["name"] in ports
    ]
    ends = points.Ends(plan, frozenset((one.peer, one.host.port) for one in connections.values()), tuple(heard))

    def streams(name: str) -> list[points.Stream]:
        look = points.look_of(looks[name])
        try:
            return points.streams(connections[name].host.role, ends, look, ports.get(name, 0), wanted.layers)
        except WgMigrateError as error:
            raise WgMigrateError(f"{name} {error}") from None

    return Prepared(each(streams, connections), looks.get(wanted.client, {}).get("status") or {})


def _look(wanted: Wanted, connection: Connection) -> dict[str, Any]:
    host, plan = connection.host, wanted.inventory.plan[wanted.client]
    proxies = [path["address"] for path in plan["paths"]]
    peers = {"client": proxies, "proxy": [plan["exit"]["address"]], "exit": proxies}[host.role]
    # The mark of the client's outer tunnels: by the uplink, where all else goes by wg0. Others have no rule for it.
    question = {"peers": peers, "mark": MARK, "client": host.role == "client"}
    found: dict[str, Any] = json.loads(connection.run("look", json.dumps(question)))
    if host.role == "client" and not found["status"]:
        raise WgMigrateError(f"{host.name}: 'wg-migrate status' says nothing there: deploy it first, by site.yml")
    return found


def _refuse_without_tcpdump(looks: dict[str, dict[str, Any]]) -> None:
    lacking = [name for name, look in looks.items() if not look["tcpdump"]]
    if lacking:
        raise WgMigrateError(
            f"no tcpdump on {', '.join(lacking)}: install it there (as root: apt-get install tcpdump), or run "
            "playbooks/capture.yml, which brings it and takes it away again"
        )
