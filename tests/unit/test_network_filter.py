from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FILTERS = Path(__file__).resolve().parents[2] / "filter_plugins" / "network.py"
GROUPS = {"clients": ["client1", "client2"], "proxies": ["proxy1", "proxy2"], "exits": ["exit"], "all": ["localhost"]}
PEERS = ["proxy1", "proxy2", "exit"]


@pytest.fixture(scope="module")
def wg_network() -> Callable[..., dict[str, Any]]:
    spec = importlib.util.spec_from_file_location("network_filter", FILTERS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., dict[str, Any]] = module.FilterModule().filters()["wg_network"]
    return found


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
