from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_provider_file import OURS, TEXT
from wg_migrate.keys import NO_PRESHARED_KEY

FILTERS = Path(__file__).resolve().parents[2] / "filter_plugins" / "network.py"
GROUPS = {"clients": ["client1", "client2"], "proxies": ["proxy1", "proxy2"], "exits": ["exit"], "all": ["localhost"]}
PEERS = ["proxy1", "proxy2", "exit"]


@pytest.fixture(scope="module")
def filters() -> dict[str, Callable[..., Any]]:
    spec = importlib.util.spec_from_file_location("network_filter", FILTERS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, Callable[..., Any]] = module.FilterModule().filters()
    return found


@pytest.fixture(scope="module")
def wg_network(filters: dict[str, Callable[..., Any]]) -> Callable[..., dict[str, Any]]:
    return filters["wg_network"]


def hostvars(with_keys: list[str]) -> dict[str, dict[str, Any]]:
    """Return the variables of all hosts; those named have been seen by the role wireguard in this run."""
    names = [name for group in ("clients", "proxies", "exits") for name in GROUPS[group]]
    found: dict[str, dict[str, Any]] = {
        name: {"ansible_host": f"192.0.2.{number}", "surplus": "x"} for number, name in enumerate(names, 10)
    }
    for name in with_keys:
        if name.startswith("client"):
            keys = {
                "public_keys": {peer: f"{name}-TO-{peer}" for peer in PEERS},
                "preshared_keys": {peer: f"PSK-{name}-{peer}" for peer in PEERS},
            }
        else:
            keys = {"public_keys": {"wgnet": f"PUBLIC-{name}"}, "preshared_keys": {}}
        found[name]["__wireguard_keys"] = keys
    return found


def test_peers_carry_the_keys_that_this_run_has_seen(wg_network: Callable[..., dict[str, Any]]) -> None:
    told = wg_network(hostvars(["client1", "client2", *PEERS]), GROUPS)["hosts"]
    assert [path["public_key"] for path in told["client1"]["paths"]] == ["PUBLIC-proxy1", "PUBLIC-proxy2"]
    assert told["client1"]["exit"]["public_key"] == "PUBLIC-exit"
    assert told["proxy2"]["clients"][1]["public_key"] == "client2-TO-proxy2"
    assert told["proxy2"]["clients"][1]["preshared_key"] == "PSK-client2-proxy2"
    assert told["exit"]["clients"][0]["preshared_key"] == "PSK-client1-exit"


@pytest.mark.parametrize("host", PEERS)
def test_a_server_is_told_no_secret_of_another_pair(wg_network: Callable[..., dict[str, Any]], host: str) -> None:
    told = json.dumps(wg_network(hostvars(["client1", "client2", *PEERS]), GROUPS)["hosts"][host])
    assert f"PSK-client1-{host}" in told
    assert [other for other in PEERS if other != host and f'-{other}"' in told and f"PSK-client1-{other}" in told] == []


def test_a_client_is_told_no_secret(wg_network: Callable[..., dict[str, Any]]) -> None:
    assert "PSK" not in json.dumps(wg_network(hostvars(["client1", "client2", *PEERS]), GROUPS)["hosts"]["client1"])


def test_a_peer_left_out_by_limit_carries_no_key(wg_network: Callable[..., dict[str, Any]]) -> None:
    told = wg_network(hostvars(["client1", "proxy1"]), GROUPS)["hosts"]
    assert "public_key" in told["client1"]["paths"][0]
    assert "public_key" not in told["client1"]["paths"][1]
    assert "public_key" not in told["client1"]["exit"]
    assert "public_key" not in told["proxy1"]["clients"][1]
    assert "preshared_key" not in told["proxy1"]["clients"][1]


def test_errors_come_out_as_sentences(wg_network: Callable[..., dict[str, Any]]) -> None:
    plan = wg_network({}, {})
    assert plan["hosts"] == {}
    assert len(plan["errors"]) == 3


PATH = {"name": "provider", "config_file": "p.conf", "leaves_from": ["203.0.113.5"]}


@pytest.mark.parametrize("named", ["p.conf", "{directory}/p.conf"])
def test_a_providers_file_is_found_beside_the_inventory_and_its_keys_are_apart_from_the_plan(
    filters: dict[str, Callable[..., Any]], tmp_path: Path, named: str
) -> None:
    (tmp_path / "p.conf").write_text(TEXT)
    path = {**PATH, "config_file": named.format(directory=tmp_path)}
    known = hostvars([])
    known["client1"] |= {"inventory_dir": str(tmp_path), "client_foreign_paths": [path]}
    told = filters["wg_network"](known, GROUPS)
    assert told["errors"] == []
    assert [each["proxy"] for each in told["hosts"]["client1"]["paths"]] == ["proxy1", "proxy2", "provider"]
    assert len(told["hosts"]["client2"]["paths"]) == 2
    assert OURS not in json.dumps(told)
    keys = filters["wg_provider_keys"]([path], str(tmp_path))
    assert keys == {"pairs": {"provider": OURS}, "preshared": {"provider": NO_PRESHARED_KEY}}


@pytest.mark.parametrize("text", [b"$ANSIBLE_VAULT;1.1;AES256\n", b"\xff\xfe", bytes(70000), None])
def test_a_file_that_is_no_text_is_refused(
    filters: dict[str, Callable[..., Any]], tmp_path: Path, text: bytes | None
) -> None:
    if text is not None:
        (tmp_path / "p.conf").write_bytes(text)
    known = hostvars([])
    known["client1"] |= {"inventory_dir": str(tmp_path), "client_foreign_paths": [PATH]}
    (error,) = filters["wg_network"](known, GROUPS)["errors"]
    assert "config_file 'p.conf' cannot be read" in error
    assert filters["wg_provider_keys"]([PATH], str(tmp_path)) == {"pairs": {}, "preshared": {}}


def test_who_was_heard_is_known_by_name_also_out_of_a_network(filters: dict[str, Callable[..., Any]]) -> None:
    doors = [{"name": "proxy1", "address": "192.0.2.11"}, {"name": "provider", "address": "203.0.113.0/28"}]
    doors.append({"name": "six", "address": "2001:db8::6"})
    wg_senders = filters["wg_senders"]
    assert wg_senders(["192.0.2.11", "203.0.113.3", "203.0.113.4"], doors) == {
        "names": ["provider", "proxy1"],
        "strangers": [],
    }
    assert wg_senders(["[2001:db8::6]", "192.0.2.100"], doors) == {"names": ["six"], "strangers": ["192.0.2.100"]}
    assert wg_senders([], doors) == {"names": [], "strangers": []}
