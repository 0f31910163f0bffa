"""What other firewalls do to our packets: rules as `nft --json` prints them, and recorded rulesets of some tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_system import FakeSystem
from hostile import fuzz, spoilt, texts, values
from hypothesis import given
from test_fuzz_parsers import garbled
from wg_migrate import host_firewall, iptables_rules
from wg_migrate.errors import WgMigrateError
from wg_migrate.packet_filter import Packet, dropping
from wg_migrate.system import Outcome

HANDSHAKE = Packet("input", dport=51820)
FORWARDED = Packet("forward", "udp", "new", "wgnet", "eth0", "10.87.0.5", "192.0.2.20", 51820)
ANSWER = Packet("forward", "udp", "established", "eth0", "wgnet")
DROP, ACCEPT, RETURN = {"drop": None}, {"accept": None}, {"return": None}


def chain(name: str, hook: str = "", policy: str = "accept", table: str = "filter") -> dict[str, Any]:
    base = {"type": "filter", "hook": hook, "prio": 0, "policy": policy} if hook else {}
    return {"chain": {"family": "inet", "table": table, "name": name, **base}}


def rule(chain: str, *statements: Any, table: str = "filter") -> dict[str, Any]:
    return {"rule": {"family": "inet", "table": table, "chain": chain, "expr": list(statements)}}


def match(left: Any, right: Any, operator: str = "==") -> dict[str, Any]:
    return {"match": {"op": operator, "left": left, "right": right}}


def meta(key: str) -> dict[str, Any]:
    return {"meta": {"key": key}}


def payload(protocol: str, field: str) -> dict[str, Any]:
    return {"payload": {"protocol": protocol, "field": field}}


def jump(target: str, kind: str = "jump") -> dict[str, Any]:
    return {kind: {"target": target}}


def ruleset(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"nftables": [{"metainfo": {"version": "1.1.3"}}, *parts]}


def names(document: Any, packet: Packet) -> list[str]:
    return [each.name for each in dropping(document, packet)]


PORT = payload("udp", "dport")
STATE = {"ct": {"key": "state"}}


@pytest.mark.parametrize(
    ("statements", "passes"),
    [
        ([ACCEPT], True),
        ([match(PORT, 51820), ACCEPT], True),
        ([match(PORT, 51821), ACCEPT], False),
        ([match(PORT, {"range": [51000, 52000]}), ACCEPT], True),
        ([match(PORT, {"range": [1, 1024]}), ACCEPT], False),
        ([match(PORT, {"set": [22, {"range": [51000, 52000]}]}), ACCEPT], True),
        ([match(PORT, {"set": [22, 80]}), ACCEPT], False),
        ([match(PORT, {"set": [{"elem": {"val": 51820, "timeout": 5}}]}), ACCEPT], True),
        ([match(PORT, "@open"), ACCEPT], True),
        ([match(PORT, "@closed"), ACCEPT], False),
        ([match(PORT, 51820, "!="), ACCEPT], False),
        ([match(PORT, 22, "!="), ACCEPT], True),
        ([match(payload("tcp", "dport"), 22, "!="), ACCEPT], False),
        ([match(payload("th", "dport"), 51820), {"counter": {}}, ACCEPT], True),
        ([match(payload("ip6", "saddr"), "2001:db8::1"), ACCEPT], False),
        ([match(payload("ip", "saddr"), "198.51.100.7"), ACCEPT], True),  # it may come from there
        ([match(payload("ip", "saddr"), "@nobody"), ACCEPT], False),
        ([match(meta("l4proto"), 17), ACCEPT], True),
        ([match(payload("ip", "protocol"), {"set": ["tcp", "udp"]}), ACCEPT], True),
        ([match(meta("iifname"), "eth0"), ACCEPT], True),  # it may
        ([match(meta("oifname"), "docker0"), ACCEPT], False),  # there is none at this hook
        ([match(meta("nfproto"), "ipv6"), ACCEPT], False),
        ([match(meta("mark"), 1), ACCEPT], False),
        ([match(STATE, ["established", "related"], "in"), ACCEPT], False),
        ([match({"ct": {"key": "status"}}, "dnat", "in"), ACCEPT], False),
        ([match({"ct": {"key": "direction"}}, "original"), ACCEPT], True),
        ([match({"&": [meta("mark"), 255]}, 1), ACCEPT], True),
        ([{"xt": {"type": "match", "name": "addrtype"}}, ACCEPT], True),
        ([{"xt": None}, ACCEPT], True),
        ([{"limit": {"rate": 3, "per": "minute"}}, ACCEPT], True),
        ([{"xt": {"type": "target", "name": "LOG"}}], False),
        ([{"xt": {"type": "target", "name": "SOMETHING"}}], True),
        ([{"queue": {"num": 0}}], True),
        ([{"log": {"prefix": "x"}}, DROP], False),
        ([jump("opens")], True),
        ([jump("opens", "goto")], True),
        ([jump("falls")], False),
        ([jump("falls"), ACCEPT], False),  # what stands behind a verdict is not reached
        ([jump("circle")], True),
        ([jump("missing")], False),
        ([{"vmap": {"key": PORT, "data": {"set": [[22, DROP], [51820, ACCEPT]]}}}], True),
        ([{"vmap": {"key": PORT, "data": {"set": [[51820, DROP], [22, ACCEPT]]}}}], False),
        ([{"vmap": {"key": meta("iifname"), "data": {"set": [["eth1", ACCEPT]]}}}], True),
        ([{"vmap": {"key": PORT, "data": {"set": [[51820, jump("opens")]]}}}], True),
        ([{"vmap": {"key": PORT, "data": "@ways"}}], True),
        ([{"vmap": {"key": PORT, "data": {"set": [[51820, {"continue": None}]]}}}], False),
    ],
    ids=str,
)
def test_a_rule_before_a_policy_of_drop(statements: list[Any], passes: bool) -> None:
    document = ruleset(
        chain("in", "input", "drop"),
        {"set": {"family": "inet", "table": "filter", "name": "open", "elem": [51820]}},
        {"set": {"family": "inet", "table": "filter", "name": "closed", "elem": [22]}},
        {"set": {"family": "inet", "table": "filter", "name": "nobody"}},
        {"map": {"family": "inet", "table": "filter", "name": "ways", "elem": [[51820, ACCEPT]]}},
        *(chain(name) for name in ("opens", "falls", "circle")),
        rule("opens", match(PORT, 51820), ACCEPT),
        rule("falls", match(PORT, 51820), RETURN),
        rule("falls", ACCEPT),
        rule("circle", jump("circle")),
        rule("in", *statements),
    )
    assert names(document, HANDSHAKE) == ([] if passes else ["in"])


def test_what_a_rule_before_has_decided_stands() -> None:
    opened = [chain("in", "input", "drop"), rule("in", ACCEPT), rule("in", DROP)]
    assert names(ruleset(*opened), HANDSHAKE) == []
    closed = [chain("in", "input"), rule("in", match(PORT, 51820), {"reject": {}}), rule("in", ACCEPT)]
    assert names(ruleset(*closed), HANDSHAKE) == ["in"]
    left = [
        chain("in", "input", "drop"),
        chain("a"),
        rule("a", RETURN),
        rule("a", ACCEPT),
        rule("in", jump("a", "goto")),
    ]
    assert names(ruleset(*left, rule("in", ACCEPT)), HANDSHAKE) == ["in"]


def test_what_may_be_dropped_may_pass() -> None:
    unsure = [chain("in", "input"), rule("in", match(payload("ip", "saddr"), "198.51.100.7"), DROP)]
    assert names(ruleset(*unsure), HANDSHAKE) == []


def test_a_chain_that_gives_back_decides_nothing() -> None:
    asked = [
        chain("in", "input"),
        rule("in", jump("a")),
        chain("a"),
        rule("a", match(PORT, 22), ACCEPT),
        rule("in", DROP),
    ]
    assert names(ruleset(*asked), HANDSHAKE) == ["in"]


def test_only_other_tables_and_this_hook_count() -> None:
    closed = [
        chain("in", "input", "drop"),
        chain("out", "output", "drop"),
        chain("ours", "input", "drop", "wg_migrate_wg0"),
    ]
    assert names(ruleset(*closed), HANDSHAKE) == ["in"]
    assert names(ruleset(*closed), FORWARDED) == []
    nat = {"chain": {"family": "inet", "table": "nat", "name": "x", "type": "nat", "hook": "input", "policy": "drop"}}
    assert names(ruleset(nat), HANDSHAKE) == []


def test_each_chain_of_a_hook_must_let_it_pass() -> None:
    two = [chain("first", "input"), rule("first", ACCEPT), chain("second", "input", "drop", "other")]
    assert [str(each) for each in dropping(ruleset(*two), HANDSHAKE)] == ["chain second of table inet other"]


@given(spoilt(ruleset(chain("in", "input", "drop"), rule("in", match(PORT, {"set": [22]}), jump("x")))) | values)
@fuzz(100)
def test_anything_is_read(document: Any) -> None:
    for packet in (HANDSHAKE, FORWARDED, ANSWER):
        assert all(isinstance(name, str) for name in names(document, packet))


def ufw(*rules_of_users: dict[str, Any]) -> dict[str, Any]:
    """Return the way ufw's chains hang together, with rules of its user's in them."""
    tables: list[dict[str, Any]] = []
    for hook in ("input", "forward"):
        base, before, users = hook.upper(), f"ufw-before-{hook}", f"ufw-user-{hook}"
        tables += [chain(base, hook, "drop"), chain(before), chain(users), rule(base, jump(before))]
        tables += [rule(before, match(STATE, ["established", "related"], "in"), ACCEPT), rule(before, jump(users))]
    return ruleset(*tables, *rules_of_users)


ON_THE_WAY = match(meta("iifname"), "wgnet"), match(meta("oifname"), "eth0")
DESTINATION = [{"protocol": "udp", "address": "192.0.2.20", "port": 51820}]
FLOWS = [*host_firewall.listening("eth0", 51820), *host_firewall.forwarding("wgnet", "eth0", DESTINATION)]


def refusal_of(document: Any, flows: list[host_firewall.Flow]) -> str:
    return refusal_of_system(FakeSystem({"nft --json list ruleset": json.dumps(document)}), flows)


def refusal_of_system(system: FakeSystem, flows: list[host_firewall.Flow] = FLOWS) -> str:
    try:
        assert host_firewall.check(system, flows)
    except WgMigrateError as error:
        return str(error)
    return ""


def test_a_refusal_says_what_is_dropped_where_and_what_to_run() -> None:
    assert refusal_of(ufw(), FLOWS) == (
        "The firewall of this host drops UDP to port 51820, in chain INPUT of table inet filter, kept by ufw: "
        "run there 'ufw allow 51820/udp'. "
        "The firewall of this host drops UDP to port 51820 of 192.0.2.20 from wgnet, in chain FORWARD of table inet "
        "filter, kept by ufw: run there 'ufw route allow in on wgnet out on eth0'."
    )
    opened = [rule("ufw-user-input", match(PORT, 51820), ACCEPT), rule("ufw-user-forward", *ON_THE_WAY, ACCEPT)]
    assert refusal_of(ufw(*opened), FLOWS) == ""


def test_docker_keeps_the_answers_back_as_well() -> None:
    answers = match(meta("oifname"), "docker0"), match(STATE, ["established", "related"], "in")
    docker = [chain("FORWARD", "forward", "drop"), chain("DOCKER-USER"), rule("FORWARD", jump("DOCKER-USER"))]
    said = refusal_of(ruleset(*docker, rule("FORWARD", *answers, ACCEPT)), FLOWS)
    assert "run there 'iptables -I DOCKER-USER -i wgnet -o eth0 -j ACCEPT'" in said
    assert "the answers to UDP to port 51820 of 192.0.2.20 from wgnet" in said
    assert "run there 'iptables -I DOCKER-USER -i eth0 -o wgnet -j ACCEPT'" in said


def test_firewalld_is_told_of_port_and_device() -> None:
    closed = [chain(hook, hook, "accept", "firewalld") for hook in ("input", "forward")]
    closed += [rule(hook, {"reject": {"type": "icmpx"}}, table="firewalld") for hook in ("input", "forward")]
    said = refusal_of(ruleset(*closed), FLOWS)
    assert "run there 'firewall-cmd --permanent --add-port=51820/udp && firewall-cmd --reload'" in said
    assert said.count("--zone=trusted --add-interface=wgnet") == 2


def test_a_client_must_reach_its_proxies_and_hear_them() -> None:
    flows = host_firewall.calling("eth0", [{"address": "192.0.2.11", "port": 51820}])
    for hook, words in (("output", "UDP to 192.0.2.11 port 51820"), ("input", "the answers of 192.0.2.11 port 51820")):
        said = refusal_of(ruleset(chain("x", hook, "drop")), flows)
        assert said.endswith("in chain x of table inet filter: add a rule to it that accepts this.")
        assert words in said
    established = [chain("x", "input", "drop"), rule("x", match(STATE, "established"), ACCEPT)]
    marked = [chain("y", "output", "drop"), rule("y", match(meta("mark"), 0x5747), ACCEPT)]
    assert refusal_of(ruleset(*established, *marked), flows) == ""


def test_without_nft_there_is_nothing_to_read() -> None:
    assert not host_firewall.check(FakeSystem(), FLOWS)
    assert not host_firewall.check(FakeSystem({"nft": Outcome(1, "", "Operation not permitted")}), FLOWS)


UFW = """\
# Generated by iptables-save v1.8.11 (nf_tables)
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw-before-forward - [0:0]
:ufw-before-input - [0:0]
:ufw-not-local - [0:0]
:ufw-user-forward - [0:0]
:ufw-user-input - [0:0]
-A INPUT -j ufw-before-input
-A INPUT -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
-A FORWARD -j ufw-before-forward
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-forward -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-before-forward -j ufw-user-forward
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -p udp -m udp --sport 67 --dport 68 -j ACCEPT
-A ufw-before-input -j ufw-not-local
-A ufw-before-input -d 224.0.0.251/32 -p udp -m udp --dport 5353 -j ACCEPT
-A ufw-before-input -j ufw-user-input
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -j DROP
{}COMMIT
"""
"""What iptables prints of ufw's rules in Debian 13, without those that are of no account here."""
OPENED = "-A ufw-user-input -p udp -m udp --dport 51820 -j ACCEPT"
OPAQUE = [chain("INPUT", "input", "drop"), rule("INPUT", {"xt": {"type": "match", "name": "conntrack"}}, ACCEPT)]


@pytest.mark.parametrize(
    ("of_users", "refused"),
    [
        ([], 2),
        ([OPENED], 1),
        (["-A ufw-user-input -p udp -m multiport --dports 22,51000:52000 -j ACCEPT"], 1),
        (["-A ufw-user-input -p tcp -m tcp --dport 51820 -j ACCEPT"], 2),
        (["-A ufw-user-input -i eth1 -p udp -j ACCEPT"], 2),
        (["-A ufw-user-input -i eth+ -p udp -j ACCEPT"], 1),
        (["-A ufw-user-input ! -i eth1 -j ACCEPT"], 1),
        (["-A ufw-user-input -s 198.51.100.0/24 -j ACCEPT"], 1),  # a client may come from there
        (["-A ufw-user-input -m recent --update --name X -j ACCEPT"], 1),
        (["-A ufw-user-input -j NFQUEUE --queue-num 0"], 1),
        (["-A ufw-user-input -j LOG"], 2),
        (["-A ufw-user-input -m socket -j DROP", OPENED], 1),
        (["-A ufw-user-input -p udp -m udp --sport 1 -j DROP", OPENED], 1),
        (["-A ufw-user-forward -g ufw-user-input", "-A ufw-user-forward -j ACCEPT"], 2),
        (["-A ufw-user-forward -i wgnet -o eth0 -j ACCEPT"], 1),
        (["-A ufw-user-forward -d 192.0.2.0/24 -g ufw-user-input", "-A ufw-user-input -p udp -j ACCEPT"], 0),
        (["-A ufw-user-forward -d 203.0.113.0/24 -j ACCEPT", "-A ufw-user-input 'cut"], 2),
    ],
    ids=str,
)
def test_rules_of_iptables_are_read_as_iptables_tells_them(of_users: list[str], refused: int) -> None:
    text = UFW.format("".join(f"{line}\n" for line in of_users))
    document = ruleset(*(json.loads(json.dumps(part).replace('"inet"', '"ip"')) for part in OPAQUE))
    system = FakeSystem({"nft --json list ruleset": json.dumps(document), "iptables-save": text})
    said = refusal_of_system(system)
    assert said.count("The firewall of this host drops") == refused
    assert said.count("kept by ufw") == refused


@given(garbled(UFW) | texts)
@fuzz(100)
def test_any_rules_of_iptables_are_read(text: str) -> None:
    parts = iptables_rules.parse(text)
    assert iptables_rules.tables(parts) <= {part["chain"]["table"] for part in parts if "chain" in part}
    for packet in (HANDSHAKE, FORWARDED, ANSWER):
        assert all(isinstance(name, str) for name in names(ruleset(*parts), packet))


def test_firewalld_as_recorded_on_debian_13_lets_ssh_in_and_nothing_of_ours() -> None:
    document = json.loads((Path(__file__).parent / "recorded_firewalld.json").read_text())
    assert names(document, Packet("input", "tcp", iifname="eth0", dport=22)) == []
    assert names(document, Packet("input", iifname="eth0", dport=51820)) == ["filter_INPUT"]
    assert names(document, FORWARDED) == ["filter_FORWARD"]
    assert names(document, ANSWER) == []
    assert [each.keeper for each in dropping(document, FORWARDED)] == ["firewalld"]
