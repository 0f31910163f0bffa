"""What the client's tunnel and loop are doing, for `wg-migrate status` and module double_tunnel_info. Reads only."""

from __future__ import annotations

import json
from typing import Any

from . import control
from .config import INNER_DEVICE, OUTER_NAMESPACE, Config, load
from .errors import WgMigrateError
from .nft import inside
from .sessions import Session, read_sessions
from .system import System


def report(system: System) -> dict[str, Any]:
    """Return the state of the tunnel as plain data.

    Times are in seconds, sizes in bytes; packets and bytes of a path are those inside its tunnel. Raises WgMigrateError
    where this client is not deployed.
    """
    config = load(system)
    outer = _links(system, OUTER_NAMESPACE)
    inner = _links(system, config.inner_namespace)
    sessions = read_sessions(system, config.inner_namespace) | read_sessions(system, OUTER_NAMESPACE) if outer else {}
    loop = _loop()
    return {
        "scope": config.scope,
        "implementation": "userspace" if config.userspace else "kernel",
        "up": INNER_DEVICE in inner and all(path.name in outer for path in config.paths if path.public_key),
        "exit": config.exit.name,
        "overlay_address": config.overlay_address,
        "inner_address": config.inner_address,
        "active": _active(system) if outer else None,
        "inner": _device(inner.get(INNER_DEVICE), sessions.get(INNER_DEVICE)),
        "paths": _paths(config, outer, sessions, loop or {}),
        "loop": loop,
    }


def _paths(
    config: Config, outer: dict[str, Any], sessions: dict[str, Session], loop: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    paths = {}
    for path in config.paths:
        switches = loop.get("paths", {}).get(path.name, {}).get("switches", 0)
        device = _device(outer.get(path.name), sessions.get(path.name))
        paths[path.name] = {
            "proxy": path.proxy,
            "endpoint": f"{path.address}:{path.port}",
            "switches": switches,
        } | device
    return paths


def _device(link: dict[str, Any] | None, session: Session | None) -> dict[str, Any]:
    if link is None:
        return {"present": False, "live": False}
    counters = link["stats64"]
    return {
        "present": True,
        "mtu": link["mtu"],
        "live": session is not None and session.live,
        "handshake_age": None if session is None or session.age is None else round(session.age, 1),
        "packets_up": counters["tx"]["packets"],
        "packets_down": counters["rx"]["packets"],
        "bytes_up": counters["tx"]["bytes"],
        "bytes_down": counters["rx"]["bytes"],
    }


def _links(system: System, namespace: str | None) -> dict[str, Any]:
    """Return the devices of a namespace with their counters; none where the namespace is not there."""
    answer = system.attempt([*inside(namespace), "ip", "-json", "-statistics", "link", "show"])
    return {link["ifname"]: link for link in json.loads(answer.stdout or "[]")} if answer.status == 0 else {}


def _active(system: System) -> str | None:
    """Return the path on which the default route stands."""
    answer = system.run([*inside(OUTER_NAMESPACE), "ip", "-json", "-4", "route", "show", "default"])
    return next((route["dev"] for route in json.loads(answer or "[]") if "dev" in route), None)


def _loop() -> dict[str, Any] | None:
    """Return what the running loop says, or None where none runs."""
    try:
        return control.ask({"command": "status"})
    except WgMigrateError:
        return None
