"""What the client's tunnel and loop are doing: for `wg-migrate status`, its metrics, and module double_tunnel_info.

Reads only.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from . import control
from .addresses import endpoint
from .config import INNER_DEVICE, OUTER_NAMESPACE, Config, load
from .errors import WgMigrateError
from .health import UP
from .nft import inside
from .sessions import Session, parse_sessions
from .system import System

LOOP_KEYS = (
    "health",
    "held",
    "why",
    "since_seconds",
    "rtt",
    "probes_sent",
    "probes_answered",
    "switches",
    "packets_up_session",
    "share_session",
    "share",
)
"""What only the running loop knows of a path: without one these are there all the same, and None."""
_GLANCE = 0.2
"""Seconds between two looks of one who waits."""


@dataclass(frozen=True)
class _Tunnel:
    """A WireGuard device and its one peer as `wg` shows them."""

    public_key: str
    peer_public_key: str
    session: Session


def report(system: System) -> dict[str, Any]:
    """Return the state of tunnel and loop as plain data; module double_tunnel_info documents its keys.

    Times are in seconds, sizes in bytes; packets and bytes of a path are those inside its tunnel, `wireguard_bytes_…`
    those of WireGuard's UDP packets. Raises WgMigrateError where this client is not deployed, or `ip` or `wg` fails.
    """
    config = load(system)
    outer = _links(system, OUTER_NAMESPACE)
    inner = _links(system, config.inner_namespace)
    tunnels = _tunnels(system, config.inner_namespace) | _tunnels(system, OUTER_NAMESPACE) if outer else {}
    loop, problem = _loop()
    return {
        "time": round(time.time(), 3),
        "scope": config.scope,
        "implementation": "userspace" if config.userspace else "kernel",
        "up": INNER_DEVICE in inner and all(path.name in outer for path in config.paths if path.public_key),
        "exit": config.exit.name,
        "exit_endpoint": endpoint(config.exit.address, config.exit.port),
        "overlay_address": config.overlay_address,
        "inner_address": config.inner_address,
        "inner_address6": config.inner_address6,
        "active": _active(system) if outer else None,
        "inner": _device(inner.get(INNER_DEVICE), tunnels.get(INNER_DEVICE)),
        "paths": _paths(config, outer, tunnels, (loop or {}).get("paths", {})),
        "loop": loop and {key: value for key, value in loop.items() if key != "paths"},
        "loop_problem": problem,
    }


def report_when_up(system: System, patience: float) -> dict[str, Any]:
    """Return the report as soon as all paths of the running loop are up; after so many seconds, as it is then.

    Where no loop runs there is nothing to wait for. After a change a path is not up before its handshake, which
    WireGuard tries every 5 s (REKEY_TIMEOUT; Donenfeld, NDSS 2017). Raises as `report`.
    """
    deadline = time.monotonic() + patience
    state = report(system)
    while not _all_up(state) and time.monotonic() < deadline:
        time.sleep(_GLANCE)
        state = report(system)
    return state


def _all_up(state: dict[str, Any]) -> bool:
    """Tell whether no path that the loop knows is less than up; its word is older than the session's."""
    known = [path for path in state["paths"].values() if path["health"] is not None]
    return all(path["health"] == UP and path["live"] for path in known)


def report_of_loop() -> dict[str, Any]:
    """Return what the running loop tells one who is not root: the keys of `report` that it knows, and no others.

    Raises WgMigrateError where no loop runs, or this user may not ask it.
    """
    loop = control.ask({"command": "status"})
    return {
        "time": round(time.time(), 3),
        "active": loop["active"] or None,
        "paths": loop.pop("paths"),
        "loop": loop,
        "loop_problem": None,
    }


def _paths(
    config: Config, outer: dict[str, Any], tunnels: dict[str, _Tunnel], of_paths: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    # The session that is read here wins over the loop's `live`, which may be seconds old.
    return {
        path.name: {"proxy": path.proxy, "endpoint": endpoint(path.address, path.port), "uplink": path.uplink}
        | dict.fromkeys(LOOP_KEYS)
        | of_paths.get(path.name, {})
        | _device(outer.get(path.name), tunnels.get(path.name))
        for path in config.paths
    }


def _device(link: dict[str, Any] | None, tunnel: _Tunnel | None) -> dict[str, Any]:
    """Return a device's counters and session; those keys are missing where the device is."""
    if link is None:
        return {"present": False, "live": False}
    counters = link["stats64"]
    device = {
        "present": True,
        "live": tunnel is not None and tunnel.session.live,
        "handshake_age": None,
        "mtu": link["mtu"],
        "packets_up": counters["tx"]["packets"],
        "packets_down": counters["rx"]["packets"],
        "bytes_up": counters["tx"]["bytes"],
        "bytes_down": counters["rx"]["bytes"],
    }
    if tunnel is None:
        return device
    age = tunnel.session.age
    return device | {
        # A clock that was set back would make it negative.
        "handshake_age": None if age is None else round(max(0.0, age), 1),
        "handshake_time": tunnel.session.handshake or None,
        "public_key": tunnel.public_key,
        "peer_public_key": tunnel.peer_public_key,
        "wireguard_bytes_received": tunnel.session.received,
        "wireguard_bytes_sent": tunnel.session.sent,
    }


def _tunnels(system: System, namespace: str | None) -> dict[str, _Tunnel]:
    """Return the WireGuard devices with a peer, by name, as seen from a namespace."""
    dump = system.run([*inside(namespace), "wg", "show", "all", "dump"])
    sessions = parse_sessions(dump, time.time())
    rows = [line.split("\t") for line in dump.splitlines()]
    # wg(8): a device's row is name, private key, public key, port, mark; a peer's begins with name and public key.
    own = {row[0]: row[2] for row in rows if len(row) == 5}
    return {
        row[0]: _Tunnel(own.get(row[0], ""), row[1], sessions[row[0]])
        for row in rows
        if len(row) == 9 and row[0] in sessions
    }


def _links(system: System, namespace: str | None) -> dict[str, Any]:
    """Return the devices of a namespace with their counters; none where the namespace is not there."""
    answer = system.attempt([*inside(namespace), "ip", "-json", "-statistics", "link", "show"])
    return {link["ifname"]: link for link in json.loads(answer.stdout or "[]")} if answer.status == 0 else {}


def _active(system: System) -> str | None:
    """Return the path on which the default route stands."""
    answer = system.run([*inside(OUTER_NAMESPACE), "ip", "-json", "-4", "route", "show", "default"])
    return next((route["dev"] for route in json.loads(answer or "[]") if "dev" in route), None)


def _loop() -> tuple[dict[str, Any] | None, str | None]:
    """Return what the running loop says; or None, and why there is no answer: none runs, or it hangs."""
    try:
        return control.ask({"command": "status"}), None
    except WgMigrateError as error:
        return None, str(error)
