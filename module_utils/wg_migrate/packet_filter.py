"""What a host's own firewall does to packets of ours, read from `nft --json list ruleset`. Pure.

An accept in a table of ours ends only that table: any other base chain of the same hook may drop the packet all the
same. ufw, firewalld and Docker have such chains. Only what is certain is told: a rule that asks for something that
cannot be known here, such as a match of iptables that nft does not understand, may match or not.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Union

OURS = "wg_migrate"
"""How the names of our own tables begin."""
_FAMILIES = ("ip", "inet")
_DEEPEST = 16
"""Chains that may call each other: NFT_JUMP_STACK_SIZE (linux/net/netfilter/nf_tables.h)."""
_NUMBERS = {"icmp": "1", "tcp": "6", "udp": "17", "ipv6-icmp": "58", "icmpv6": "58"}
"""`nft` prints a protocol by its name only where /etc/protocols (package netbase) is installed."""
_PASSED_OVER = ("counter", "log", "mangle", "comment", "ct helper", "notrack", "flow", "last", "set")
"""Statements that say nothing of whether a packet passes."""
_TARGETS_PASSED_OVER = ("LOG", "NFLOG", "MARK", "CONNMARK", "SECMARK", "CT", "TRACE", "CHECKSUM", "TCPMSS", "SET")
"""Targets of iptables, as `nft` names them, after which the next rule is asked."""

YES, NO, MAYBE = "yes", "no", "maybe"
ACCEPT, DROP, FALL = "accept", "drop", "fall"
"""How a packet can leave a chain; FALL: at its end, or by return."""
Known = Union[str, int, None]
"""A packet's field: its value, or None where any is possible."""
ABSENT = "(absent)"
"""What a field of another protocol is: no rule that asks for it matches."""
Place = tuple[str, str, str]
"""Family, table, and name of a chain or set."""


@dataclass(frozen=True)
class Packet:
    """A packet of ours, as far as it is known, at the hook `input`, `forward` or `output`; over IPv4.

    `state` is that of connection tracking, `new` or `established`.
    """

    hook: str
    protocol: str = "udp"
    state: str = "new"
    iifname: Known = None
    oifname: Known = None
    saddr: Known = None
    daddr: Known = None
    dport: Known = None
    mark: int = 0


@dataclass(frozen=True)
class Chain:
    """A base chain that drops a packet, and the tool that keeps it, as far as that is to be seen."""

    family: str
    table: str
    name: str
    keeper: str

    def __str__(self) -> str:
        """Return it in words."""
        of = f", kept by {self.keeper}" if self.keeper else ""
        return f"chain {self.name} of table {self.family} {self.table}{of}"


def dropping(document: Any, packet: Packet) -> list[Chain]:
    """Return the base chains, of other tables than ours, that drop a packet for certain.

    `document` is what `nft --json list ruleset` prints, read as JSON; what is not of that form is passed over.
    """
    ruleset = _Ruleset(document)
    found = []
    for (family, table, name), chain in ruleset.chains.items():
        if chain.get("type") == "filter" and chain.get("hook") == packet.hook and not table.startswith(OURS):
            outcomes = ruleset.walk((family, table, name), packet, 0)
            policy = DROP if chain.get("policy") == "drop" else ACCEPT
            if {policy if each == FALL else each for each in outcomes} == {DROP}:
                found.append(Chain(family, table, name, ruleset.keeper(family, table)))
    return found


class _Ruleset:
    """Chains with their rules, and sets, by family, table and name."""

    def __init__(self, document: Any) -> None:
        self.chains: dict[Place, Mapping[str, Any]] = {}
        self._rules: dict[Place, list[list[Any]]] = {}
        self._sets: dict[Place, list[Any]] = {}
        for each in _list(_dict(document).get("nftables")):
            for kind, about in _dict(each).items():
                self._note(kind, _dict(about))

    def _note(self, kind: str, about: Mapping[str, Any]) -> None:
        name = "chain" if kind == "rule" else "name"
        place = (str(about.get("family")), str(about.get("table")), str(about.get(name)))
        if place[0] not in _FAMILIES:
            return
        if kind == "chain":
            self.chains[place] = about
        elif kind == "rule":
            self._rules.setdefault(place, []).append(_list(about.get("expr")))
        elif kind in ("set", "map"):
            self._sets[place] = _list(about.get("elem"))

    def keeper(self, family: str, table: str) -> str:
        """Return the tool whose chains stand in a table, "" where it is none of those that are known here."""
        names = [name for where, of, name in self.chains if (where, of) == (family, table)]
        if table == "firewalld":
            return "firewalld"
        if any(name.startswith("ufw-") for name in names):
            return "ufw"
        return "docker" if "DOCKER-USER" in names else ""

    def walk(self, place: Place, packet: Packet, depth: int) -> set[str]:
        """Return all the ways in which a packet may leave a chain."""
        if depth > _DEEPEST:
            return {ACCEPT, DROP, FALL}
        ways: set[str] = set()
        for rule in self._rules.get(place, []):
            for sure, verdict in self._verdicts(rule, place, packet):
                led = self._follow(verdict, place, packet, depth)
                goes_on = FALL in led and ("jump" in verdict or "continue" in verdict)
                ways |= led - {FALL} if goes_on else led
                if sure and not goes_on:
                    return ways
        return ways | {FALL}

    def _verdicts(self, rule: list[Any], place: Place, packet: Packet) -> Iterator[tuple[bool, Mapping[str, Any]]]:
        """Return the verdicts that a rule may give, in order, each with whether it is certain that it does."""
        sure = True
        for statement in rule:
            for kind, about in _dict(statement).items():
                if kind == "match":
                    met = self._match(_dict(about), place, packet)
                    if met == NO:
                        return
                    sure = sure and met == YES
                elif kind in ("limit", "quota") or (kind == "xt" and _dict(about).get("type") != "target"):
                    sure = False
                elif kind == "xt" and _dict(about).get("name") == "REJECT":
                    yield sure, {"reject": None}
                    return
                elif kind == "vmap":
                    yield from self._chosen(_dict(about), place, packet, sure)
                elif kind in ("accept", "drop", "reject", "return", "jump", "goto"):
                    yield sure, {kind: about}
                    return
                elif kind not in _PASSED_OVER and _dict(about).get("name") not in _TARGETS_PASSED_OVER:
                    yield False, {"accept": None}  # whatever it may do

    def _chosen(
        self, about: Mapping[str, Any], place: Place, packet: Packet, sure: bool
    ) -> Iterator[tuple[bool, Mapping[str, Any]]]:
        """Return the verdicts of a verdict map."""
        known = _field(about.get("key"), packet)
        for pair in self._elements(about.get("data"), place):
            if len(_list(pair)) == 2:
                met = self._equals(known, pair[0], place)
                if met != NO:
                    yield sure and met == YES, _dict(pair[1])

    def _follow(self, verdict: Mapping[str, Any], place: Place, packet: Packet, depth: int) -> set[str]:
        for kind, about in verdict.items():
            if kind in ("jump", "goto"):
                target = (place[0], place[1], str(_dict(about).get("target")))
                return self.walk(target, packet, depth + 1)
            if kind in ("accept", "return", "continue"):
                return {ACCEPT if kind == "accept" else FALL}
        return {DROP}

    def _match(self, match: Mapping[str, Any], place: Place, packet: Packet) -> str:
        known = _field(match.get("left"), packet)
        operator = match.get("op")
        if known == ABSENT:
            return NO
        if operator not in ("==", "in", "!="):
            return MAYBE
        met = self._equals(known, match.get("right"), place)
        if operator != "!=" or met == MAYBE:
            return met
        return YES if met == NO else NO

    def _equals(self, known: Known, wanted: Any, place: Place) -> str:
        """Tell whether a field has the value, or one of the values, that a rule asks for."""
        if isinstance(wanted, list) or "set" in _dict(wanted) or str(wanted).startswith("@"):
            met = {self._equals(known, each, place) for each in self._elements(wanted, place)}
            return YES if YES in met else MAYBE if MAYBE in met else NO
        if "elem" in _dict(wanted):
            return self._equals(known, _dict(wanted["elem"]).get("val"), place)
        return MAYBE if known is None else _is(known, wanted)

    def _elements(self, wanted: Any, place: Place) -> list[Any]:
        if isinstance(wanted, str):
            return self._sets.get((place[0], place[1], wanted[1:]), [])
        return wanted if isinstance(wanted, list) else _list(_dict(wanted).get("set"))


def _field(left: Any, packet: Packet) -> Known:
    """Return what a rule looks at."""
    for kind, about in _dict(left).items():
        asked = _dict(about)
        if kind == "meta":
            return _meta(str(asked.get("key")), packet)
        if kind == "payload":
            return _payload(str(asked.get("protocol")), str(asked.get("field")), packet)
        if kind == "ct" and asked.get("key") == "state":
            return packet.state
        if kind == "ct" and asked.get("key") == "status":
            return "confirmed"  # nobody has a reason to send it elsewhere (dnat)
    return None


def _meta(key: str, packet: Packet) -> Known:
    values: dict[str, Known] = {
        "l4proto": packet.protocol,
        "nfproto": "ipv4",
        "protocol": "ip",
        "mark": packet.mark,
        "iifname": packet.iifname if packet.hook != "output" else "",
        "oifname": packet.oifname if packet.hook != "input" else "",
    }
    return values.get({"iif": "iifname", "oif": "oifname"}.get(key, key))


def _payload(protocol: str, field: str, packet: Packet) -> Known:
    if protocol == "ip":
        return {"saddr": packet.saddr, "daddr": packet.daddr, "protocol": packet.protocol}.get(field)
    if protocol == packet.protocol or (protocol == "th" and packet.protocol in ("tcp", "udp")):
        return packet.dport if field == "dport" else "echo-request" if field == "type" else None
    return ABSENT


def _is(known: str | int, wanted: Any) -> str:
    """Tell whether a known value is a single wanted one, a network, a range, or a name with a * at its end."""
    about = _dict(wanted)
    if "prefix" in about or "range" in about:
        return _lies_in(known, about)
    if not isinstance(wanted, (str, int)):
        return MAYBE
    text, other = (_NUMBERS.get(str(each), str(each)) for each in (known, wanted))
    same = text.startswith(other[:-1]) if other.endswith("*") and text else text == other
    return YES if same else NO


def _lies_in(known: str | int, about: Mapping[str, Any]) -> str:
    try:
        if "prefix" in about:
            network = ipaddress.ip_network(f"{about['prefix']['addr']}/{about['prefix']['len']}", strict=False)
            return YES if ipaddress.ip_address(known) in network else NO
        first, last = about["range"]
        if isinstance(known, int):
            return YES if int(first or 0) <= known <= int(last or 65535) else NO
        # mypy cannot see that the three are of one version; where they are not, Python says so.
        within = ipaddress.ip_address(first) <= ipaddress.ip_address(known) <= ipaddress.ip_address(last)  # type: ignore[operator]
        return YES if within else NO
    except (KeyError, TypeError, ValueError):
        return MAYBE


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
