"""What the kernel and other programs print, cut off, garbled or made up: whatever is no word of ours is left out."""

from __future__ import annotations

import base64
import ipaddress
import json
import struct
from collections.abc import Callable
from typing import Any

from hostile import fuzz, refusal, texts
from hypothesis import example, given
from hypothesis import strategies as st
from test_host_facts import DEVICES, answer
from wg_migrate import counters, host_facts, quick_have, wire
from wg_migrate.host_events import routing_is_ours
from wg_migrate.quick_conf import MARK, canonical_address, canonical_network, masked, parse_peers, settle_peers
from wg_migrate.sessions import parse_sessions
from wg_migrate.tunnel_have import parse_dump
from wg_migrate.tunnel_want import FIRST_RULE, TABLE

NOW = 1_763_856_000.0
PROC_NET_DEV = b"""Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier
    lo:  100       2    0    0    0     0          0         0  100       2    0    0    0     0       0          0
wgnet1: 9000      70    0    0    0     0          0         0 8000      60    0    0    0     0       0          0
"""
DUMP = (
    "wgnet1\tPRIVATE\tPUBLIC\t51820\t0x5747\n"
    "wgnet1\tPEER\tPSK\t192.0.2.11:51820\t0.0.0.0/0\t1763855958\t6000\t7000\t20\n"
)
PEER = "[Peer]\n# one\nPublicKey = A\nPresharedKey = PSK\nAllowedIPs = 10.0.0.2/32\n"
CONF = f"{MARK}\n[Interface]\nPrivateKey = PRIVATE\n\n{PEER}"


@st.composite
def garbled(draw: st.DrawFn, text: Any) -> Any:
    """Return a text, or bytes, with a piece taken out, put in, or doubled, or cut off."""
    pieces = st.binary(max_size=6) if isinstance(text, bytes) else texts
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 20)))
        middle = draw(st.sampled_from([text[:0], text[start:end] * 2]) | pieces)
        text = text[:start] + middle + draw(st.sampled_from([text[end:], text[end:], text[:0]]))
    return text


@given(garbled(PROC_NET_DEV) | st.binary(max_size=200))
@example(PROC_NET_DEV.replace(b"    lo", b"\xff\xfe"))
@example(PROC_NET_DEV[:-60])
@fuzz(100)
def test_counters_of_garbled_devices_are_left_out(text: bytes) -> None:
    for received, sent in counters.parse(text).values():
        assert min(received, sent) >= 0


def test_a_device_whose_name_is_no_text_hides_no_other() -> None:
    assert counters.parse(PROC_NET_DEV.replace(b"    lo", b"\xff\xfe"))["wgnet1"] == (70, 60)


@given(garbled(DUMP) | texts)
@example(DUMP.replace("1763855958", "9" * 5000))
@fuzz(100)
def test_sessions_of_garbled_peers_are_left_out(dump: str) -> None:
    for session in parse_sessions(dump, NOW).values():
        assert session.age is None or 0 <= session.age <= NOW
        assert min(session.received, session.sent, session.handshake) >= 0


@given(garbled(DUMP) | texts)
@example(DUMP.replace("\t20\n", "\t\u00b2\n"))
@example(DUMP.replace("\t20\n", "\t" + "9" * 5000 + "\n"))
@example(DUMP.replace("PEER", "PE\u2028ER"))
@fuzz(100)
def test_tunnels_of_garbled_lines_are_left_out_or_whole(dump: str) -> None:
    for name, tunnel in parse_dump(dump).items():
        assert "\n" not in name + tunnel.public_key + tunnel.peer
        assert 0 <= tunnel.keepalive <= 99999


def test_the_sample_is_a_tunnel_that_no_garbled_line_hides() -> None:
    sound = parse_dump(DUMP)["wgnet1"]
    assert (sound.peer, sound.keepalive) == ("PEER", 20)
    assert parse_dump("wg0\tcut\n" + DUMP + "wg0\tPEER\tPSK") == {"wgnet1": sound}


QUICK_PEER = "PEER\tPSK\t192.0.2.11:40000\t10.87.0.2/32,fd00::2/128\t1763855958\t1\t2\t25\n"
QUICK_DUMP = f"PRIVATE\tPUBLIC\t51820\toff\n{QUICK_PEER}"


@given(garbled(QUICK_DUMP) | texts)
@example("")
@example(QUICK_DUMP.replace("51820", "\u00b2"))
@example(QUICK_DUMP.replace("51820", "9" * 5000))
@fuzz(100)
def test_a_garbled_device_of_wg_quick_is_none_or_whole(dump: str) -> None:
    found = quick_have.parse_dump(dump)
    if found is not None:
        _, port, peers = found
        assert 0 <= port <= 99999
        networks = [network for peer in peers.values() for network in peer.allowed_ips]
        assert all(set(network) <= set("0123456789abcdef.:/") for network in networks)


def test_the_sample_is_a_device_of_wg_quick() -> None:
    found = quick_have.parse_dump(QUICK_DUMP)
    networks = frozenset({"10.87.0.2/32", "fd00::2/128"})
    assert found == ("PRIVATE", 51820, {"PEER": quick_have.Configured("PSK", networks)})
    assert quick_have.parse_dump(QUICK_DUMP + QUICK_PEER.replace("10.87.0.2", "10.87.0.x")) == found


def test_a_garbled_line_hides_no_other() -> None:
    assert parse_sessions(DUMP.replace("1763855958", "never") + DUMP, NOW)["wgnet1"].age == NOW - 1763855958


@st.composite
def datagrams(draw: st.DrawFn) -> bytes:
    """Return a datagram of routing messages, whose lengths are mostly right."""
    datagram = b""
    for _ in range(draw(st.integers(0, 3))):
        body = draw(st.binary(min_size=12, max_size=12))
        for _ in range(draw(st.integers(0, 3))):
            kind, value = draw(st.sampled_from([3, 6, 15])), draw(st.binary(min_size=4, max_size=8))
            body += struct.pack("=HH", draw(st.just(4 + len(value)) | st.integers(0, 65535)), kind) + value
        kind = draw(st.sampled_from([16, 17, 24, 25, 32, 33, 2]))
        length = draw(st.just(16 + len(body)) | st.integers(0, 2**32 - 1))
        datagram += struct.pack("=IHHII", length, kind, 0, 0, 0) + body
    return datagram[: draw(st.just(len(datagram)) | st.integers(0, len(datagram)))]


@given(datagrams() | st.binary(max_size=80))
@fuzz(100)
def test_any_message_of_the_kernel_is_ours_or_not(datagram: bytes) -> None:
    assert routing_is_ours(datagram) in (True, False)


def test_a_message_cut_off_anywhere_is_ours_or_not() -> None:
    whole = struct.pack("=IHHII12xHHIHHI", 44, 24, 0, 0, 0, 8, 3, 1, 8, 15, int(TABLE))
    assert [cut for cut in range(len(whole) - 4) if routing_is_ours(whole[:cut])] == []
    assert routing_is_ours(whole)


def test_ours_is_told_behind_a_message_of_somebody() -> None:
    def message(kind: int, attribute: int, value: int) -> bytes:
        return struct.pack("=IHHII12xHHI", 36, kind, 0, 0, 0, 8, attribute, value)

    assert not routing_is_ours(message(24, 15, 255) + message(32, 6, 32766))
    assert routing_is_ours(message(24, 15, 255) + message(24, 15, int(TABLE)))
    assert routing_is_ours(message(24, 15, 255) + message(32, 6, FIRST_RULE))


ALLOWED = wire.Allowed(frozenset({"192.0.2.5", "2001:db8::5"}), frozenset({("192.0.2.11", 51820)}))
IPV4 = (
    bytes.fromhex("450000540000400040110000") + bytes([192, 0, 2, 5, 192, 0, 2, 11]) + bytes.fromhex("ca6cca6c00400000")
)
IPV6 = bytes.fromhex(
    "6000000000081140" + "20010db8000000000000000000000005" + "ff020000000000000000000000000001" + "02220223"
)


@given(st.sampled_from([0x0800, 0x86DD, 0x0806, 0]), garbled(IPV4) | garbled(IPV6) | st.binary(max_size=64))
@fuzz(100)
def test_any_packet_is_sorted(kind: int, data: bytes) -> None:
    packet = wire.parse(kind, data)
    if packet is not None:
        assert wire.sort(packet, ALLOWED) in (None, "wireguard", "management", "neighbours", "fragments", "leaks")
        assert str(packet)


def test_the_samples_are_packets() -> None:
    packets = [wire.parse(0x0800, IPV4), wire.parse(0x86DD, IPV6)]
    assert [packet and wire.sort(packet, ALLOWED) for packet in packets] == ["wireguard", "neighbours"]


@given(garbled(CONF) | texts)
@fuzz(100)
def test_the_peers_of_a_garbled_file_are_read(text: str) -> None:
    peers, _left_out = settle_peers([], parse_peers(text))
    assert peers == []
    assert all(isinstance(peer.name, str) and isinstance(peer.allowed_ips, tuple) for peer in parse_peers(text))


WAYS_TO_WRITE = [
    "PrivateKey = {}",
    "PrivateKey={}",
    "privatekey\t=  {}",
    "# PresharedKey = {}",
    " PRESHAREDKEY ={} # mine",
]


@given(st.lists(st.tuples(st.sampled_from(WAYS_TO_WRITE), st.binary(min_size=32, max_size=32)), max_size=4), texts)
@fuzz(60)
def test_no_secret_of_a_file_that_somebody_has_edited_is_shown(lines: list[tuple[str, bytes]], other: str) -> None:
    secrets = [base64.b64encode(secret).decode() for _, secret in lines]
    written = [way.format(secret) for (way, _), secret in zip(lines, secrets, strict=True)]
    text = masked("\n".join([MARK, *written, other.replace("\n", ""), *written]))
    assert [secret for secret in secrets if secret in text] == []


NETWORKS = ["10.86.0.2/32", "10.86.0.2", "fd00::2/128", "fe80::1/64", "192.0.2.0/255.255.255.0", "0.0.0.0/0"]


@given(st.sampled_from([canonical_network, canonical_address]), st.sampled_from(NETWORKS).flatmap(garbled) | texts)
@example(canonical_network, "fe80::1%\nPostUp = id\n/128")
@fuzz(100)
def test_a_network_is_refused_or_one_word(canonical: Callable[[str], str], text: str) -> None:
    found: list[str] = []
    refusal(lambda: found.append(canonical(text)))
    assert all(set(word) <= set("0123456789abcdef.:/") for word in found)


FACT_WORDS = ("ifname", "mtu", "addr_info", "local", "address", "prefixlen", "dev", "prefsrc")
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FACT_WORDS), inner, max_size=4),
    max_leaves=8,
)


@given(garbled(json.dumps(DEVICES)) | texts | st.lists(anything, max_size=3).map(json.dumps))
@example('[{"ifname": "e", "addr_info": [{"local": "192.0.2.1", "prefixlen": true}]}]')
@example('[{"ifname": "e", "mtu": ' + "9" * 5000 + "}]")
@fuzz(200)
def test_facts_of_a_garbled_look_are_addresses_or_left_out(told: str) -> None:
    facts = host_facts.read(answer(devices=told, default4=told, default6=told)).facts
    json.dumps(facts)
    for family in (4, 6):
        assert all(ipaddress.ip_address(each).version == family for each in facts[f"all_ipv{family}_addresses"])
        assert set(facts[f"default_ipv{family}"]) <= {"interface", "address", "mtu"}


@given(garbled(answer(wireguard="can run-ip\ninstalled nftables\nno other firewall")) | texts)
@fuzz(200)
def test_a_garbled_look_is_refused_or_whole(output: str) -> None:
    look = host_facts.read(output)
    assert look.facts or look.refusals
