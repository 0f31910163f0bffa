"""The modules wireguard_keys and wireguard_quick as Ansible runs them: results, check mode, refusals, no secrets."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from fake_system import FakeSystem

Key = Callable[[str], str]
Result = dict[str, Any]
LIBRARY = Path(__file__).resolve().parents[2] / "library"


def load(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, LIBRARY / f"{name}.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Return a function that runs a module on a fake machine and returns the JSON that Ansible would read."""

    def run(module_name: str, system: FakeSystem, /, check: bool = False, **arguments: Any) -> Result:
        module = load(module_name)
        monkeypatch.setattr(module, "System", lambda *_: system)
        with patch_module_args({**arguments, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            module.main()
        result: Result = json.loads(capsys.readouterr().out)
        return result

    return run


def test_keys_check_mode_on_a_bare_host_tells_and_changes_nothing(call: Callable[..., Result]) -> None:
    system = FakeSystem()
    result = call("wireguard_keys", system, check=True, directory="/k", pairs=["a"])
    assert result["changed"] is True
    assert result["actions"] == ["make a private key in /k/a.key"]
    assert result["public_keys"] == {}
    assert system.files == {}


def test_keys_are_made_once_and_preshared_ones_revealed_on_request_only(call: Callable[..., Result], key: Key) -> None:
    system = FakeSystem({"wg genkey": key("p"), "wg genpsk": key("s"), "wg pubkey": key("P")})
    arguments = {"directory": "/k", "pairs": ["a"], "preshared": ["b"]}
    first = call("wireguard_keys", system, **arguments)
    assert first["changed"] is True
    assert first["public_keys"] == {"a": key("P")}
    assert "preshared_keys" not in first
    assert key("s") not in json.dumps(first)
    second = call("wireguard_keys", system, **arguments, reveal_preshared=True)
    assert second["changed"] is False
    assert second["preshared_keys"] == {"b": key("s")}
    assert key("p") not in json.dumps([first, second])


def test_keys_given_are_never_shown(call: Callable[..., Result], key: Key) -> None:
    result = call("wireguard_keys", FakeSystem(), directory="/k", given={"c": key("g")})
    assert result["changed"] is True
    assert key("g") not in json.dumps(result)


def quick_arguments(key: Key) -> dict[str, Any]:
    peer = {"name": "one", "public_key": key("a"), "preshared_key": key("s"), "allowed_ips": ["10.87.0.2/32"]}
    return {
        "name": "wgnet",
        "listen_port": 51820,
        "mtu": 1420,
        "private_key_file": "/k/wgnet.key",
        "peers": [peer],
        "nftables": "chain input {}",
        "sysctls": {"net.ipv4.ip_forward": 1},
    }


def test_quick_check_mode_on_a_bare_host_tells_and_changes_nothing(call: Callable[..., Result], key: Key) -> None:
    system = FakeSystem(files={"/proc/sys/net/ipv4/ip_forward": "0\n"})
    result = call("wireguard_quick", system, check=True, **quick_arguments(key))
    assert result["changed"] is True
    assert "start wg-quick@wgnet.service" in result["actions"]
    assert result["before"]["active"] is False
    assert result["after"]["active"] is True
    assert list(system.files) == ["/proc/sys/net/ipv4/ip_forward"]


def test_quick_shows_no_secret(call: Callable[..., Result], key: Key) -> None:
    files = {"/proc/sys/net/ipv4/ip_forward": "0\n", "/k/wgnet.key": key("p")}
    system = FakeSystem({"nft": "", "sysctl": "", "systemctl": ""}, files)
    result = call("wireguard_quick", system, **quick_arguments(key))
    assert result["changed"] is True
    assert key("p") in system.files["/etc/wireguard/wgnet.conf"]
    assert [letter for letter in "ps" if key(letter) in json.dumps(result)] == []
    assert "PrivateKey = (secret)" in result["diff"][0]["after"]


def test_quick_names_a_peer_that_it_leaves_out(call: Callable[..., Result], key: Key) -> None:
    arguments = {**quick_arguments(key), "peers": [{"name": "one", "allowed_ips": ["10.87.0.2/32"]}], "sysctls": {}}
    result = call("wireguard_quick", FakeSystem(), check=True, **arguments)
    assert result["left_out"] == ["one"]
    assert "Peer 'one' is left out of wgnet" in str(result["warnings"])


def test_quick_without_a_private_key_is_refused(call: Callable[..., Result], key: Key) -> None:
    result = call("wireguard_quick", FakeSystem(), **quick_arguments(key))
    assert result["failed"] is True
    assert result["msg"] == "There is no private key in /k/wgnet.key: make one with wireguard_keys first."


def test_quick_removes_what_it_made_and_nothing_else(call: Callable[..., Result], key: Key) -> None:
    files = {"/proc/sys/net/ipv4/ip_forward": "0\n", "/k/wgnet.key": key("p"), "/etc/wireguard/other.conf": "theirs"}
    system = FakeSystem({"nft": "", "sysctl": "", "systemctl": ""}, dict(files))
    call("wireguard_quick", system, **quick_arguments(key))
    removed = call("wireguard_quick", system, name="wgnet", state="absent")
    assert removed["changed"] is True
    assert system.files == files
    assert removed["after"]["sysctls"] == {"net.ipv4.ip_forward": "0"}


def test_quick_leaves_a_foreign_interface_alone(call: Callable[..., Result]) -> None:
    system = FakeSystem(files={"/etc/wireguard/wgnet.conf": "[Interface]\n"})
    result = call("wireguard_quick", system, name="wgnet", state="absent")
    assert result["changed"] is False
    assert result["before"] == result["after"]
