"""The rules that `iptables-save` prints, in the form of `nft --json list ruleset`. Pure.

Of a rule of iptables' nft cannot tell what most matches ask for, not even the state of the connection; iptables can.
What is not known here becomes a match that nobody can judge, as nft shows it: {"xt": None}.
"""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Iterable
from typing import Any

FAMILY = "ip"
_HOOKS = ("INPUT", "FORWARD", "OUTPUT")
_VERDICTS = ("ACCEPT", "DROP", "REJECT", "RETURN")
_PLAIN_MODULES = ("conntrack", "state", "tcp", "udp", "multiport", "comment")
"""Modules that match by their options alone, which are read here."""
_UNKNOWN: dict[str, Any] = {"xt": None}


def parse(text: str) -> list[dict[str, Any]]:
    """Return chains and rules; what is not understood is left out, or matches perhaps."""
    table, parts = "", list[dict[str, Any]]()
    lines = text.split("\n")
    chains = {(words[0][1:]) for words in map(str.split, lines) if words and words[0].startswith(":")}
    for line in lines:
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":"):
            parts.append({"chain": _chain(table, line[1:].split())})
        elif line.startswith("-A "):
            parts.append({"rule": _rule(table, line, chains)})
    return parts


def tables(parts: Iterable[dict[str, Any]]) -> set[str]:
    """Return the names of the tables of which there are chains."""
    return {part["chain"]["table"] for part in parts if "chain" in part}


def _chain(table: str, words: list[str]) -> dict[str, Any]:
    name = words[0] if words else ""
    chain = {"family": FAMILY, "table": table, "name": name}
    if table == "filter" and name in _HOOKS:
        chain.update(type="filter", hook=name.lower(), policy=words[1].lower() if len(words) > 1 else "accept")
    return chain


def _rule(table: str, line: str, chains: set[str]) -> dict[str, Any]:
    try:
        _, name, *words = shlex.split(line)
    except ValueError:
        name, words = "", []
    return {"family": FAMILY, "table": table, "chain": name, "expr": _statements(words, chains)}


def _statements(words: list[str], chains: set[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    operator = "=="
    coming = iter(words)
    for word in coming:
        if word == "!":
            operator = "!="
            continue
        if word in ("-j", "-g"):
            return [*found, _target(word, next(coming, ""), chains)]
        if word in ("-m", "--comment"):
            value = next(coming, "")
            found += [] if word == "--comment" or value in _PLAIN_MODULES else [_UNKNOWN]
        elif word in _OPTIONS:
            left, read = _OPTIONS[word]
            found.append({"match": {"op": operator, "left": left, "right": read(next(coming, ""))}})
        elif word.startswith("-"):
            found.append(_UNKNOWN)
        operator = "=="
    return found


def _target(word: str, name: str, chains: set[str]) -> dict[str, Any]:
    if name in _VERDICTS:
        return {name.lower(): None}
    if name in chains:
        return {"goto" if word == "-g" else "jump": {"target": name}}
    return {"xt": {"type": "target", "name": name}}


def _payload(protocol: str, field: str) -> dict[str, Any]:
    return {"payload": {"protocol": protocol, "field": field}}


def _device(text: str) -> str:
    return f"{text[:-1]}*" if text.endswith("+") else text


def _network(text: str) -> Any:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    return {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}


def _ports(text: str) -> dict[str, Any]:
    """Return ports as `a`, `a:b` or `a,b:c` as a set."""
    elements: list[Any] = []
    for each in text.split(","):
        first, colon, last = each.partition(":")
        elements.append({"range": [first, last]} if colon else first)
    return {"set": elements}


def _names(text: str) -> list[str]:
    return text.lower().split(",")


_OPTIONS: dict[str, tuple[dict[str, Any], Any]] = {
    "-i": ({"meta": {"key": "iifname"}}, _device),
    "-o": ({"meta": {"key": "oifname"}}, _device),
    "-p": (_payload("ip", "protocol"), str),
    "-s": (_payload("ip", "saddr"), _network),
    "-d": (_payload("ip", "daddr"), _network),
    "--dport": (_payload("th", "dport"), _ports),
    "--dports": (_payload("th", "dport"), _ports),
    "--ctstate": ({"ct": {"key": "state"}}, _names),
    "--state": ({"ct": {"key": "state"}}, _names),
    "--ctstatus": ({"ct": {"key": "status"}}, _names),
}
"""What each option looks at, and how its value is read."""
