"""What there is of the double tunnel on this client now, as the same resources that `tunnel_want` wants. Reads only."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from typing import Any

from . import nft
from .config import APPLICATION_NAMESPACE, INNER_DEVICE, OUTER_DEVICE, OUTER_NAMESPACE
from .errors import WgMigrateError
from .keys import NO_PRESHARED_KEY
from .nft import inside
from .system import System
from .tunnel_want import (
    ANY_PATH,
    FIRST_RULE,
    HOST,
    LAST_RULE,
    LOOSE,
    METRIC,
    NFT_TABLE,
    PATH_MARK_BASE,
    RESOLV_CONF,
    RESOLVED_CONF,
    ROUTE_PROTOCOL,
    TABLE,
    TCP,
    UDP,
    Key,
    Keys,
    Link,
    State,
    Tunnel,
)

_PROTOCOLS = {"tcp": TCP, f"ipproto-{TCP}": TCP, "udp": UDP, f"ipproto-{UDP}": UDP}
"""What `ip` calls a protocol, with /etc/protocols and without."""
_SECONDS = re.compile("[0-9]{1,5}")
"""A keepalive as wg(8) prints it."""
_NONE = "(none)"
SAVED_SYSCTLS = "/var/lib/wg-migrate/sysctls.json"
"""Values of the host's own sysctls before we changed them."""


def gather(system: System) -> State:
    """Return every resource of ours on this host, in the order of making."""
    names = json.loads(system.run(["ip", "-json", "netns", "list"]) or "[]")
    namespaces = [name for name in (OUTER_NAMESPACE, APPLICATION_NAMESPACE) if name in {n["name"] for n in names}]
    state: State = {}
    for name in namespaces:
        state[("namespace", name)] = True
    state.update(_sysctls(system, namespaces))
    state.update(_tables(system, namespaces))
    devices = {name: _devices(system, name) for name in [*namespaces, HOST]}
    state.update(_device_resources(system, devices))
    state.update(_routes(system, namespaces))
    state.update(_rules(system, namespaces))
    for path in (RESOLV_CONF, RESOLVED_CONF):
        text = system.read(path)
        if text is not None:
            state[("file", path)] = text
    return state


def strict_uplink(system: System) -> bool:
    """Tell whether the host checks reverse routes strictly, or did before we changed that.

    The kernel takes the larger of `all` and the device's own value (Documentation/networking/ip-sysctl.rst); a device
    that is strict by itself is made loose by 2 in `all`.
    """
    if system.read(SAVED_SYSCTLS) is not None:
        return True
    values = system.run(["sysctl", "-n", "-a", "-r", r"^net\.ipv4\.conf\.[^.]+\.rp_filter$"]).split()
    everywhere = system.run(["sysctl", "-n", "net.ipv4.conf.all.rp_filter"]).strip()
    return everywhere != "2" and "1" in values


def read_keys(system: System, directory: str, peers: list[str]) -> dict[str, Keys]:
    """Return our end of each tunnel, by the peer's name.

    Raises WgMigrateError naming the key file that is missing or no key.
    """
    keys = {}
    for peer in peers:
        private, preshared = read_secrets(system, directory, peer)
        public = system.run(["wg", "pubkey"], stdin=private).strip()
        keys[peer] = Keys(public, digest(preshared))
    return keys


def read_secrets(system: System, directory: str, peer: str) -> tuple[str, str]:
    """Return the private and the preshared key towards a peer. Raises WgMigrateError where a file is missing."""
    secrets = []
    for ending in ("key", "psk"):
        path = f"{directory}/{peer}.{ending}"
        text = system.read(path)
        if not text or not text.strip():
            raise WgMigrateError(f"{path} is missing or empty: deploy this client again, which makes its keys")
        secrets.append(text.strip())
    return secrets[0], secrets[1]


def have_secrets(system: System, directory: str, peer: str) -> bool:
    """Tell whether both key files towards a peer are there."""
    return all(system.exists(f"{directory}/{peer}.{ending}") for ending in ("key", "psk"))


def digest(secret: str) -> str:
    """Return what may be shown of a secret of 256 random bits: enough to see whether two are the same.

    A preshared key of zeros is none (https://www.wireguard.com/protocol/), and `wg` says so.
    """
    return hashlib.sha256((NO_PRESHARED_KEY if secret == _NONE else secret).encode()).hexdigest()[:12]


def _in(namespace: str) -> list[str]:
    """Return the words that run a command in a namespace, the host's included."""
    return inside(None if namespace == HOST else namespace)


def _ip(namespace: str, *words: str) -> list[str]:
    return ["ip", *([] if namespace == HOST else ["-n", namespace]), *words]


def _devices(system: System, namespace: str) -> dict[str, Any]:
    """Return our devices (and lo) of a namespace with their addresses, as `ip` tells them."""
    found = json.loads(system.run(_ip(namespace, "-json", "-details", "address", "show")) or "[]")
    wanted = {}
    for device in found:
        name = device.get("ifname", "")
        ours = name == INNER_DEVICE or OUTER_DEVICE.fullmatch(name)
        tunnel = device.get("linkinfo", {}).get("info_kind") in ("wireguard", "tun")
        if (ours and tunnel) or (name == "lo" and namespace != HOST):
            wanted[name] = device
    return wanted


def _device_resources(system: System, devices: dict[str, dict[str, Any]]) -> State:
    state: State = {}
    tunnels = _tunnels(system, [namespace for namespace, found in devices.items() if set(found) - {"lo"}])
    for namespace, found in devices.items():
        for name, device in sorted(found.items(), key=lambda item: (item[0] == INNER_DEVICE, item[0])):
            if name != "lo":
                kind = "userspace" if device["linkinfo"]["info_kind"] == "tun" else "kernel"
                # Without its namespace of birth a tunnel has lost the socket that its packets must leave by.
                orphan = name == INNER_DEVICE and OUTER_NAMESPACE not in devices
                state[("device", name)] = f"{namespace} {'orphan' if orphan else kind}"
            if name in tunnels:
                state[("wireguard", name)] = tunnels[name]
            if "UP" in device["flags"]:
                state[("link", namespace, name)] = _link(device)
    return state


def _link(device: dict[str, Any]) -> Link:
    """Return a device's MTU and the addresses that somebody gave it (those of loopback and of the link come alone)."""
    addresses = tuple(
        sorted(
            f"{address['local']}/{address['prefixlen']}"
            for address in device.get("addr_info", [])
            if address.get("scope") == "global"
        )
    )
    return Link(None if device["ifname"] == "lo" else device["mtu"], addresses)


def _tunnels(system: System, namespaces: list[str]) -> dict[str, Tunnel]:
    tunnels: dict[str, Tunnel] = {}
    for namespace in namespaces:
        # One dump names its kernel devices of this namespace, and wireguard-go's of all (their sockets are files).
        dump = system.attempt([*_in(namespace), "wg", "show", "all", "dump"]).stdout
        tunnels.update(parse_dump(dump))
    return tunnels


def parse_dump(dump: str) -> dict[str, Tunnel]:
    """Return the devices with one peer in the output of `wg show all dump` (wg(8): tab-separated, a line a peer)."""
    devices: dict[str, list[str]] = {}
    tunnels: dict[str, Tunnel] = {}
    for line in dump.split("\n"):
        name, *fields = line.split("\t")
        if len(fields) == 4:
            devices[name] = fields
        elif len(fields) == 8 and name in devices:
            public, mark = devices[name][1], devices[name][3]
            peer, preshared, endpoint, allowed, _handshake, _rx, _tx, keepalive = fields
            seconds = int(keepalive) if _SECONDS.fullmatch(keepalive) else 0  # "off"
            allowed = ",".join(sorted(allowed.split(",")))
            # A second peer makes the tunnel another one, whichever of the two is listed last.
            peer = f"{tunnels[name].peer} {peer}" if name in tunnels else peer
            tunnels[name] = Tunnel(public, mark, peer, endpoint, digest(preshared), seconds, allowed)
    return tunnels


def _routes(system: System, namespaces: list[str]) -> State:
    """Return default routes; of wgnet's, which has a table for each path, all are asked for at once.

    The host may have many tables, of which those of pinned paths are known by what we write beside each route.
    """
    state: State = {}
    for namespace, asked in (
        (OUTER_NAMESPACE, "all"),
        (APPLICATION_NAMESPACE, "main"),
        (HOST, f"all proto {ROUTE_PROTOCOL}"),
        (HOST, TABLE),
    ):
        if namespace != HOST and namespace not in namespaces:
            continue
        for family in ("-4", "-6"):
            # A table that was never written to does not exist, and asking for it fails.
            answer = system.attempt(_ip(namespace, "-json", family, "route", "show", "table", *asked.split()))
            for route in json.loads(answer.stdout or "[]") if answer.status == 0 else []:
                # Of all tables `ip` names each but main.
                table = route.get("table", "main") if asked.startswith("all") else asked
                if route.get("dst") == "default" and _is_ours(namespace, table):
                    key = ("route", namespace, family, table, str(route.get("metric", 0)))
                    state[key] = _route_value(key, route)
    return state


def _is_ours(namespace: str, table: str) -> bool:
    if table == "main":
        return namespace != HOST
    return table == TABLE or (table.isdecimal() and int(table) >= PATH_MARK_BASE)


def _route_value(key: Key, route: dict[str, Any]) -> str:
    if route.get("type") == "unreachable":
        return "unreachable"
    device = route.get("dev", "nothing")
    _, namespace, family, table, metric = key
    switching = (namespace, table, metric) == (OUTER_NAMESPACE, "main", METRIC[family]) and OUTER_DEVICE.fullmatch(
        device
    )
    if switching:
        return ANY_PATH
    gateway = route.get("gateway") or " ".join((route.get("via") or {}).values())
    return f"via {gateway} dev {device}" if gateway else f"dev {device}"


def _rules(system: System, namespaces: list[str]) -> State:
    state: State = {}
    places = [name for name in namespaces if name == OUTER_NAMESPACE]
    for namespace, family in itertools.product([*places, HOST], ("-4", "-6")):
        # A kernel without IPv6 has no rules for it.
        for rule in json.loads(system.attempt(_ip(namespace, "-json", family, "rule", "show")).stdout or "[]"):
            if FIRST_RULE <= rule["priority"] <= LAST_RULE:
                state[("rule", namespace, family, str(rule["priority"]))] = _rule_words(rule)
    return state


def _rule_words(rule: dict[str, Any]) -> str:
    """Return a rule as `ip rule` takes it, from its JSON."""
    words = []
    if "dst" in rule:
        words += ["to", rule["dst"] + (f"/{rule['dstlen']}" if "dstlen" in rule else "")]
    if "fwmark" in rule:
        words += ["fwmark", rule["fwmark"] + (f"/{rule['fwmask']}" if "fwmask" in rule else "")]
    if "ipproto" in rule:
        words += ["ipproto", _PROTOCOLS.get(rule["ipproto"], rule["ipproto"])]
    for port in ("sport", "dport"):
        if port in rule:
            words += [port, str(rule[port])]
    return " ".join([*words, "lookup", rule["table"]])


def _tables(system: System, namespaces: list[str]) -> State:
    state: State = {}
    for key, namespace in [*zip(namespaces, namespaces), (HOST, None)]:
        loaded = nft.loaded_fingerprint(system, NFT_TABLE, namespace)
        if loaded is not None:
            state[("nft", key, NFT_TABLE)] = loaded
    return state


def _sysctls(system: System, namespaces: list[str]) -> State:
    state: State = {}
    if OUTER_NAMESPACE in namespaces:
        pattern = r"^net\.ipv4\.(conf\.[^.]+\.rp_filter|ping_group_range)$"
        listed = system.run([*_in(OUTER_NAMESPACE), "sysctl", "-a", "-r", pattern])
        for line in listed.splitlines():
            name, _, value = line.partition(" = ")
            # A range is printed with a tab between its ends.
            state[("sysctl", OUTER_NAMESPACE, name)] = " ".join(value.split())
    if system.read(SAVED_SYSCTLS) is not None:
        value = system.run(["sysctl", "-n", "net.ipv4.conf.all.rp_filter"]).strip()
        state[("sysctl", HOST, "net.ipv4.conf.all.rp_filter")] = LOOSE if value == "2" else value
    return state
