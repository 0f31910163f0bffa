"""Every module with anything for its arguments: a refused call changes nothing, and none shows a secret."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import io
import json
import re
import sys
import traceback
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from client_samples import public_key
from fake_system import Answer
from hostile import PickySystem, everywhere, fuzz, spoilt, values
from hypothesis import given
from hypothesis import strategies as st
from test_tunnel import EMPTY, KEY_FILES
from test_wireguard_modules import LIBRARY
from wg_migrate import control
from wg_migrate.errors import WgMigrateError
from wg_migrate.system import Outcome

NAMES = [
    "brought_packages",
    "double_tunnel",
    "host_firewall",
    "migration",
    "own_files",
    "tunnel_evidence",
    "wireguard_keys",
    "wireguard_quick",
]


def load(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(f"fuzzed_{name}", LIBRARY / f"{name}.py")
    assert specification
    assert specification.loader
    module = sys.modules[specification.name] = importlib.util.module_from_spec(specification)  # for its dataclasses
    specification.loader.exec_module(module)
    return module


MODULES: dict[str, ModuleType] = {name: load(name) for name in NAMES}
GIVEN, PRIVATE = (base64.b64encode(letter * 32).decode() for letter in (b"g", b"p"))
PATHS = [
    {
        "name": f"wgnet{n}",
        "proxy": f"proxy{n}",
        "address": f"192.0.2.1{n}",
        "port": 51820,
        "public_key": public_key("P"),
    }
    for n in (1, 2)
]
END = {
    "name": "exit",
    "address": "192.0.2.20",
    "port": 51820,
    "inner_address": "10.87.16.1",
    "inner_address6": "fd00:db8::1",
    "public_key": public_key("E"),
}
PEER = {"name": "one", "public_key": public_key("A"), "preshared_key": GIVEN, "allowed_ips": ["10.87.0.2/32"]}
SAMPLES: list[tuple[str, dict[str, Any]]] = [
    (
        "double_tunnel",
        {
            "scope": "host",
            "overlay_address": "10.87.0.5",
            "inner_address": "10.87.16.5",
            "inner_address6": "fd00:db8::5",
            "exit": END,
            "paths": PATHS,
            "key_directory": "/etc/wg-migrate/keys",
            "implementation": "kernel",
            "uplink_mtu": 1500,
            "keepalive": 20,
            "management_sources": ["192.0.2.0/24"],
            "management_ports": [22],
            "lan_networks": ["192.168.1.0/24"],
            "dns_servers": ["10.87.16.1"],
            "status_group": "adm",
        },
    ),
    (
        "brought_packages",
        {
            "names": ["unbound", "nftables"],
            "record": "/r/packages",
            "idle_units": {"unbound": ["unbound.service"]},
            "users": {"unbound": "unbound"},
            "advice": "Or none.",
        },
    ),
    ("brought_packages", {"state": "available", "names": ["unbound"], "record": "/r/packages"}),
    ("brought_packages", {"record": "/r/packages", "state": "absent"}),
    ("double_tunnel", {"state": "absent"}),
    (
        "host_firewall",
        {
            "tunnel": "wgnet",
            "listen_port": 51820,
            "forwards": [{"protocol": "udp", "port": 51820, "address": "192.0.2.20"}],
            "calls": [{"address": "192.0.2.11", "port": 51820}],
        },
    ),
    ("migration", {"interval": 0.1, "schedule": {"strategy": "weighted", "weights": [1, 2], "health": {"busy": 0.1}}}),
    ("migration", {"state": "stopped"}),
    (
        "own_files",
        {
            "files": {"/usr/local/bin/hello": "text", "/etc/x": "other"},
            "executables": ["/usr/local/bin/hello"],
            "exclusive": ["/usr/local/lib/wg-migrate/wg_migrate"],
            "state": "present",
        },
    ),
    (
        "tunnel_evidence",
        {
            "part": "observer",
            "device": "br0",
            "seconds": 1,
            "clients": ["192.0.2.5"],
            "endpoints": ["192.0.2.11:51820"],
        },
    ),
    (
        "tunnel_evidence",
        {"part": "client", "url": "http://192.0.2.80/whoami", "strict": True, "management_ports": [22]},
    ),
    (
        "wireguard_keys",
        {"directory": "/k", "pairs": ["a"], "preshared": ["b"], "given": {"c": GIVEN}, "state": "present"},
    ),
    (
        "wireguard_quick",
        {
            "name": "wgnet",
            "addresses": ["10.87.16.1/20"],
            "listen_port": 51820,
            "mtu": 1420,
            "private_key_file": "/k/wgnet.key",
            "peers": [PEER],
            "nftables": "chain input {}",
            "sysctls": {"net.ipv4.ip_forward": 1},
        },
    ),
    ("wireguard_quick", {"name": "wgnet", "state": "absent"}),
]
READS = re.compile(
    r"ip (-n \w+ )?(-json )?(-details )?(-[46] )?(netns list|(link|address|route|rule) show)|wg show|wg pubkey"
    r"|(ip netns exec \w+ )?(nft (--json )?(list|--check)|sysctl (-n|-a)|wg show)"
    r"|systemctl (--quiet is-|show)|unshare --net |iptables-save$"
    r"|dpkg-query --show|apt-cache policy|env DEBIAN_FRONTEND=noninteractive apt-get .*(--print-uris|--simulate)"
)
"""Commands that change nothing; what `unshare --net` makes is gone when the command ends."""


class Host(PickySystem):
    """A host that may be deployed on: every command succeeds."""

    def __init__(self) -> None:
        answers: dict[str, Answer] = {
            "": "",
            **EMPTY,
            "wg gen": PRIVATE,
            "wg pubkey": public_key("OWN"),
            "sysctl -n net.ipv4.conf.all.rp_filter": "0",
            "ip -json -4 route show default": '[{"dev": "eth0"}]',
            "ip -json address show dev eth0": '[{"addr_info": []}]',
            "nft --json list ruleset": '{"nftables": []}',
        }
        quick = {"/k/wgnet.key": PRIVATE, "/proc/sys/net/ipv4/ip_forward": "0\n"}
        super().__init__({**answers, "systemctl --quiet is-": Outcome(3, "", "")}, {**KEY_FILES, **quick})
        self.before = dict(self.files)


def run(name: str, system: Host, arguments: dict[str, Any], check: bool) -> tuple[dict[str, Any], str]:
    """Run a module; return its result, and all that it said."""
    module = MODULES[name]
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "System", lambda *_: system)
        patch.setattr(control, "ask", not_running)
        if name == "tunnel_evidence":
            for part in ("of_client", "of_exit", "of_observer"):
                patch.setattr(module.evidence, part, looked)
        with (
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
            patch_module_args({**arguments, "_ansible_check_mode": check}),
            contextlib.suppress(SystemExit),
        ):
            try:
                module.main()
            except (TypeError, ValueError, OverflowError) as error:
                # ansible-core 2.21, before our part begins, fails so on infinity, half characters, a number for a dict.
                if not any(frame.filename == basic.__file__ for frame in traceback.extract_tb(error.__traceback__)):
                    raise
                print(json.dumps({"failed": True, "msg": f"Ansible refuses: {error}"}))
    return json.loads(said.getvalue()), said.getvalue()


def not_running(_request: object) -> None:
    raise WgMigrateError("the migration loop is not running: start it")


def looked(*arguments: Any) -> dict[str, Any]:
    """Stand in for what looks at the network for a while."""
    seconds = [each for each in arguments if type(each) is float]
    assert all(0 < each <= 3600 for each in seconds)
    return {"arguments": [sorted(each) if isinstance(each, frozenset) else str(each) for each in arguments]}


def check_result(system: Host, result: dict[str, Any], said: str, check: bool) -> None:
    assert not re.search(r"Traceback|<class '[\w.]*(Error|Exception|Warning)'>|\b\w*(Error|Exception)\(", said), said
    # ansible-core 2.21 repeats a list in the list of peers before it has looked for what is secret in it.
    assert GIVEN not in said or "in the sub parameter field 'peers' must be a list" in said
    assert PRIVATE not in said
    if result.get("failed"):
        assert len(result["msg"]) > 10
    if result.get("failed") or check:
        assert [line for line in system.ran if not READS.match(line)] == []
        assert system.files == system.before
    for path in system.files:
        assert path.startswith("/")
        assert path.isprintable()
        assert ".." not in path.split("/")


arguments = st.sampled_from(SAMPLES).flatmap(lambda sample: st.tuples(st.just(sample[0]), spoilt(sample[1])))
made_up = st.sampled_from(NAMES).flatmap(
    lambda name: st.tuples(st.just(name), st.dictionaries(st.sampled_from(sorted(MODULES[name].ARGUMENT_SPEC)), values))
)


def test_each_thing_that_is_wrong_is_refused_with_nothing_changed() -> None:
    check = False
    for name, sample in SAMPLES:
        for wrong in everywhere(sample, every=17):
            check, system = not check, Host()
            check_result(system, *run(name, system, wrong, check), check)


@pytest.mark.parametrize("path", ["", "k", "/", "/k\n", "/k/../x", "/k/.", "/" + "k" * 300], ids=repr)
@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("wireguard_quick", "private_key_file"),
        ("wireguard_keys", "directory"),
        ("double_tunnel", "key_directory"),
        ("brought_packages", "record"),
    ],
)
def test_what_is_no_path_is_refused(name: str, option: str, path: str) -> None:
    sample = next(each for module, each in SAMPLES if module == name and option in each)
    system = Host()
    result, said = run(name, system, {**sample, option: path}, False)
    assert result.get("failed"), said
    assert re.search("write (a whole one|an absolute path)", result["msg"]), said
    check_result(system, result, said, False)


@given(st.one_of(arguments, made_up), st.booleans())
@fuzz(80)
def test_a_refused_call_says_why_and_changes_nothing(call: tuple[str, Any], check: bool) -> None:
    name, given_arguments = call
    system = Host()
    check_result(system, *run(name, system, given_arguments if isinstance(given_arguments, dict) else {}, check), check)


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(("name", "given_arguments"), SAMPLES, ids=lambda value: str(value)[:20])
def test_the_samples_are_accepted(name: str, given_arguments: dict[str, Any], check: bool) -> None:
    """Else the fuzz test would try only what is refused."""
    system = Host()
    result, said = run(name, system, given_arguments, check)
    assert not result.get("failed"), said
    check_result(system, result, said, check)
