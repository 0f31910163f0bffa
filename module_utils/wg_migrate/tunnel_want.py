"""What a client's double tunnel consists of: the configuration turned into resources. Pure.

A resource is a key, a tuple of its kind and names, with a value; the dict's order is the order in which they are made,
and its reverse the order in which they are removed. The kinds:

    ("namespace", NAME)                          True
    ("device", DEVICE)                           "NAMESPACE IMPLEMENTATION"
    ("wireguard", DEVICE)                        Tunnel
    ("link", NAMESPACE, DEVICE)                  Link
    ("route", NAMESPACE, FAMILY, TABLE, METRIC)  "dev DEVICE", "via GATEWAY dev DEVICE" or "unreachable"; ANY_PATH for
                                                 the route that switches
    ("rule", NAMESPACE, FAMILY, PRIORITY)        the rule's words, as `ip rule` takes them
    ("nft", NAMESPACE, TABLE)                    the table's fingerprint
    ("sysctl", NAMESPACE, NAME)                  the value
    ("file", PATH)                               the text
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import firewall, nft
from .addresses import alone, endpoint, family
from .config import APPLICATION_NAMESPACE, INNER_DEVICE, OUTER_DEVICE, OUTER_NAMESPACE, Config, Path
from .errors import WgMigrateError

Key = tuple[str, ...]
State = dict[Key, Any]
"""In the order of making."""

HOST = "host"
"""The name that resources have for the host's own namespace."""
MARK = "0x5747"
"""Mark of wgnetN's own packets, which alone may use the uplink (also the routing table's number in host scope)."""
TABLE = str(int(MARK, 16))
PATH_MARK_BASE = 0x5800
"""In namespace wgnet this plus a path's number is the mark of packets for that path, and the number of its table.

In the host's namespace it is the same of a path that is pinned to an uplink.
"""
MARKED_ANEW = 0x10000
"""In the host's namespace a pinned path's mark has this bit as well, once our chain has seen the packet."""
PINNED_MASK = 0xFFFFFFFF ^ MARKED_ANEW
FALLBACK_METRIC = "4278198272"
"""The largest metric that leaves room: `unreachable` is used only where no other default route stands."""
ROUTE_PROTOCOL = "87"
"""The `proto` of our routes, one that no routing daemon uses (/etc/iproute2/rt_protos), so that we know them again."""
FIRST_RULE = 5740
LAST_RULE = FIRST_RULE + 199
"""The priorities between the two are ours, in each namespace."""
NFT_TABLE = "wg_migrate"
TCP, UDP = "6", "17"
"""As numbers: `ip` knows the names only where /etc/protocols (package netbase) is installed."""
METRIC = {"-4": "0", "-6": "1024"}
"""The metric that a route gets for which none is asked (net/ipv6.h: IP6_RT_PRIO_USER)."""
ANY_PATH = "a path"
PING_GROUPS = "net.ipv4.ping_group_range"
LOOSE = "loose"
LARGEST_PATH = 0xFFFFFFFF - PATH_MARK_BASE
"""Marks and numbers of tables have 32 bits (linux/fib_rules.h)."""
RESOLV_CONF = f"/etc/netns/{APPLICATION_NAMESPACE}/resolv.conf"
RESOLVED_CONF = "/etc/systemd/resolved.conf.d/wg-migrate.conf"
"""systemd-resolved binds its questions to the uplink, where they end; all else that asks is led to our resolver."""


@dataclass(frozen=True)
class Keys:
    """Our end of one tunnel: the public key, and digests that tell whether the secrets are the wanted ones."""

    public: str
    preshared_digest: str


@dataclass(frozen=True)
class Tunnel:
    """A WireGuard device with its one peer. No secret is in it: the preshared key is there as a digest."""

    public_key: str
    mark: str
    peer: str
    endpoint: str
    preshared_digest: str
    keepalive: int
    allowed: str = "0.0.0.0/0,::/0"


@dataclass(frozen=True)
class Link:
    """A device's MTU in bytes (None: whatever it is), and its addresses in CIDR form; it is up."""

    mtu: int | None
    addresses: tuple[str, ...]


def path_mark(name: str) -> int:
    """Return the mark of packets that take the path of this name, whatever the switching route says.

    Raises WgMigrateError for a name whose number is too large, or is another way to write another path's number.
    """
    number = int(name[len("wgnet") :]) if OUTER_DEVICE.fullmatch(name) else -1
    if name != f"wgnet{number}" or number > LARGEST_PATH:
        raise WgMigrateError(
            f"a path is named {name}: write wgnet and a number up to {LARGEST_PATH} without zeros before it, such as "
            "wgnet1"
        )
    return PATH_MARK_BASE + number


def families(config: Config) -> list[str]:
    """Return the families that applications have, as `ip` takes them."""
    return ["-4", "-6"] if config.inner_address6 else ["-4"]


def known_paths(config: Config) -> list[Path]:
    """Return the paths whose proxy's key is known; another cannot be built yet."""
    return [path for path in config.paths if path.public_key]


def pinned_paths(config: Config) -> list[Path]:
    """Return the known paths that may leave by one uplink only."""
    return [path for path in known_paths(config) if path.uplink]


def needs_loose_check(config: Config) -> bool:
    """Tell whether answers may come by another device than the one that the host's own routes go by."""
    return config.scope == "host" or bool(pinned_paths(config))


def want(config: Config, keys: dict[str, Keys], strict_uplink: bool, ways: Mapping[str, str]) -> State:
    """Return the resources of a client.

    `keys` are by peer name; `strict_uplink` tells whether the host drops packets whose reverse route is another device
    (rp_filter=1), or did before we changed that; `ways` has the route of each pinned path whose uplink is there, by the
    path's name.
    """
    state: State = guard(config)
    namespaces = [OUTER_NAMESPACE] + ([APPLICATION_NAMESPACE] if config.scope == "namespace" else [])
    for name in namespaces:
        state[("namespace", name)] = True
        state[("link", name, "lo")] = Link(None, (alone(config.overlay_address),) if name == OUTER_NAMESPACE else ())
        state[("nft", name, NFT_TABLE)] = nft.fingerprint(table_body(name, config))
    # Answers come back on whichever path the exit heard last; a strict check of the reverse route would drop them.
    state[("sysctl", OUTER_NAMESPACE, "net.ipv4.conf.all.rp_filter")] = "0"
    state[("sysctl", OUTER_NAMESPACE, "net.ipv4.conf.default.rp_filter")] = "0"
    # The loop has no CAP_NET_RAW; group root may open sockets for pings without it (icmp(7)).
    state[("sysctl", OUTER_NAMESPACE, PING_GROUPS)] = "0 0"
    state[("route", OUTER_NAMESPACE, config.overlay_family, "main", FALLBACK_METRIC)] = "unreachable"
    if needs_loose_check(config) and strict_uplink:
        state[("sysctl", HOST, "net.ipv4.conf.all.rp_filter")] = LOOSE
    for path in known_paths(config):
        state.update(_outer(config, path, keys[path.proxy]))
    state[("route", OUTER_NAMESPACE, config.overlay_family, "main", METRIC[config.overlay_family])] = ANY_PATH
    state.update(_path_rules(config))
    state.update(_inner(config, keys[config.exit.name]))
    if config.scope == "namespace" and config.dns_servers:
        state[("file", RESOLV_CONF)] = "".join(f"nameserver {server}\n" for server in config.dns_servers)
    if config.scope == "host" and config.dns_servers:
        state[("file", RESOLVED_CONF)] = f"[Resolve]\nDNS={' '.join(config.dns_servers)}\nDomains=~.\n"
    # Last: an uplink that goes at this moment is the only thing that can refuse them.
    for path in pinned_paths(config):
        if path.name in ways:
            each = family(path.address)
            state[("route", HOST, each, str(path_mark(path.name)), METRIC[each])] = ways[path.name]
    return state


def guard(config: Config) -> State:
    """Return what stands before any tunnel is up: the host's firewall, and rules to routes that end nowhere.

    It needs no keys, so it can stand where nothing else can. With scope namespace it is empty but for pinned paths.
    """
    pinned = pinned_paths(config)
    state: State = {}
    if config.scope == "host" or pinned:
        state[("nft", HOST, NFT_TABLE)] = nft.fingerprint(table_body(HOST, config))
    if config.scope == "host":
        for each in families(config):
            state[("route", HOST, each, TABLE, FALLBACK_METRIC)] = "unreachable"
    # Where its uplink is away, a path has no way: not the next rule's, which leads into wg0 or to another uplink.
    for path in pinned:
        state[("route", HOST, family(path.address), str(path_mark(path.name)), FALLBACK_METRIC)] = "unreachable"
    state.update(_host_rules(config))
    return state


def table_body(namespace: str, config: Config) -> str:
    """Return the body of our nft table of a namespace; that of the host is there in host scope and for pinned paths."""
    if namespace == OUTER_NAMESPACE:
        foreign = {path.name: path.own_address for path in config.paths if path.own_address}
        return firewall.outer_rules(MARK, config.overlay_address, foreign)
    if namespace == APPLICATION_NAMESPACE:
        return firewall.inner_rules(INNER_DEVICE, config.dns_servers)
    pinned = [
        firewall.Pinned(path.uplink, f"{mark:#x}", f"{mark | MARKED_ANEW:#x}", path.address, path.port)
        for path in pinned_paths(config)
        for mark in [path_mark(path.name)]
    ]
    if config.scope != "host":
        return firewall.pinned_rules(pinned)
    return firewall.host_rules(
        mark=MARK,
        inner_device=INNER_DEVICE,
        inner_addresses=config.inner_addresses,
        endpoints=[(path.address, path.port) for path in known_paths(config) if not path.uplink],
        management_sources=config.management_sources,
        management_ports=config.management_ports,
        lan_networks=config.lan_networks,
        dns_servers=config.dns_servers,
        pinned=pinned,
    )


def _outer(config: Config, path: Path, keys: Keys) -> State:
    assert path.public_key is not None  # known_paths
    kind = _implementation(config)
    state: State = {
        ("device", path.name): f"{OUTER_NAMESPACE} {kind}",
        ("sysctl", OUTER_NAMESPACE, f"net.ipv4.conf.{path.name}.rp_filter"): "0",
        ("wireguard", path.name): Tunnel(
            keys.public,
            f"{path_mark(path.name):#x}" if path.uplink else MARK,
            path.public_key,
            endpoint(path.address, path.port),
            keys.preshared_digest,
            config.keepalive,
            # Somebody else's proxy has nothing to send us but what comes from the exit.
            *([alone(config.exit.address)] if path.own_address else []),
        ),
        ("link", OUTER_NAMESPACE, path.name): Link(config.outer_mtu, ()),
        ("route", OUTER_NAMESPACE, config.overlay_family, str(path_mark(path.name)), METRIC[config.overlay_family]): (
            f"dev {path.name}"
        ),
    }
    if config.overlay_family == "-6":
        # IPv4 lets a socket that is bound to a device (probes.py) send by it whatever the routes say, IPv6 wants a
        # route. Nobody else takes it: the one that switches has a smaller metric. Where that has gone with its device,
        # another path is as good.
        state[("route", OUTER_NAMESPACE, "-6", "main", str(path_mark(path.name)))] = f"dev {path.name}"
    return state


def _inner(config: Config, keys: Keys) -> State:
    assert config.exit.public_key is not None  # tunnel.up refuses to go on without
    namespace = config.inner_namespace or HOST
    table = TABLE if config.scope == "host" else "main"
    state: State = {
        ("device", INNER_DEVICE): f"{namespace} {_implementation(config)}",
        # wg0 needs no keepalive: each path has its own, and the loop sends a packet after each switch.
        ("wireguard", INNER_DEVICE): Tunnel(
            keys.public,
            "off",
            config.exit.public_key,
            endpoint(config.exit.address, config.exit.port),
            keys.preshared_digest,
            0,
        ),
        ("link", namespace, INNER_DEVICE): Link(config.inner_mtu, tuple(sorted(map(alone, config.inner_addresses)))),
    }
    for each in families(config):
        state[("route", namespace, each, table, METRIC[each])] = f"dev {INNER_DEVICE}"
    return state


def _path_rules(config: Config) -> State:
    """Return the rules that send a packet with a path's mark to that path's table.

    A table whose route has gone with its device answers nothing, and the packet takes the route that switches.
    """
    marks = [path_mark(path.name) for path in known_paths(config)]
    return _numbered(OUTER_NAMESPACE, [(config.overlay_family, f"fwmark {mark:#x} lookup {mark}") for mark in marks])


def _host_rules(config: Config) -> State:
    """Return the rules that send everything into wg0, but for what may leave by the uplink (firewall.host_rules).

    With scope namespace they are those of pinned paths alone.
    """
    # With our bit in the mark or without it: the chain that sets it is there for the routes to be asked again.
    pinned = [
        (family(path.address), f"fwmark {mark:#x}/{PINNED_MASK:#x} lookup {mark}")
        for path in pinned_paths(config)
        for mark in [path_mark(path.name)]
    ]
    if config.scope != "host":
        return _numbered(HOST, pinned)
    rules = [
        (family(source), f"to {_without_full_length(source)} ipproto {TCP} sport {port} lookup main")
        for source in config.management_sources
        for port in config.management_ports
    ]
    if config.lan_networks and config.dns_servers:
        # A resolver on the LAN is not asked either: its answers come from outside the tunnel.
        rules += [
            (each, f"ipproto {protocol} dport 53 lookup {TABLE}")
            for each in families(config)
            for protocol in (TCP, UDP)
        ]
    rules += [(family(network), f"to {_without_full_length(network)} lookup main") for network in config.lan_networks]
    # A lease is renewed by a packet to the server's own address; the first time goes round the routes (packet(7)).
    rules += [("-4", f"ipproto {UDP} sport 68 dport 67 lookup main")]
    rules += [*pinned, *((each, f"fwmark {MARK} lookup main") for each in families(config))]
    # Table main is not asked for anything else: no route that a DHCP server pushes can draw traffic out of the tunnel.
    rules += [(each, f"lookup {TABLE}") for each in families(config)]
    return _numbered(HOST, [(each, words) for each, words in rules if each in families(config)])


def _numbered(namespace: str, rules: list[tuple[str, str]]) -> State:
    """Return rules, given as family and words, with our priorities in this order."""
    room = LAST_RULE + 1 - FIRST_RULE
    if len(rules) > room:
        what = "paths" if namespace == OUTER_NAMESPACE else "management ports, management networks or LAN networks"
        raise WgMigrateError(f"{len(rules)} rules are needed and there is room for {room}: write fewer {what}")
    return {
        ("rule", namespace, family, str(FIRST_RULE + number)): words for number, (family, words) in enumerate(rules)
    }


def _without_full_length(network: str) -> str:
    """Return a network as `ip rule` prints it: a single address without its prefix length."""
    parsed = ipaddress.ip_network(network)
    return str(parsed.network_address) if parsed.prefixlen == parsed.max_prefixlen else str(parsed)


def _implementation(config: Config) -> str:
    return "userspace" if config.userspace else "kernel"


def readable(state: State) -> dict[str, Any]:
    """Return a state as plain data, for results and diffs."""
    return {" ".join(key): _plain(value) for key, value in state.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, (Tunnel, Link)):
        return {name: list(item) if isinstance(item, tuple) else item for name, item in vars(value).items()}
    return value
