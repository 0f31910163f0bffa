"""Whether this host's own firewall lets the tunnel's packets pass, and what to write where it does not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import iptables_rules
from .errors import WgMigrateError
from .packet_filter import Chain, Packet, dropping
from .system import System
from .tunnel_want import MARK

_FIREWALLD = "firewall-cmd --permanent"


@dataclass(frozen=True)
class Flow:
    """Packets that must pass, in words and as the first of them is."""

    words: str
    packet: Packet


def listening(uplink: str, port: int) -> list[Flow]:
    """Return what a host must hear whose WireGuard listens at a port."""
    return [Flow(f"UDP to port {port}", Packet("input", iifname=uplink, dport=port))]


def forwarding(tunnel: str, uplink: str, destinations: Iterable[Mapping[str, Any]]) -> list[Flow]:
    """Return what a host must forward from its tunnel, and the answers.

    Each destination has `protocol` and `port`, and its `address` where only one is meant.
    """
    flows = []
    for each in destinations:
        protocol, port, address = each["protocol"], each["port"], each.get("address")
        what = f"{protocol.upper()} to port {port} of {address or 'others'}"
        there = Packet("forward", protocol, "new", tunnel, uplink, None, address, port)
        back = Packet("forward", protocol, "established", uplink, tunnel, address)
        flows += [Flow(f"{what} from {tunnel}", there), Flow(f"the answers to {what} from {tunnel}", back)]
    return flows


def calling(uplink: str, peers: Iterable[Mapping[str, Any]]) -> list[Flow]:
    """Return what a client must send to its proxies, each with `address` and `port`, and their answers.

    A peer with an `uplink` is spoken to by that one alone.
    """
    flows = []
    for peer in peers:
        address, port, device = peer["address"], peer["port"], peer.get("uplink") or uplink
        there = Packet("output", oifname=device, daddr=address, dport=port, mark=int(MARK, 16))
        back = Packet("input", state="established", iifname=device, saddr=address)
        flows += [Flow(f"UDP to {address} port {port}", there), Flow(f"the answers of {address} port {port}", back)]
    return flows


def check(system: System, flows: Iterable[Flow]) -> bool:
    """Raise WgMigrateError where a firewall that is not ours drops one of these for certain; it tells all of them.

    Returns whether there was anything to read: without nft there is not.
    """
    listed = system.attempt(["nft", "--json", "list", "ruleset"])
    try:
        document = json.loads(listed.stdout)
    except (ValueError, RecursionError):
        return False
    document = _with_iptables(document, iptables_rules.parse(system.attempt(["iptables-save"]).stdout))
    told = [_refusal(flow, chain) for flow in flows for chain in dropping(document, flow.packet)]
    if told:
        raise WgMigrateError(" ".join(dict.fromkeys(told)))
    return True


def _with_iptables(document: Any, parts: list[dict[str, Any]]) -> Any:
    """Return a ruleset in which the tables of iptables are as iptables itself tells them."""
    replaced = iptables_rules.tables(parts)
    listed = document.get("nftables") if isinstance(document, dict) else None
    kept = [
        each
        for each in (listed if isinstance(listed, list) else [])
        if not any(_is_of(about, replaced) for about in (each.values() if isinstance(each, dict) else ()))
    ]
    return {"nftables": [*kept, *parts]}


def _is_of(about: Any, tables: set[str]) -> bool:
    return isinstance(about, dict) and about.get("family") == iptables_rules.FAMILY and about.get("table") in tables


def _refusal(flow: Flow, chain: Chain) -> str:
    return f"The firewall of this host drops {flow.words}, in {chain}: {_remedy(flow.packet, chain.keeper)}."


def _remedy(packet: Packet, keeper: str) -> str:
    """Return what to run there; the firewall is its owner's, and nothing of it is changed here."""
    tunnel = packet.iifname if packet.state == "new" else packet.oifname
    commands = {
        ("ufw", "input"): f"ufw allow {packet.dport}/udp",
        ("ufw", "output"): f"ufw allow out {packet.dport}/udp",
        ("ufw", "forward"): f"ufw route allow in on {packet.iifname} out on {packet.oifname}",
        ("firewalld", "input"): f"{_FIREWALLD} --add-port={packet.dport}/udp && firewall-cmd --reload",
        ("firewalld", "forward"): f"{_FIREWALLD} --zone=trusted --add-interface={tunnel} && firewall-cmd --reload",
        ("docker", "forward"): f"iptables -I DOCKER-USER -i {packet.iifname} -o {packet.oifname} -j ACCEPT",
    }
    command = commands.get((keeper, packet.hook))
    if command is None or (packet.hook != "forward" and packet.dport is None):
        return "add a rule to it that accepts this"
    return f"run there '{command}'"
