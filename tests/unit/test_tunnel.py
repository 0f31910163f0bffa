"""What is gathered from the outputs of a real client that is up: recorded on Debian 12, wireguard-go 0.0.20220316."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from client_samples import CONFIG, config, public_key
from fake_system import Answer, FakeSystem
from wg_migrate import nft, tunnel, tunnel_apply
from wg_migrate.config import Config
from wg_migrate.errors import WgMigrateError
from wg_migrate.keys import NO_PRESHARED_KEY
from wg_migrate.system import Outcome
from wg_migrate.tunnel_have import SAVED_SYSCTLS, gather, parse_dump, strict_uplink
from wg_migrate.tunnel_plan import Action
from wg_migrate.tunnel_want import HOST, MARK, RESOLV_CONF, RESOLVED_CONF, readable, table_body

PEERS = ["proxy1", "proxy2", "exit"]
KEY_FILES = {
    f"/etc/wg-migrate/keys/{peer}.{ending}": f"{word}-{peer}\n"
    for peer in PEERS
    for ending, word in (("key", "PRIVATE-TOWARDS"), ("psk", "PRESHARED-WITH"))
}


def recorded_config(scope: str) -> Config:
    return config(
        scope=scope,
        userspace=True,
        paths=[dataclasses.replace(path, port=51820) for path in CONFIG.paths],
        management_sources=["192.0.2.0/24"],
        dns_servers=["10.87.16.1"],
    )


def wg_pubkey(_argv: list[str], stdin: str | None) -> Outcome:
    assert stdin is not None
    return Outcome(0, stdin.replace("PRIVATE", "OURS"), "")


def recorded(scope: str) -> FakeSystem:
    """Return a client that is up, with its keys; its tables are marked with today's fingerprints."""
    outputs = json.loads((Path(__file__).parent / f"recorded_{scope}.json").read_text())
    places = {"ip netns exec wgnet": "wgnet", "ip netns exec comps": "comps", "nft list": HOST}
    answers = {}
    for line, (status, printed) in outputs.items():
        stdout = re.sub("PUBLIC-OF-([A-Z0-9]+)", lambda found: public_key(found.group(1)), printed)
        answers[line] = Outcome(status, stdout, "")
        for start, namespace in places.items():
            if line.startswith(start) and "nft list" in line:
                fingerprint = f"sha256:{nft.fingerprint(table_body(namespace, recorded_config(scope)))}"
                answers[line] = Outcome(status, re.sub("sha256:[0-9a-f]{16}", fingerprint, stdout), "")
    files = dict(KEY_FILES)
    if scope == "host":
        files[SAVED_SYSCTLS] = '{"net.ipv4.conf.all.rp_filter": "1"}\n'
        files[RESOLVED_CONF] = "[Resolve]\nDNS=10.87.16.1\nDomains=~.\n"
    else:
        files[RESOLV_CONF] = "nameserver 10.87.16.1\n"
    return FakeSystem({**answers, "wg pubkey": wg_pubkey}, files)


EMPTY: dict[str, Answer] = {
    "ip -json netns list": "",
    "ip -json -details address show": "[]",
    "ip -json -4 rule show": '[{"priority":32766,"src":"all","table":"main"}]',
    "ip -json -6 rule show": "[]",
    "sysctl": "0\n",
    "wg pubkey": wg_pubkey,
}


@pytest.mark.parametrize("scope", ["host", "namespace"])
def test_of_a_client_that_is_up_nothing_is_to_be_done(scope: str) -> None:
    system = recorded(scope)
    change = tunnel.examine(system, recorded_config(scope))
    assert [str(action) for action in change.actions] == []
    assert {key: change.before.get(key) for key in change.after} == change.after


@pytest.mark.parametrize("scope", ["host", "namespace"])
def test_all_of_ours_is_found_and_nothing_else(scope: str) -> None:
    found = gather(recorded(scope))
    assert {key for key in found if key[0] == "namespace"} == {
        ("namespace", name) for name in (["wgnet"] if scope == "host" else ["wgnet", "comps"])
    }
    assert not [key for key in found if "somebody" in str(key) or "eth0" in str(key) or "5000" in key]


@pytest.mark.parametrize("scope", ["host", "namespace"])
def test_of_a_path_rule_route_and_sysctl_are_found(scope: str) -> None:
    found = gather(recorded(scope))
    assert {key: value for key, value in found.items() if key[:2] in (("rule", "wgnet"), ("route", "wgnet"))} == {
        ("route", "wgnet", "-4", "22529", "0"): "dev wgnet1",
        ("route", "wgnet", "-4", "22530", "0"): "dev wgnet2",
        ("route", "wgnet", "-4", "main", "0"): "a path",
        ("route", "wgnet", "-4", "main", "4278198272"): "unreachable",
        ("rule", "wgnet", "-4", "5740"): "fwmark 0x5801 lookup 22529",
        ("rule", "wgnet", "-4", "5741"): "fwmark 0x5802 lookup 22530",
    }
    assert found[("sysctl", "wgnet", "net.ipv4.ping_group_range")] == "0 0"


@pytest.mark.parametrize("scope", ["host", "namespace"])
def test_wgnet_is_asked_in_eight_commands_however_many_paths(scope: str) -> None:
    system = recorded(scope)
    gather(system)
    assert len([line for line in system.ran if line.startswith(("ip -n wgnet", "ip netns exec wgnet"))]) == 8


@pytest.mark.parametrize("scope", ["host", "namespace"])
def test_down_removes_all_of_ours_and_nothing_else(scope: str) -> None:
    words = [str(action) for action in tunnel.examine(recorded(scope), None).actions]
    assert all(word.startswith("remove ") for word in words)
    assert {"remove device wg0", "remove device wgnet1", "remove device wgnet2", "remove namespace wgnet"} <= set(words)
    assert [word for word in words if "somebody" in word or "eth0" in word or word.endswith("5000")] == []


@pytest.mark.parametrize("scope", ["host", "namespace"])
def test_no_secret_is_in_what_is_shown(scope: str) -> None:
    system = recorded(scope)
    change = tunnel.examine(system, recorded_config(scope))
    down = tunnel.examine(system, None)
    shown = (
        f"{change} {down} {readable(change.before)} {readable(change.after)} {[*map(str, down.actions)]} {system.ran}"
    )
    assert "PRIVATE" not in shown
    assert "PRESHARED" not in shown
    assert "OURS-TOWARDS-exit" in shown


def test_a_client_without_anything_is_made_from_the_start() -> None:
    change = tunnel.examine(FakeSystem(EMPTY, KEY_FILES), recorded_config("namespace"))
    assert change.before == {}
    assert [action.key for action in change.actions] == list(change.after)


@pytest.mark.parametrize("missing", sorted(KEY_FILES))
def test_a_missing_key_file_is_named(missing: str) -> None:
    files = {path: text for path, text in KEY_FILES.items() if path != missing}
    for broken in (files, {**files, missing: " \n"}):
        with pytest.raises(WgMigrateError, match=f"{missing} is missing or empty: deploy this client again"):
            tunnel.examine(FakeSystem(EMPTY, broken), recorded_config("namespace"))


@pytest.mark.parametrize("scope", ["host", "namespace"])
def test_without_its_keys_a_client_with_scope_host_is_guarded_all_the_same(scope: str) -> None:
    """At boot nothing may leave by the bare uplink, whatever keeps the tunnel from coming up."""
    system = FakeSystem({**EMPTY, "nft": "", "ip": ""} | EMPTY)
    with pytest.raises(WgMigrateError, match="is missing or empty"):
        tunnel.up(system, recorded_config(scope))
    loaded = [text for line, text in system.stdins.items() if line == "nft -f -"]
    assert len(loaded) == (1 if scope == "host" else 0)
    assert all("counter drop" in str(text) for text in loaded)


def test_down_stops_loop_and_keeper_before_it_takes_the_tunnel_away() -> None:
    system = FakeSystem({**EMPTY, "systemctl": ""})
    tunnel.down(system)
    assert system.ran[0] == "systemctl stop wg-migrate-keeper.service wg-migrate-loop.service"


def test_check_mode_takes_keys_that_are_not_made_for_granted() -> None:
    target = recorded_config("namespace")
    unknown = dataclasses.replace(
        target,
        exit=dataclasses.replace(target.exit, public_key=None),
        paths=[dataclasses.replace(path, public_key=None) for path in target.paths],
    )
    change = tunnel.examine(FakeSystem(EMPTY), unknown, ahead=True)
    assert {"make device wg0", "make device wgnet1", "make device wgnet2"} <= set(map(str, change.actions))


def test_peers_that_are_unknown_are_refused_with_what_to_do() -> None:
    target = recorded_config("host")
    no_exit = dataclasses.replace(target, exit=dataclasses.replace(target.exit, public_key=None))
    no_path = dataclasses.replace(target, paths=[dataclasses.replace(p, public_key=None) for p in target.paths])
    for unknown, said in ((no_exit, "public key of exit is not known"), (no_path, "no proxy's public key is known")):
        with pytest.raises(WgMigrateError, match=f"{said} here: run site.yml without --limit"):
            tunnel.examine(recorded("host"), unknown)


def test_a_foreign_wg0_is_refused() -> None:
    with pytest.raises(WgMigrateError, match="give it another name"):
        tunnel.refuse_foreign_device(recorded("host"))
    tunnel.refuse_foreign_device(recorded("namespace"))
    tunnel.refuse_foreign_device(FakeSystem(EMPTY))


@pytest.mark.parametrize(
    ("everywhere", "devices", "strict"),
    [("0", "0 0 0", False), ("1", "1 1 0", True), ("0", "0 0 1", True), ("2", "2 2 1", False)],
)
def test_a_strict_uplink_is_noticed(everywhere: str, devices: str, strict: bool) -> None:
    system = FakeSystem({"sysctl -n -a -r": devices.replace(" ", "\n"), "sysctl -n net": f"{everywhere}\n"})
    assert strict_uplink(system) is strict


def test_an_uplink_that_was_strict_before_us_still_counts_as_strict() -> None:
    assert strict_uplink(FakeSystem(files={SAVED_SYSCTLS: "{}"}))


def dump(*peers: str, allowed: str = "0.0.0.0/0") -> str:
    lines = [f"wgnet1\tPRIVATE\tOURS\t40000\t{MARK}"]
    return "\n".join(lines + [f"wgnet1\t{peer}\tPSK\t192.0.2.11:51820\t{allowed}\t0\t0\t0\t20" for peer in peers])


def test_a_second_peer_and_other_allowed_addresses_are_a_difference() -> None:
    sound = parse_dump(dump("PEER"))
    assert sound["wgnet1"].peer == "PEER"
    for other in (dump("PEER", "STRANGER"), dump("STRANGER", "PEER"), dump("PEER", allowed="10.87.16.1/32"), dump()):
        assert parse_dump(other) != sound


def test_no_preshared_key_is_one_of_zeros() -> None:
    none, zeros = dump("PEER").replace("PSK", "(none)"), dump("PEER").replace("PSK", NO_PRESHARED_KEY)
    assert parse_dump(none) == parse_dump(zeros) != parse_dump(dump("PEER"))


def test_a_wireguard_go_that_ends_is_not_waited_for() -> None:
    system = FakeSystem({"systemctl restart": "", "systemctl --quiet is-active": Outcome(3, "", "")})
    with pytest.raises(WgMigrateError, match="made no device wg0: see 'journalctl -u wg-migrate-inner@wg0"):
        tunnel_apply.apply(system, [Action(("device", "wg0"), None, "host userspace")], CONFIG)


def test_a_wireguard_go_that_is_slow_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [Outcome(1, "", "")] * 600
    system = FakeSystem(
        {"systemctl restart": "", "systemctl --quiet is-active": "", "wg show wg0 listen-port": "51820"}
    )
    system.answers["ip -n wgnet link show dev wg0"] = lambda *_: answers.pop() if answers else Outcome(0, "", "")
    system.answers["ip -n wgnet link set"] = ""
    now = [0.0]
    monkeypatch.setattr("wg_migrate.tunnel_apply.time.monotonic", lambda: now[0])
    monkeypatch.setattr("wg_migrate.tunnel_apply.time.sleep", lambda _: now.__setitem__(0, now[0] + 0.1))
    tunnel_apply.apply(system, [Action(("device", "wg0"), None, "host userspace")], CONFIG)
    assert answers == []
