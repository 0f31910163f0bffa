"""Reading a host's wg-quick interface, from what the tools print."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable

from fake_system import FakeSystem
from wg_migrate.quick_have import Configured, Have, read
from wg_migrate.system import Outcome

Key = Callable[[str], str]
FORWARD = "net.ipv4.ip_forward"


def addresses(name: str, *networks: tuple[str, int, str]) -> dict[str, object]:
    info = [{"local": local, "prefixlen": length, "scope": scope} for local, length, scope in networks]
    return {"ifname": name, "mtu": 1420, "addr_info": info}


def running(key: Key) -> FakeSystem:
    links = [
        addresses("lo", ("127.0.0.1", 8, "host")),
        addresses("eth0", ("198.18.51.20", 24, "global"), ("fe80::1", 64, "link")),
        addresses("wg0", ("10.87.16.1", 20, "global"), ("fe80::2", 64, "link")),
    ]
    dump = [
        [key("p"), key("P"), "51820", "off"],
        [key("a"), key("s"), "198.18.51.11:40000", "10.87.16.2/32,fd00::2/128", "1700000000", "1", "2", "25"],
        [key("b"), "(none)", "(none)", "(none)", "0", "0", "0", "off"],
    ]
    return FakeSystem(
        {
            "ip -json address show": json.dumps(links),
            "ip -json -4 route show dev wg0": json.dumps([{"dst": "10.87.16.0/20"}, {"dst": "10.9.9.9"}]),
            "ip -json -6 route show dev wg0": json.dumps([{"dst": "fe80::/64"}, {"dst": "default"}]),
            "wg show wg0 dump": "".join("\t".join(line) + "\n" for line in dump),
            "systemctl show wg-quick@wg0.service": "ActiveState=active\nUnitFileState=enabled\n",
            "nft list table inet wg_migrate_wg0": 'table inet x { comment "sha256:0123456789abcdef rules:0" }',
        },
        {
            "/proc/sys/net/ipv4/ip_forward": "1\n",
            "/var/lib/wg-migrate/wg0.json": json.dumps({"sysctls": {FORWARD: "0"}}),
        },
    )


def test_a_running_interface_is_read_whole(key: Key) -> None:
    have = read(running(key), "wg0", [FORWARD])
    assert have.device is not None
    assert (have.enabled, have.active, have.failed, have.link) == (True, True, False, True)
    assert have.table == "0123456789abcdef"
    assert have.sysctls == {FORWARD: "1"}
    assert have.remembered == {FORWARD: "0"}
    assert (have.device.private_key, have.device.listen_port, have.device.mtu) == (key("p"), 51820, 1420)
    assert have.device.addresses == {"10.87.16.1/20"}
    assert have.device.peers == {
        key("a"): Configured(key("s"), frozenset({"10.87.16.2/32", "fd00::2/128"})),
        key("b"): Configured(),
    }
    assert have.device.routes == {"10.87.16.0/20", "10.9.9.9/32", "fe80::/64"}


def test_networks_are_those_of_other_interfaces(key: Key) -> None:
    assert read(running(key), "wg0", []).networks == (
        ("lo", ipaddress.ip_network("127.0.0.0/8")),
        ("eth0", ipaddress.ip_network("198.18.51.0/24")),
    )


def test_a_bare_host_has_nothing() -> None:
    assert read(FakeSystem(), "wg0", [FORWARD]) == Have(userspace=True, sysctls={FORWARD: None})


def test_a_link_without_wireguard_behind_it_is_no_device(key: Key) -> None:
    system = running(key)
    system.answers["wg show wg0 dump"] = Outcome(1, "", "Unable to access interface: Operation not supported")
    have = read(system, "wg0", [])
    assert have.link
    assert have.device is None


def test_secrets_are_not_in_what_is_printed(key: Key) -> None:
    shown = repr(read(running(key), "wg0", []))
    assert key("p") not in shown
    assert key("s") not in shown
