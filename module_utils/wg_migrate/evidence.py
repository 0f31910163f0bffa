"""Evidence for the claims of playbooks/verify.yml, gathered on the hosts while traffic runs. Changes nothing."""

from __future__ import annotations

import json
import random
import socket
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from .config import INNER_DEVICE, OUTER_NAMESPACE, Config, load
from .errors import WgMigrateError
from .nft import inside
from .report import report
from .system import System
from .tunnel_have import read_keys
from .uplink import device_addresses, uplink_device
from .wire import Allowed, merged, watch

SAMPLE = 0.03
"""Seconds between two looks at the exit's endpoints, on average: shorter than the intervals of interest."""

# Asks again and again, so that packets go both ways on every path; each answer is the address that was seen.
_VISITOR = """
import json, sys, time, urllib.request
end, seen, errors = time.monotonic() + float(sys.argv[2]), {}, []
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
while time.monotonic() < end:
    try:
        address = opener.open(sys.argv[1], timeout=5).read(200).decode().strip()
        seen[address] = seen.get(address, 0) + 1
    except OSError as error:
        errors.append(str(error))
        time.sleep(0.2)
    time.sleep(0.005)
print(json.dumps({"seen": seen, "errors": errors[:3]}))
"""


def of_client(system: System, url: str, seconds: float, strict: bool) -> dict[str, Any]:
    """Make traffic through the tunnel for a while and tell what it did to paths, uplink and fragments.

    `url` answers with the address that asked, as plain text. Unless `strict`, a host with scope namespace may speak for
    itself on the uplink. Raises WgMigrateError where the tunnel is not deployed.
    """
    config = load(system)
    before, fragments, started = report(system), _fragments(system, config), time.monotonic()
    suspects = None if strict or config.scope == "host" else _suspects(config, url)
    with ThreadPoolExecutor() as watchers:
        watched = [
            watchers.submit(watch, device, seconds, allowed, suspects)
            for device, allowed in allowed_by_uplink(system, config).items()
        ]
        visits = _visit(system, config, url, seconds - 0.2)
        sightings = [each.result() for each in watched]
    after = report(system)
    return {
        **visits,
        "paths": {name: _difference(before["paths"][name], after["paths"][name]) for name in after["paths"]},
        "switches": _switches(after) - _switches(before),
        "seconds": time.monotonic() - started,
        "loop": after["loop"],
        "public_key": read_keys(system, config.key_directory, [config.exit.name])[config.exit.name].public,
        "mtu": {INNER_DEVICE: after["inner"].get("mtu"), "uplink": config.uplink_mtu}
        | {name: path.get("mtu") for name, path in after["paths"].items()},
        "fragments": _fragments(system, config) - fragments,
        "uplink": asdict(merged(sightings)),
    }


def allowed_by_uplink(system: System, config: Config) -> dict[str, Allowed]:
    """Return what may be on each of the client's uplinks: a path that is pinned to another is a leak there.

    An uplink that is not there now is left out.
    """
    default, _ = uplink_device(system)
    there = [device for device in config.uplinks if system.exists(f"/sys/class/net/{device}")]
    return {
        device: Allowed(
            frozenset(device_addresses(system, device)),
            frozenset((path.address, path.port) for path in config.paths if (path.uplink or default) == device),
            frozenset(config.management_ports),
        )
        for device in dict.fromkeys([default, *there])
    }


def of_exit(system: System, device: str, seconds: float) -> dict[str, Any]:
    """Tell from which addresses each client was heard during a while, by its public key, in how many samples each."""
    heard: dict[str, Counter[str]] = {}
    links = json.loads(system.run(["ip", "-json", "link", "show", "dev", device]))
    fragments = _fragment_count(system, None)
    end = time.monotonic() + seconds
    while (begun := time.monotonic()) < end:
        for line in system.run(["wg", "show", device, "endpoints"]).splitlines():
            key, endpoint = line.split("\t")
            heard.setdefault(key, Counter())[endpoint.rpartition(":")[0]] += 1
        # Unevenly, as looks in step with the loop would see one path only. A slow host's take as long as its interval.
        time.sleep(random.SystemRandom().uniform(0, 2) * max(SAMPLE, time.monotonic() - begun))
    return {
        "heard": heard,
        "addresses": uplink_device(system)[1],
        "mtu": links[0]["mtu"],
        "fragments": _fragment_count(system, None) - fragments,
    }


def of_observer(
    device: str, seconds: float, clients: list[str], endpoints: list[tuple[str, int]], ports: list[int]
) -> dict[str, Any]:
    """Tell what the clients put on a wire that this machine sees. Raises WgMigrateError where that is no device."""
    try:
        return asdict(watch(device, seconds, Allowed(frozenset(clients), frozenset(endpoints), frozenset(ports))))
    except OSError as error:
        raise WgMigrateError(f"cannot watch {device}: {error}; write the device that sees the clients' wire") from None


def _visit(system: System, config: Config, url: str, seconds: float) -> dict[str, Any]:
    answer = system.attempt([*inside(config.inner_namespace), sys.executable, "-c", _VISITOR, url, str(seconds)])
    if answer.status != 0:
        return {"seen": {}, "errors": [answer.stderr.strip()[-300:]]}
    return dict(json.loads(answer.stdout))


def _suspects(config: Config, url: str) -> frozenset[str]:
    """Return the addresses that a leaked packet of the applications would go to in this test."""
    host = urlsplit(url).hostname or ""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        found = set()
    return frozenset({config.exit.address, config.exit.inner_address, config.inner_address, *found})


def _difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    counters = ("packets_up", "packets_down", "bytes_up", "bytes_down")
    return {name: after.get(name, 0) - before.get(name, 0) for name in counters} | {"live": after["live"]}


def _switches(state: dict[str, Any]) -> int:
    return state["loop"]["switches"] if state["loop"] else 0


def _fragments(system: System, config: Config) -> int:
    places = {None, OUTER_NAMESPACE, config.inner_namespace}
    return sum(_fragment_count(system, place) for place in places)


def _fragment_count(system: System, namespace: str | None) -> int:
    """Return how many fragments a namespace has made since it began (/proc/net/snmp and snmp6)."""
    text = system.run([*inside(namespace), "cat", "/proc/net/snmp", "/proc/net/snmp6"])
    rows = [line.split() for line in text.splitlines()]
    ipv4 = [row for row in rows if row[0] == "Ip:"]
    made = int(ipv4[1][ipv4[0].index("FragCreates")])
    return made + sum(int(row[1]) for row in rows if row[0] == "Ip6FragCreates")
