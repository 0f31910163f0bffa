from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from client_samples import CONFIG, config, public_key
from fake_system import FakeSystem
from wg_migrate.config import COPY, PATH, Path, dump, keep_known_keys, load, parse, unknown_peers
from wg_migrate.errors import WgMigrateError

WITHOUT_EXIT_KEY = dataclasses.replace(CONFIG.exit, public_key=None)
WITHOUT_PATH_KEYS = [dataclasses.replace(path, public_key=None) for path in CONFIG.paths]


def document(**changes: Any) -> dict[str, Any]:
    return {**dataclasses.asdict(CONFIG), **changes}


@pytest.mark.parametrize("scope", ["host", "namespace"])
def test_what_is_dumped_is_loaded_again(scope: str) -> None:
    written = config(scope=scope, userspace=True, dns_servers=["10.87.16.1"], management_ports=[22, 2222])
    assert load(FakeSystem(files={PATH: dump(written)})) == written


def test_a_dump_is_the_same_every_time() -> None:
    assert dump(parse(json.loads(dump(CONFIG)))) == dump(CONFIG)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scope": "machine"}, "scope is 'machine': write host or namespace"),
        ({"paths": []}, "at least one proxy"),
        ({"paths": [document()["paths"][0]] * 2}, "named wgnet1, wgnet1: write distinct names such as wgnet1"),
        ({"paths": [{**document()["paths"][0], "name": "foo"}]}, "named foo: write distinct names such as wgnet1"),
        ({"uplink_mtu": 1439}, "raise the uplink's MTU to 1440 or more"),
        ({"overlay_address": "10.87.0.5/32"}, "'10.87.0.5/32' is refused: write the address of one host"),
        ({"inner_address": "fd00::1"}, "'fd00::1' is refused: write the IPv4 address of one host"),
        ({"exit": {**document()["exit"], "address": "exit.lan"}}, "'exit.lan' is refused: write the address"),
        ({"inner_address6": "10.87.16.5"}, "'10.87.16.5' is refused: write the IPv6 address of one host"),
        ({"overlay_address": "FD00::1"}, "'FD00::1' is refused: write the address of one host"),
        ({"overlay_address": "fd00::1"}, "192.0.2.20 are of two families: write both IPv4 or both IPv6"),
        ({"exit": {**document()["exit"], "address": "2001:db8::20"}}, "are of two families: write both IPv4 or both"),
        ({"exit": {**document()["exit"], "port": 0}}, "0 is no port: write a number from 1 to 65535"),
        ({"dns_servers": ["dns"]}, "'dns' is refused: write the address of one host"),
        ({"management_sources": ["192.0.2.7/24"]}, "write a network, for example 192.0.2.7/32"),
        ({"management_ports": [65536]}, "65536 is no port"),
        ({"keepalive": 0}, "keepalive is 0: write seconds from 1 to 25"),
        ({"keepalive": 26}, "keepalive is 26: write seconds from 1 to 25"),
        ({"surprise": 1}, "not one of this version"),
        ({"paths": [{**document()["paths"][0], "uplink": "wlan 0"}]}, "'wlan 0' is no uplink: write the name of a"),
        ({"paths": [{**document()["paths"][0], "uplink": "wgnet2"}]}, "'wgnet2' is no uplink"),
        ({"paths": [{**document()["paths"][0], "uplink": 1}]}, "path uplink is 1: write text"),
        ({"paths": [{**document()["paths"][0], "uplink": "wlan0", "name": "wgnet10000"}]}, "a name up to wgnet9999"),
        ({"paths": [{**document()["paths"][0], "own_address": "10.64.0.7/32"}]}, "write the address that the provider"),
        ({"paths": [{**document()["paths"][0], "own_address": "fd00::7"}]}, "exit's address is of another family"),
        ({"exit": None}, "not one of this version"),
        ({"exit": {"name": "exit"}}, "not one of this version"),
        ({"management_ports": ["22"]}, r"management_ports is \['22'\]: write a list of numbers"),
    ],
)  # fmt: skip
def test_a_bad_document_is_refused_with_what_to_write(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(WgMigrateError, match=message):
        parse(document(**changes))


@pytest.mark.parametrize("missing", ["exit", "paths", "scope", "overlay_address", "uplink_mtu"])
def test_a_document_that_lacks_something_is_refused(missing: str) -> None:
    with pytest.raises(WgMigrateError, match=missing):
        parse({name: value for name, value in document().items() if name != missing})


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is not JSON"), ("{", "is not JSON"), ("[]", "holds no JSON object"), ("{}", "lacks 'exit'")],
    ids=repr,
)
def test_a_broken_file_is_refused_with_what_to_do(text: str, message: str) -> None:
    with pytest.raises(WgMigrateError, match=message):
        load(FakeSystem(files={PATH: text}))


def test_a_missing_file_names_the_command() -> None:
    with pytest.raises(WgMigrateError, match=r"deploy this client first, with 'ansible-playbook site\.yml'"):
        load(FakeSystem())


def test_the_mtus_are_those_of_the_uplink_less_a_layer_each() -> None:
    assert (CONFIG.outer_mtu, CONFIG.inner_mtu) == (1420, 1340)
    assert config(uplink_mtu=1440).inner_mtu == 1280


def test_a_peer_left_out_by_limit_keeps_its_key() -> None:
    limited = config(exit=WITHOUT_EXIT_KEY, paths=[CONFIG.paths[0], WITHOUT_PATH_KEYS[1]])
    assert keep_known_keys(limited, CONFIG) == CONFIG


def test_a_new_key_goes_before_the_known_one() -> None:
    changed = config(exit=dataclasses.replace(CONFIG.exit, public_key="NEW"))
    assert keep_known_keys(changed, CONFIG) == changed


def test_a_key_follows_its_proxy_and_not_its_place() -> None:
    moved = [Path("wgnet1", "proxy2", "192.0.2.12", 51821), Path("wgnet2", "proxy3", "192.0.2.13", 51820)]
    kept = keep_known_keys(config(paths=moved), CONFIG)
    assert [path.public_key for path in kept.paths] == [public_key("PROXY2"), None]


def test_another_exit_does_not_inherit_a_key() -> None:
    other = config(exit=dataclasses.replace(WITHOUT_EXIT_KEY, name="exit2"))
    assert keep_known_keys(other, CONFIG).exit.public_key is None


def test_without_a_configuration_before_nothing_is_kept() -> None:
    first = config(paths=WITHOUT_PATH_KEYS)
    assert keep_known_keys(first, None) == first
    assert unknown_peers(first) == ["proxy1", "proxy2"]


def test_unknown_peers_are_named() -> None:
    assert unknown_peers(CONFIG) == []
    assert unknown_peers(config(exit=WITHOUT_EXIT_KEY)) == ["exit"]


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", "\\xff", '{"scope": "host"}'], ids=str)
def test_where_the_file_is_damaged_what_came_up_before_is_used(
    text: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {COPY: dump(CONFIG), **({} if text is None else {PATH: text})}
    assert load(FakeSystem(files=files)) == CONFIG
    said = capsys.readouterr().err
    assert "meanwhile what was deployed before is used" in said
    assert "wg-migrate: " in said


def test_where_both_are_damaged_the_file_itself_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(WgMigrateError, match=f"^{PATH} is not JSON"):
        load(FakeSystem(files={PATH: "{", COPY: "{"}))
    assert capsys.readouterr().err == ""


def test_a_sound_file_is_used_whatever_came_up_before() -> None:
    other = config(scope="namespace")
    assert load(FakeSystem(files={PATH: dump(other), COPY: dump(CONFIG)})) == other


def test_a_configuration_of_before_there_were_uplinks_is_read() -> None:
    old = document()
    for path in old["paths"]:
        del path["uplink"], path["own_address"]
    assert parse(old) == CONFIG
