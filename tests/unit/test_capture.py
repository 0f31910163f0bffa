"""Where a capture is made, and through which filters; how a host is reached; and what is refused."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from wg_migrate.errors import WgMigrateError

from observe import capture, hosts
from observe.description import network_of
from observe.hosts import Host, Inventory
from observe.points import Ends, Look, Stream, look_of, streams, tcpdump, without_management
from observe.preparation import vantage_points

ROOT = Path(__file__).resolve().parents[2]
CLIENT: dict[str, Any] = {
    "role": "client",
    "overlay_address": "10.87.0.9",
    "inner_address": "10.87.16.9",
    "exit": {"name": "exit", "address": "198.51.100.20", "port": 51820, "inner_address": "10.87.16.1"},
    "paths": [
        {"name": "wgnet1", "proxy": "p1", "address": "198.51.100.11", "port": 51820},
        {"name": "wgnet2", "proxy": "p2", "address": "203.0.113.12", "port": 443},
    ],
}
SSH = frozenset({("192.0.2.10", 22), ("203.0.113.12", 2222)})
ENDS = Ends(CLIENT, SSH, tuple(path["address"] for path in CLIENT["paths"]))
NOT_SSH = "not (host 192.0.2.10 and tcp port 22) and not (host 203.0.113.12 and tcp port 2222)"
OVERLAY = "udp and host 10.87.0.9 and host 198.51.100.20 and port 51820"
LOOK = Look(("eth0",), ("192.0.2.10",), "host", (22,))


def inventory_of(*clients: str) -> Inventory:
    roles = {**dict.fromkeys(clients, "client"), "p1": "proxy", "p2": "proxy", "exit": "exit", "elsewhere": "exit"}
    known = {name: Host(name, role, "192.0.2.1", 22, "ops", name, (), ()) for name, role in roles.items()}
    return Inventory(known, dict.fromkeys(clients, CLIENT))


def test_a_client_sees_all_three_layers() -> None:
    assert streams("client", ENDS, LOOK, 0, ("inner", "overlay", "outer")) == [
        Stream("wg0", "inner", None, NOT_SSH),
        Stream("wgnet1", "overlay", "wgnet", OVERLAY),
        Stream("wgnet2", "overlay", "wgnet", OVERLAY),
        Stream("eth0", "outer", None, without_management(["192.0.2.10"], [22])),
    ]


def test_applications_in_a_namespace_are_captured_there() -> None:
    look = Look(("eth0",), (), "namespace")
    assert streams("client", ENDS, look, 0, ("inner",))[0].namespace == "comps"


def test_a_proxy_sees_its_path_and_no_inner_packets() -> None:
    assert streams("proxy", ENDS, LOOK, 443, ("inner", "overlay", "outer")) == [
        Stream("wgnet", "overlay", None, OVERLAY),
        Stream("eth0", "outer", None, "udp and (port 443 or (host 198.51.100.20 and port 51820))"),
    ]


def test_an_exit_sees_the_proxies_and_this_clients_inner_packets() -> None:
    assert streams("exit", ENDS, LOOK, 0, ("inner", "overlay", "outer")) == [
        Stream("wg0", "inner", None, f"(host 10.87.16.9) and {NOT_SSH}"),
        Stream("eth0", "outer", None, "udp and port 51820 and (host 198.51.100.11 or host 203.0.113.12)"),
    ]


def test_several_uplinks_are_all_captured() -> None:
    found = streams("client", ENDS, Look(("eth0", "eth1"), (), "host"), 0, ("outer",))
    assert [(stream.device, stream.expression) for stream in found] == [("eth0", ""), ("eth1", "")]


def test_a_host_without_an_uplink_is_refused() -> None:
    with pytest.raises(WgMigrateError, match="without an uplink there is nothing to capture"):
        streams("exit", ENDS, Look((), ()), 0, ("inner",))


def test_what_a_host_tells_becomes_a_look() -> None:
    told = {
        "uplinks": ["eth0"],
        "addresses": ["192.0.2.10", "2001:db8::10"],
        "ssh": ["192.0.2.1", "40000", "192.0.2.10", "2222"],
        "management_ports": [22],
        "status": {"scope": "namespace"},
    }
    assert look_of(told) == Look(("eth0",), ("192.0.2.10", "2001:db8::10"), "namespace", (22, 2222))


@pytest.mark.parametrize(
    ("packet", "kept"),
    [
        ("192.0.2.10.22 > 192.0.2.1.40000: tcp", False),  # answers of the management
        ("192.0.2.1.40000 > 192.0.2.10.22: tcp", False),
        ("192.0.2.10.40000 > 192.0.2.1.22: tcp", True),  # the client's own SSH beside the tunnel is a leak
        ("192.0.2.1.22 > 192.0.2.10.40000: tcp", True),
        ("192.0.2.10.22 > 192.0.2.1.53: udp", True),
    ],
)
def test_only_the_management_itself_is_left_out(packet: str, kept: bool, tmp_path: Path) -> None:
    """By tcpdump itself, from a file."""
    source, target, protocol = packet.replace(" > ", " ").replace(": ", " ").split()
    ends = [part.rpartition(".")[::2] for part in (source, target)]
    number = {"tcp": 6, "udp": 17}[protocol]
    addresses = b"".join(bytes(map(int, address.split("."))) for address, _ in ends)
    ports = b"".join(int(port).to_bytes(2) for _, port in ends)
    data = b"\x45\0\0\x28\0\0\0\0\x40" + bytes([number]) + b"\0\0" + addresses + ports + bytes(16)
    head = bytes.fromhex("d4c3b2a1 02000400 00000000 00000000 60000000 0c000000 00000000 00000000 28000000 28000000")
    (tmp_path / "one.pcap").write_bytes(head + data)
    expression = without_management(["192.0.2.10", "2001:db8::10"], [22, 2222])
    read = ["tcpdump", "-n", "-r", str(tmp_path / "one.pcap"), expression]
    said = subprocess.run(read, capture_output=True, text=True, check=True).stdout
    assert bool(said) is kept


def test_tcpdump_stays_bound_and_quiet() -> None:
    """Giving up root would undo the bond with its parent; promiscuous mode would leave a line in the log."""
    words = "tcpdump -i wg0 -Z root -p -n -U --time-stamp-precision=nano -B 16384 -s"
    assert " ".join(tcpdump(Stream("wg0", "inner", None, "tcp"), 96)) == f"{words} 96 -w - tcp"
    assert " ".join(tcpdump(Stream("wg0", "inner", None, ""), 0)) == f"{words} 0 -w -"


def test_wireguards_packets_are_captured_whole_and_divided_on_the_host() -> None:
    python, _, text, snap, *words = tcpdump(Stream("wgnet1", "overlay", "wgnet", "udp"), 96)
    assert (python, snap, words[:6]) == ("python3", "96", ["ip", "netns", "exec", "wgnet", "tcpdump", "-i"])
    assert words[-5:] == ["-s", "0", "-w", "-", "udp"]
    assert "$" not in text, "systemd-run takes it for a variable"
    assert text.startswith('"""Run tcpdump')


def test_the_vantage_points_are_those_of_the_client() -> None:
    assert vantage_points(inventory_of("laptop"), "laptop") == ["laptop", "p1", "p2", "exit"]


def test_capture_json_tells_the_network_and_no_more() -> None:
    assert network_of(CLIENT) == {
        "overlay_address": "10.87.0.9",
        "inner_address": "10.87.16.9",
        "exit": {"name": "exit", "address": "198.51.100.20", "port": 51820},
        "paths": CLIENT["paths"],
    }


ALL = ("inner", "overlay", "outer")


@pytest.mark.parametrize(
    ("at", "layers", "hosts_chosen"),
    [
        (None, ALL, ["laptop", "p1", "p2", "exit"]),
        (None, ("inner",), ["laptop", "exit"]),
        (["exit", "laptop"], ALL, ["laptop", "exit"]),
        (["p2"], ("overlay", "inner"), ["p2"]),
    ],
)
def test_hosts_are_those_named_or_all_that_see_something(
    at: list[str] | None, layers: tuple[str, ...], hosts_chosen: list[str]
) -> None:
    assert capture.choose_hosts(inventory_of("laptop"), "laptop", at, layers) == hosts_chosen


@pytest.mark.parametrize(
    ("at", "layers", "words"),
    [
        (["p3", "laptop"], ALL, "--at p3,laptop: write some of laptop, p1, p2, exit"),
        (["elsewhere"], ALL, "--at elsewhere: write some of laptop, p1, p2, exit"),
        ([], ALL, "write some of laptop"),
        (["p1"], ("inner",), "p1 sees no inner packets: write --filter overlay or outer for it"),
    ],
)
def test_hosts_that_see_nothing_of_the_client_are_refused(at: list[str], layers: tuple[str, ...], words: str) -> None:
    with pytest.raises(WgMigrateError, match=words):
        capture.choose_hosts(inventory_of("laptop"), "laptop", at, layers)


def test_of_several_clients_one_must_be_named() -> None:
    two = inventory_of("laptop", "phone")
    with pytest.raises(WgMigrateError, match="there are the clients laptop, phone: write --client with one of them"):
        capture.choose_client(two, None, ["p1"])
    assert capture.choose_client(two, None, ["p1", "phone"]) == "phone"
    assert capture.choose_client(two, "laptop", None) == "laptop"
    with pytest.raises(WgMigrateError, match="there is no client p1: write one of laptop, phone"):
        capture.choose_client(two, "p1", None)


LAB = ["-i", str(ROOT / "inventory" / "lab")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--at", "nobody"], "capture: --at nobody: write some of client, wgnet1, wgnet2, exit\n"),
        (["--at", ""], "capture: --at : write some of client, wgnet1, wgnet2, exit\n"),
        (["--filter", "all"], "capture: --filter all: write some of inner, overlay, outer\n"),
        (["--seconds", "soon"], "capture: --seconds 'soon' is not a number: write a number from 0.1 to 86400"),
        (["--seconds", "0"], "capture: --seconds 0 is out of range"),
        (["--snap", "-1"], "capture: --snap -1 is out of range: write a number from 0 to 262144"),
        (["--seconds", "2", "--", "true"], "capture: there are --seconds and a command: write one of them"),
        (["--", "no-such-command"], "capture: there is no command no-such-command"),
        (["--"], "capture: there is no command after --"),
        (["-i", "nowhere"], "capture: there is no inventory nowhere: write the directory or file of your hosts\n"),
        (["--to", str(ROOT)], "is there already: write a new directory after --to\n"),
    ],
)
def test_bad_words_are_refused_in_a_sentence(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert capture.main([*([] if "-i" in words else LAB), *words]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


def test_hosts_are_reached_as_ansible_reaches_them(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    (tmp_path / "known hosts").touch()
    (tmp_path / "hosts.yml").write_text("""
all:
  vars:
    where: "{{ inventory_dir }}"
    ansible_ssh_common_args: -o UserKnownHostsFile="{{ where }}/known hosts" -o GlobalKnownHostsFile=/dev/null
  children:
    clients:
      hosts:
        laptop:
          ansible_host: 192.0.2.10
          ansible_port: 2222
          ansible_user: admin
          ansible_password: hidden
          ansible_ssh_private_key_file: "{{ where }}/key"
          ansible_become_password: "{{ 'se' ~ 'cret' }}"
    proxies:
      hosts:
        p1: {ansible_host: 198.51.100.11, ansible_ssh_extra_args: -o IdentitiesOnly=yes -o HostKeyAlias=one}
        p2: {ansible_host: 203.0.113.12, ansible_ssh_extra_args: -J jump@192.0.2.99}
    exits:
      hosts:
        exit: {ansible_host: 198.51.100.20, ansible_ssh_extra_args: -o ProxyCommand='nc %h %p'}
""")
    found = hosts.load([str(tmp_path / "hosts.yml")])
    laptop = found.hosts["laptop"]
    assert (laptop.role, laptop.address, laptop.port, laptop.user) == ("client", "192.0.2.10", 2222, "admin")
    assert (laptop.known_as, laptop.known_hosts) == ("[192.0.2.10]:2222", (str(tmp_path / "known hosts"),))
    assert laptop.keys == (str(tmp_path / "key"),)
    word = "secret"
    assert laptop.become_password == word
    assert not {"secret", "hidden"} & set(repr(laptop).split("'"))
    assert (found.hosts["p1"].agent, found.hosts["p1"].known_as, laptop.agent) == (False, "one", True)
    *words, jump = found.hosts["p2"].proxy_command
    assert (words, jump.translate({91: None, 93: None})) == (
        ["ssh", "-W", "[203.0.113.12]:22"],
        "ssh://jump@192.0.2.99",
    )
    assert found.hosts["exit"].proxy_command == ("sh", "-c", "exec nc 198.51.100.20 22")
    assert found.plan["laptop"]["paths"][1]["proxy"] == "p2"


def test_an_inventory_that_is_wrong_is_told_in_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: {children: {clients: {hosts: {laptop: {ansible_host: 192.0.2.10}}}}}\n")
    with pytest.raises(WgMigrateError, match="proxies"):
        hosts.load([str(tmp_path / "hosts.yml")])


def test_a_host_that_is_not_reached_by_ssh_is_refused(tmp_path: Path) -> None:
    text = (ROOT / "inventory" / "lab" / "hosts.yml").read_text()
    local = text.replace(
        "ansible_host: 198.18.51.10\n", "ansible_host: 198.18.51.10\n          ansible_connection: local\n"
    )
    (tmp_path / "hosts.yml").write_text(local)
    with pytest.raises(WgMigrateError, match="client has ansible_connection local"):
        hosts.load([str(tmp_path / "hosts.yml")])


def test_the_table_says_what_is_incomplete() -> None:
    point = {"file": "p1.pcapng", "packets": 12, "dropped": 1, "clock_offset": -0.0012, "clock_error": 0.0004}
    lost = {**point, "file": "p2.pcapng", "problem": "the connection broke"}
    lines = capture.table({"seconds": 2.04, "points": [{**point, "problem": None}, lost]}).splitlines()
    assert lines[0] == "2.0 s"
    assert " ".join(lines[1].split()) == "p1.pcapng 12 packets, 1 missed, clock -1.20 ms, give or take 0.40 ms"
    assert lines[2].endswith("INCOMPLETE: the connection broke")
    assert json.dumps(lines)
