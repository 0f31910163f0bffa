"""The client's own nft tables, as text. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Pinned(NamedTuple):
    """A path that may leave by one uplink only.

    `mark` is that of its packets as its socket sends them, `marked` as our chain marks them anew; `address` and `port`
    are its proxy's.
    """

    uplink: str
    mark: str
    marked: str
    address: str
    port: int


def outer_rules(mark: str, overlay_address: str, foreign: Mapping[str, str]) -> str:
    """Return the table of namespace wgnet; `foreign` has by device the address that a proxy not ours gave this client.

    wireguard-go sends each packet by the device that the last one came in by ("sticky sockets": IP_PKTINFO), whatever
    the routes say. A changed mark in a chain of type route makes the kernel ask the routes again, so a switch takes
    hold of a busy download too.

    A packet that has a mark already is left alone: the mark of a path, which the chain of the batches sets before this
    one, has made the kernel ask by itself, and another mark would take the packet away from its path.
    """
    return f"""
	chain output {{
		type route hook output priority mangle; policy accept;
		oifname != "lo" meta mark 0 meta mark set {mark}
	}}
{_translations(overlay_address, foreign)}"""


def _translations(overlay_address: str, foreign: Mapping[str, str]) -> str:
    """Return the chains that let the overlay address be another one on some devices, packet by packet.

    There is no state of a connection in it, so no switch can lose one: what goes out by the device bears the provider's
    address, what comes in by it bears ours again before anybody looks where it belongs. nft corrects the checksums.
    """
    if not foreign:
        return ""
    word = _word(overlay_address)
    out = "\n\t\t".join(
        f'oifname "{device}" {word} saddr {overlay_address} {word} saddr set {own}' for device, own in foreign.items()
    )
    back = "\n\t\t".join(
        f'iifname "{device}" {word} daddr {own} {word} daddr set {overlay_address}' for device, own in foreign.items()
    )
    return f"""	chain to_providers {{
		type filter hook postrouting priority srcnat; policy accept;
		{out}
	}}
	chain from_providers {{
		type filter hook prerouting priority raw; policy accept;
		{back}
	}}
"""


def pinned_rules(pinned: Iterable[Pinned]) -> str:
    """Return the chains of the host that keep a pinned path to its uplink, "" where there is none.

    A socket that has last heard its peer by another device goes on to send by that one ("sticky sockets", see above):
    two uplinks in one network answer for each other. A changed mark makes the kernel ask the routes again, which are
    the uplink's alone. Whatever would leave by another device all the same is dropped, at the one hook that knows by
    which it does.
    """
    listed = list(pinned)
    if not listed:
        return ""
    anew = "\n\t\t".join(f"meta mark {each.mark} meta mark set {each.marked}" for each in listed)
    only = "\n\t\t".join(
        f'meta mark {{ {each.mark}, {each.marked} }} oifname != "{each.uplink}" counter drop' for each in listed
    )
    return f"""
	chain to_uplinks {{
		type route hook output priority mangle; policy accept;
		{anew}
	}}
	chain by_uplinks {{
		type filter hook postrouting priority filter; policy accept;
		{only}
	}}
"""


def inner_rules(inner_device: str, dns_servers: list[str]) -> str:
    """Return the table of the applications' namespace: nobody inside the tunnel may open a connection to the client.

    The exit lets no other client through; this is against an exit that turns hostile. Questions for DNS go to ours.
    """
    return _from_tunnel(inner_device) + _dns(inner_device, dns_servers)


def host_rules(
    mark: str,
    inner_device: str,
    inner_addresses: list[str],
    endpoints: list[tuple[str, int]],
    management_sources: list[str],
    management_ports: list[int],
    lan_networks: list[str],
    dns_servers: list[str],
    pinned: Iterable[Pinned] = (),
) -> str:
    """Return the table of the host in host scope: what may leave by anything but the tunnel, and DNS into the tunnel.

    `endpoints` are the proxies' addresses and UDP ports but for those of `pinned`, the others networks of either
    family.
    """
    kept = list(pinned)
    lines = [
        f'oifname {{ "lo", "{inner_device}" }} accept',
        *(
            f"meta mark {mark} {word} daddr . udp dport {{ {', '.join(found)} }} accept"
            for word in ("ip", "ip6")
            if (found := [f"{address} . {port}" for address, port in endpoints if _word(address) == word])
        ),
        *(
            f"meta mark {each.marked} {_word(each.address)} daddr {each.address} udp dport {each.port} accept"
            for each in kept
        ),
        *_management(management_sources, management_ports),
        # A resolver is never asked beside the tunnel, not even one on the LAN.
        *(["meta l4proto { tcp, udp } th dport 53 counter drop"] if lan_networks and dns_servers else []),
        *(f"{word} daddr {{ {addresses} }} accept" for word, addresses in _by_family(lan_networks)),
        "udp sport 68 udp dport 67 accept",
        "udp sport 546 udp dport 547 accept",
        "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld2-listener-report } accept",
        "counter drop",
    ]
    body = "\n\t\t".join(lines)
    strangers = "\n\t\t".join(
        f'iifname != {{ "lo", "{inner_device}" }} {_word(address)} daddr {address} counter drop'
        for address in inner_addresses
    )
    return f"""
	chain output {{
		type filter hook output priority filter; policy accept;
		{body}
	}}
	chain from_uplink {{
		type filter hook prerouting priority raw; policy accept;
		{strangers}
	}}{_from_tunnel(inner_device)}{_dns(inner_device, dns_servers)}{pinned_rules(kept)}"""


def _from_tunnel(inner_device: str) -> str:
    return f"""
	chain from_tunnel {{
		type filter hook input priority filter; policy accept;
		iifname "{inner_device}" ct state established,related accept
		iifname "{inner_device}" icmp type echo-request accept
		iifname "{inner_device}" icmpv6 type echo-request accept
		iifname "{inner_device}" counter drop
	}}
"""


def _management(sources: list[str], ports: list[int]) -> list[str]:
    """Return the rules for answers to connections that the management opened; never for connections to it.

    A packet that opens a connection has SYN without ACK. Connection tracking is not asked: it would take a session that
    is older than this table, Ansible's own, for one that this host opened, and cut it off.
    """
    listed = ", ".join(map(str, ports))
    rules = []
    for word, addresses in _by_family(sources):
        if ports:
            rules.append(
                f"{word} daddr {{ {addresses} }} tcp sport {{ {listed} }} tcp flags & (syn | ack) != syn accept"
            )
    return rules


def _word(address: str) -> str:
    """Return nft's word for the family of an address."""
    return "ip6" if ":" in address else "ip"


def _by_family(networks: list[str]) -> list[tuple[str, str]]:
    """Return nft's word for each family that there is a network of, with the elements of a set.

    Collapsed, because nft refuses a set whose intervals overlap.
    """
    parsed = [ipaddress.ip_network(network) for network in networks]
    ipv4 = list(ipaddress.collapse_addresses(net for net in parsed if isinstance(net, ipaddress.IPv4Network)))
    ipv6 = list(ipaddress.collapse_addresses(net for net in parsed if isinstance(net, ipaddress.IPv6Network)))
    return [(word, ", ".join(map(str, found))) for word, found in (("ip", ipv4), ("ip6", ipv6)) if found]


def _dns(inner_device: str, servers: list[str]) -> str:
    """Return the chain that takes every question for DNS to our resolver, whichever the host has been told to ask.

    In each family it is the first of `servers`; where there is none of a family, a question goes where it was sent to.
    """
    first = dict(sorted((_word(server), server) for server in reversed(servers)))
    if not first:
        return ""
    ask = f'oifname "{inner_device}" meta l4proto {{ tcp, udp }} th dport 53'
    words = {"ip": "ipv4", "ip6": "ipv6"}
    rules = "\n\t\t".join(f"meta nfproto {words[word]} {ask} dnat {word} to {server}" for word, server in first.items())
    return f"""
	chain names {{
		type nat hook output priority -100; policy accept;
		{rules}
	}}
"""
