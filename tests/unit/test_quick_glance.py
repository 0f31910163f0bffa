"""A glance by the shell at a wg-quick interface: the module's own answer where it would do nothing, none elsewhere."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from wg_migrate import nft, quick, quick_glance, quick_have, quick_show
from wg_migrate.quick_conf import ARGUMENT_SPEC, Paths, Wanted, render, render_sysctls, settle_peers, wanted
from wg_migrate.system import Outcome, System

Key = Callable[[str], str]
Arguments = dict[str, Any]
PATHS = Paths("wgnet")
KEY_FILE, NEXT_KEY_FILE = "/etc/wireguard/it's wgnet.key", "/etc/wireguard/next/wgnet.key"
DUMP, LINKS, UPLINKS = "wg show wgnet dump", "ip -json address show", "ip -json -6 route show default"
ROUTES4, ROUTES6 = (f"ip -json {family} route show dev wgnet" for family in ("-4", "-6"))
SHOWN = f"systemctl show {PATHS.unit} --property=ActiveState,UnitFileState"
TABLE = f"nft list table inet {PATHS.table}"
PROBE = "unshare --net ip link add name wgm-probe type wireguard"
TOOL = """#!/bin/sh
cd {answers} && cat -- "${{0##*/}} $*"
"""


def arguments(key: Key) -> Arguments:
    return {
        "name": "wgnet",
        "addresses": ["10.87.16.1/20"],
        "listen_port": 51820,
        "mtu": 1420,
        "private_key_file": KEY_FILE,
        "next_private_key_file": NEXT_KEY_FILE,
        "peers": [
            {"name": "one", "public_key": key("a"), "preshared_key": key("s"), "allowed_ips": ["10.87.16.2/32"]},
            {"name": "two", "public_key": key("b"), "allowed_ips": ["10.9.9.9/32"]},
            {"name": "three", "preshared_key": key("t"), "allowed_ips": []},
        ],
        "nftables": "chain input {}",
        "sysctls": {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1},
    }


@dataclass
class Host:
    """What a host's tools answer, and a directory that stands for its root."""

    root: Path
    key: Key

    def file(self, path: str) -> Path:
        """Return where a file of the host is."""
        return self.root / path.lstrip("/")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Give the host a file."""
        self.file(path).parent.mkdir(parents=True, exist_ok=True)
        self.file(path).write_text(text)
        self.file(path).chmod(mode)

    def answer(self, command: str, text: str) -> None:
        """Have one of its tools answer so."""
        tool = self.root / "tools" / command.partition(" ")[0]
        tool.parent.mkdir(parents=True, exist_ok=True)
        answers = self.root / "answers"
        answers.mkdir(exist_ok=True)
        tool.write_text(TOOL.format(answers=shlex.quote(str(answers))))
        tool.chmod(0o755)
        (answers / command).write_text(text)

    def forget(self, command: str) -> None:
        """Have a tool fail when it is asked so."""
        (self.root / "answers" / command).unlink()

    def change(self, where: str, old: str, new: str) -> None:
        """Have another text in one of its files or answers."""
        path = self.file(where) if where.startswith("/") else self.root / "answers" / where
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def shell(self, command: str) -> str:
        """Return what its shell says to a command."""
        moved = command.replace("/etc/", f"{self.root}/etc/").replace("/var/lib/", f"{self.root}/var/lib/")
        moved = moved.replace("/proc/sys/", f"{self.root}/proc/sys/")
        environment = {"PATH": f"{self.root}/tools:/usr/bin:/bin"}
        done = subprocess.run(["sh", "-c", moved], env=environment, capture_output=True, text=True, check=False)
        return done.stdout.replace(str(self.root), "")

    def glance(self, asked: Arguments) -> dict[str, Any] | None:
        """Return what a glance finds."""
        command = quick_glance.question(asked)
        return None if command is None else quick_glance.result(asked, self.shell(command))


class Seen(System):
    """The same host as the module sees it."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self._host = host

    def attempt(self, argv: list[str], stdin: str | None = None) -> Outcome:
        return super().attempt([str(self._host.root / "tools" / argv[0]), *argv[1:]], stdin)

    def read(self, path: str) -> str | None:
        return super().read(str(self._host.file(path)))

    def mode(self, path: str) -> int | None:
        return super().mode(str(self._host.file(path)))


def address(name: str, *networks: tuple[str, int, str]) -> dict[str, Any]:
    info = [{"local": local, "prefixlen": length, "scope": scope} for local, length, scope in networks]
    return {"ifname": name, "mtu": 1420, "addr_info": info}


@pytest.fixture
def want(key: Key) -> Wanted:
    """Return what the module makes of the arguments on the host, where an earlier run knew the third peer's key."""
    asked = arguments(key)
    peers = [{"public_key": None, "preshared_key": None, **peer} for peer in asked["peers"]]
    peers[2]["public_key"] = key("c")
    sysctls = {"net.ipv6.conf.eth0.accept_ra": 2, **asked["sysctls"]}
    return wanted({**asked, "peers": peers, "sysctls": sysctls}, key("p"))


@pytest.fixture
def host(tmp_path: Path, key: Key, want: Wanted) -> Host:
    """Return a host on which all is as wanted."""
    found = Host(tmp_path, key)
    conf = render(want, settle_peers(want.peers, [])[0])
    found.write(KEY_FILE, f"{key('p')}\n", 0o600)
    found.write(PATHS.conf, conf, 0o600)
    found.write(PATHS.nft, nft.render(PATHS.table, want.nftables))
    found.write(PATHS.sysctl, render_sysctls(want.sysctls))
    found.write(PATHS.state, json.dumps({"sysctls": dict.fromkeys(sorted(want.sysctls), "0")}) + "\n")
    for name, value in want.sysctls.items():
        found.write(f"/proc/sys/{name.replace('.', '/')}", f"{value}\n")
    dump = [
        [key("p"), key("P"), "51820", "off"],
        [key("a"), key("s"), "198.18.51.11:40000", "10.87.16.2/32", "1700000000", "1", "2", "25"],
        [key("b"), "(none)", "(none)", "10.9.9.9/32", "0", "0", "0", "off"],
        [key("c"), key("t"), "(none)", "(none)", "0", "0", "0", "off"],
    ]
    links = [
        address("eth0", ("198.18.51.20", 24, "global"), ("fe80::1", 64, "link")),
        address("wgnet", ("10.87.16.1", 20, "global"), ("fe80::2", 64, "link")),
    ]
    found.answer(DUMP, "".join("\t".join(line) + "\n" for line in dump))
    found.answer(LINKS, json.dumps(links))
    found.answer(ROUTES4, json.dumps([{"dst": "10.87.16.0/20"}, {"dst": "10.9.9.9"}]))
    found.answer(ROUTES6, "")
    found.answer(UPLINKS, json.dumps([{"dst": "default", "dev": "eth0", "protocol": "ra"}]))
    found.answer(SHOWN, "ActiveState=active\nUnitFileState=enabled\n")
    found.answer(TABLE, nft.render(PATHS.table, want.nftables))
    found.answer(PROBE, "")
    return found


def test_an_interface_that_is_as_wanted_is_told_as_the_module_tells_it(host: Host, want: Wanted, key: Key) -> None:
    result = host.glance(arguments(key))
    have = quick_have.read(Seen(host), want.name, want.sysctls)
    assert result == quick_show.result(have, want, quick.plan(have, want))
    assert result["changed"] is False
    assert [peer["name"] for peer in result["before"]["peers"]] == ["three", "one", "two"]
    assert result["before"]["sysctls"]["net.ipv6.conf.eth0.accept_ra"] == "2"


def test_a_host_with_less_to_tell_is_told_as_well(host: Host, key: Key) -> None:
    """Neither addresses nor a table nor settings, and a port and an MTU that WireGuard and wg-quick have chosen."""
    asked = {"name": "wgnet", "private_key_file": KEY_FILE}
    want = wanted({**{name: about.get("default") for name, about in ARGUMENT_SPEC.items()}, **asked}, key("p"))
    for path in (PATHS.nft, PATHS.sysctl, PATHS.state):
        host.file(path).unlink()
    host.forget(TABLE)
    host.write(PATHS.conf, render(want, []), 0o600)
    host.answer(DUMP, "\t".join([key("p"), key("P"), "40000", "off"]) + "\n")
    host.answer(LINKS, json.dumps([address("wgnet")]))
    result = host.glance(asked)
    assert result is not None
    assert (result["after"]["listen_port"], result["after"]["mtu"], result["after"]["nftables"]) == (40000, 1420, None)


def test_no_secret_leaves_the_host(host: Host, key: Key) -> None:
    question = quick_glance.question(arguments(key))
    assert question is not None
    host.write(NEXT_KEY_FILE, f"{key('q')}\n")
    host.change(PATHS.conf, "PrivateKey = ", f"privatekey={key('x')}\n# PresharedKey= {key('y')}\nPrivateKey = ")
    with host.file(PATHS.conf).open("a") as conf:
        conf.write(f"PresharedKey = {key('z')}")
    told = question + host.shell(question)
    assert [letter for letter in "pstqxyz" if key(letter) in told] == []
    assert key("a") in told
    host.write(PATHS.conf, f"[Interface]\nPrivateKey = {key('z')}\nEndpoint = secret.example:1\n")
    assert "secret.example" not in host.shell(question)


FAULTS: dict[str, Callable[[Host], object]] = {
    "another private key in its file": lambda host: host.write(KEY_FILE, f"{host.key('x')}\n"),
    "no private key": lambda host: host.file(KEY_FILE).unlink(),
    "half a private key": lambda host: host.change(KEY_FILE, host.key("p"), host.key("p")[:30]),
    "a private key and more": lambda host: host.change(KEY_FILE, "\n", "\nmore\n"),
    "a key that waits": lambda host: host.write(NEXT_KEY_FILE, f"{host.key('x')}\n"),
    "another private key in the file": lambda host: host.change(PATHS.conf, host.key("p"), host.key("x")),
    "another preshared key in the file": lambda host: host.change(PATHS.conf, host.key("s"), host.key("x")),
    "a preshared key less in the file": lambda host: host.change(PATHS.conf, f"PresharedKey = {host.key('t')}\n", ""),
    "another public key in the file": lambda host: host.change(PATHS.conf, host.key("a"), host.key("x")),
    "another port in the file": lambda host: host.change(PATHS.conf, "51820", "51821"),
    "a line without an end in the file": lambda host: host.change(
        PATHS.conf, host.file(PATHS.conf).read_text(), host.file(PATHS.conf).read_text()[:-1]
    ),
    "a line with a key that is none of ours": lambda host: host.change(PATHS.conf, "MTU", "Key = mine\nMTU"),
    "no file": lambda host: host.file(PATHS.conf).unlink(),
    "a file of somebody else": lambda host: host.change(PATHS.conf, "# Written by wg-migrate", "# Written by me"),
    "a file that a group can read": lambda host: host.file(PATHS.conf).chmod(0o640),
    "another private key in the device": lambda host: host.change(DUMP, host.key("p"), host.key("x")),
    "another preshared key in the device": lambda host: host.change(DUMP, host.key("s"), host.key("x")),
    "a preshared key less in the device": lambda host: host.change(DUMP, host.key("t"), "(none)"),
    "a preshared key more in the device": lambda host: host.change(
        DUMP, f"{host.key('b')}\t(none)", f"{host.key('b')}\t{host.key('x')}"
    ),
    "another peer in the device": lambda host: host.change(DUMP, host.key("a"), host.key("x")),
    "another port": lambda host: host.change(DUMP, "51820", "51821"),
    "other allowed addresses": lambda host: host.change(DUMP, "10.9.9.9/32", "10.9.9.8/32"),
    "no device": lambda host: host.change(LINKS, '"wgnet"', '"other"'),
    "a device without WireGuard": lambda host: host.forget(DUMP),
    "another MTU": lambda host: host.change(LINKS, "1420", "1400"),
    "another address": lambda host: host.change(LINKS, "10.87.16.1", "10.87.16.9"),
    "a network of ours elsewhere": lambda host: host.change(LINKS, "198.18.51.20", "10.87.16.9"),
    "a route less": lambda host: host.change(ROUTES4, "10.9.9.9", "10.9.9.8"),
    "a unit that is stopped": lambda host: host.change(SHOWN, "=active", "=inactive"),
    "a unit that is not enabled": lambda host: host.change(SHOWN, "=enabled", "=disabled"),
    "no systemd": lambda host: host.forget(SHOWN),
    "no table": lambda host: host.forget(TABLE),
    "another table": lambda host: host.change(TABLE, "sha256:", "sha256:0"),
    "another table in its file": lambda host: host.change(PATHS.nft, "chain input", "chain output"),
    "no table in its file": lambda host: host.file(PATHS.nft).unlink(),
    "a kernel without WireGuard": lambda host: host.forget(PROBE),
    "a unit that wireguard-go needs no more": lambda host: host.write(PATHS.dropin, quick.DROPIN),
    "another setting": lambda host: host.write("/proc/sys/net/ipv4/ip_forward", "0\n"),
    "no such setting": lambda host: host.file("/proc/sys/net/ipv4/ip_forward").unlink(),
    "another setting in its file": lambda host: host.change(PATHS.sysctl, "ip_forward = 1", "ip_forward = 0"),
    "a setting that router advertisements ask for": lambda host: host.write(
        "/proc/sys/net/ipv6/conf/eth0/accept_ra", "1\n"
    ),
    "an uplink by router advertisements": lambda host: host.change(UPLINKS, "eth0", "eth1"),
    "a setting remembered that is to be given back": lambda host: host.change(
        PATHS.state, '"sysctls": {', '"sysctls": {"net.ipv4.tcp_ecn": "2", '
    ),
    "nothing remembered": lambda host: host.file(PATHS.state).unlink(),
    "a memory that is none": lambda host: host.write(PATHS.state, "{"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_an_interface_that_differs_is_for_the_module(host: Host, key: Key, fault: str) -> None:
    assert host.glance(arguments(key)) is not None
    FAULTS[fault](host)
    assert host.glance(arguments(key)) is None


def test_a_peer_whose_key_nobody_knows_is_for_the_module(host: Host, key: Key) -> None:
    asked = arguments(key)
    assert host.glance({**asked, "peers": [*asked["peers"], {"name": "four", "allowed_ips": []}]}) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "absent"}, {"name": 1}, {"name": "no name"}, {"private_key_file": None}, {"private_key_file": 1},
        {"next_private_key_file": 1}, {"listen_port": "51820"}, {"listen_port": True}, {"mtu": 1.5}, {"mtu": 10},
        {"addresses": "10.87.16.1/20"}, {"addresses": [1]}, {"nftables": 1}, {"sysctls": []}, {"sysctls": {"a.b": []}},
        {"peers": {}}, {"peers": ["one"]}, {"peers": [{}]}, {"peers": [{"name": "one", "public_key": 1}]},
        {"peers": [{"name": "one", "allowed_ips": "10.0.0.1/32"}]}, {"peers": [{"name": "one", "endpoint": "x"}]},
        {"unknown": 1}, {"peers": None}, {"name": None}, {"peers": [None]}, {"addresses": [None]}, {"state": "other"},
    ],
)  # fmt: skip
def test_what_only_the_module_can_tell_is_not_asked(key: Key, changed: Arguments) -> None:
    assert quick_glance.question({**arguments(key), **changed}) is None
    assert quick_glance.result({**arguments(key), **changed}, "") is None


@pytest.mark.parametrize("output", ["", "\n==0\n", "{}", "sudo: a password is required\n"])
def test_an_answer_that_is_none_is_for_the_module(key: Key, output: str) -> None:
    assert quick_glance.result(arguments(key), output) is None
