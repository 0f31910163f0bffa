"""tunnel.up and tunnel.down against a real kernel and a real wireguard-go."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from wg_migrate import tunnel
from wg_migrate.config import Config
from wg_migrate.errors import WgMigrateError
from wg_migrate.system import Outcome

from .client import PROXIES, SCOPES, make_config, make_key, make_secrets
from .machine import ClientSystem, Machine


@dataclass
class Client:
    machine: Machine
    system: ClientSystem
    config: Config

    def up(self) -> list[str]:
        return [str(action) for action in tunnel.up(self.system, self.config).actions]

    def down(self) -> list[str]:
        return [str(action) for action in tunnel.down(self.system).actions]


def prepared(machine: Machine, scope: str) -> Client:
    system = ClientSystem(machine)
    make_secrets(system)
    keys = {name: make_key(machine)[1] for name in [*PROXIES, "exit"]}
    for line in (
        # The kernel gives an address of its own only after a while, and another one each time.
        "sysctl -q -w net.ipv6.conf.default.addr_gen_mode=1 net.ipv6.conf.all.addr_gen_mode=1",
        "mkdir -p /run/wireguard",
        "ip link add eth0 type veth peer name port",
        "ip address add 192.0.2.10/24 dev eth0",
        "ip link set eth0 up",
        "ip link set port up",
        "ip route add default via 192.0.2.1",
        "ip rule add priority 5000 to 198.51.100.0/24 lookup 99",
        "ip netns add somebody",
        "nft add table inet somebody",
    ):
        machine.run(line)
    return Client(machine, system, make_config(scope, keys))


@pytest.fixture(params=SCOPES)
def client(request: pytest.FixtureRequest, machine: Machine) -> Client:
    return prepared(machine, request.param)


@pytest.fixture(scope="module")
def lasting() -> Iterator[Client]:
    """Give a client to tests that leave it up, as they found it."""
    machine = Machine()
    yield prepared(machine, "host")
    machine.close()


def ask(machine: Machine, script: dict[str, str]) -> dict[str, str]:
    """Return what each of these shell commands says: one process for all, for the tests ask often."""
    said = machine.run("sh", stdin="".join(f"{line}; printf '\\0'\n" for line in script.values()))
    return dict(zip(script, said.split("\0"), strict=False))


def snapshot(machine: Machine) -> dict[str, str]:
    """Return all of a host that a tunnel could leave traces in."""
    sysctls = "^net[.](ipv4|ipv6)[.]conf[.](all|default|eth0)[.](rp_filter|.*forward|disable)"
    return ask(
        machine,
        {
            "links": "ip link show",
            "addresses": "ip -br address",
            "routes": "ip -4 route show table all; ip -6 route show table all",
            "rules": "ip -4 rule; ip -6 rule",
            "nft": "nft list ruleset",
            "namespaces": "ip netns list",
            "sysctls": f"sysctl -a -r '{sysctls}'",
            "files": "find /etc /var/lib /run/netns /run/wireguard -type f",
            "processes": "ps -e -o comm=",
        },
    )


def differences(before: dict[str, str], after: dict[str, str]) -> dict[str, list[str]]:
    """Return the lines, in any order, that only one of the two has."""
    found = {}
    for name, text in before.items():
        lines = Counter(text.splitlines()), Counter(after[name].splitlines())
        gone, new = lines[0] - lines[1], lines[1] - lines[0]
        if gone or new:
            found[name] = [*(f"-{line}" for line in gone), *(f"+{line}" for line in new)]
    return found


def test_second_up_does_nothing(client: Client) -> None:
    assert client.up() != []
    client.system.ran.clear()
    assert client.up() == []
    assert [line for line in client.system.ran if line.startswith("systemctl")] == []


def test_down_leaves_what_was_before(client: Client) -> None:
    before = snapshot(client.machine)
    client.up()
    assert snapshot(client.machine) != before
    client.down()
    assert differences(before, snapshot(client.machine)) == {}
    assert client.down() == []


def test_down_restores_the_reverse_path_check(machine: Machine) -> None:
    client = prepared(machine, "host")
    machine.run("sysctl -q -w net.ipv4.conf.all.rp_filter=1")
    before = snapshot(machine)
    client.up()
    assert machine.run("sysctl -n net.ipv4.conf.all.rp_filter") == "2\n"
    assert client.up() == []
    client.down()
    assert differences(before, snapshot(machine)) == {}


def test_a_device_that_checks_reverse_paths_by_itself_is_made_loose(machine: Machine) -> None:
    client = prepared(machine, "host")
    machine.run("sysctl -q -w net.ipv4.conf.eth0.rp_filter=1")
    client.up()
    assert machine.run("sysctl -n net.ipv4.conf.all.rp_filter") == "2\n"


def test_mtus_addresses_and_places(client: Client) -> None:
    client.up()
    namespace = client.config.inner_namespace
    devices = {link["ifname"]: link for link in json.loads(client.machine.run("ip -json address", namespace))}
    assert devices["wg0"]["mtu"] == 1340
    inner = [address["local"] for address in devices["wg0"]["addr_info"] if address["scope"] == "global"]
    assert inner == ["10.87.16.5", "fd00:db8::5"]
    outer = {link["ifname"]: link for link in json.loads(client.machine.run("ip -json address", "wgnet"))}
    assert {name: outer[name]["mtu"] for name in outer if name != "lo"} == {"wgnet1": 1420, "wgnet2": 1420}
    assert "10.87.0.5" in [address["local"] for address in outer["lo"]["addr_info"]]


def test_the_outer_namespace_has_no_other_way_out(client: Client) -> None:
    client.up()
    client.machine.run("ip route delete default metric 0", "wgnet")
    with pytest.raises(AssertionError, match="No route to host"):
        client.machine.run("ip route get 192.0.2.20", "wgnet")


Damage = Callable[[Client], object]


def _commands(*lines: str, namespace: str | None = None) -> Damage:
    return lambda client: [client.machine.run(line, namespace) for line in lines]


def _with_wg0(line: str) -> Damage:
    return lambda client: client.machine.run(line, client.config.inner_namespace)


DAMAGES: dict[str, Damage] = {
    "an outer device is deleted": _commands("ip link delete wgnet1", namespace="wgnet"),
    "wg0 is deleted": _with_wg0("ip link delete wg0"),
    "wireguard-go of an outer device is killed": lambda client: client.system.stop("wg-migrate-outer@wgnet2.service"),
    "wireguard-go of wg0 is killed": lambda client: client.system.stop("wg-migrate-inner@wg0.service"),
    "an outer device is down": _commands("ip link set wgnet2 down", namespace="wgnet"),
    "wg0 is down": _with_wg0("ip link set wg0 down"),
    "an outer device is in the host": _commands("ip link set wgnet1 netns 1", namespace="wgnet"),
    "the switching route is gone": _commands("ip route delete default metric 0", namespace="wgnet"),
    "the switching route goes nowhere": _commands("ip route replace unreachable default", namespace="wgnet"),
    "the fallback route is gone": _commands("ip route delete unreachable default metric 4278198272", namespace="wgnet"),
    "a path's rule is gone": _commands("ip rule delete priority 5741", namespace="wgnet"),
    "a path's rule is another's": _commands(
        "ip rule delete priority 5740", "ip rule add priority 5740 fwmark 0x5802 lookup 22529", namespace="wgnet"
    ),
    "there is a rule too many": _commands("ip rule add priority 5742 fwmark 0x5803 lookup main", namespace="wgnet"),
    "a path's route is gone": _commands("ip route flush table 22529", namespace="wgnet"),
    "a path's route is another's": _commands("ip route replace default dev wgnet2 table 22529", namespace="wgnet"),
    "a path's route goes nowhere": _commands("ip route replace unreachable default table 22530", namespace="wgnet"),
    "paths' routes are exchanged, and a device is deleted": _commands(
        "ip route replace default dev wgnet2 table 22529",
        "ip route replace default dev wgnet1 table 22530",
        "ip link delete wgnet2",
        namespace="wgnet",
    ),
    "the overlay address is gone": _commands("ip address delete 10.87.0.5/32 dev lo", namespace="wgnet"),
    "wg0's address is gone": _with_wg0("ip address delete 10.87.16.5/32 dev wg0"),
    "wg0 has a second address": _with_wg0("ip address add 10.9.9.9/32 dev wg0"),
    "an MTU is wrong": _commands("ip link set wgnet1 mtu 1500", namespace="wgnet"),
    "wg0's MTU is wrong": _with_wg0("ip link set wg0 mtu 1500"),
    "the table of wgnet is gone": _commands("nft delete table inet wg_migrate", namespace="wgnet"),
    "the table of wgnet has no rules": _commands("nft flush table inet wg_migrate", namespace="wgnet"),
    "reverse paths are checked in wgnet": _commands("sysctl -q -w net.ipv4.conf.all.rp_filter=1", namespace="wgnet"),
    "pings are refused in wgnet": lambda client: client.machine.run(
        "sh", "wgnet", stdin="echo 1 0 >/proc/sys/net/ipv4/ping_group_range"
    ),
    "reverse paths are checked on a path": _commands(
        "sysctl -q -w net.ipv4.conf.wgnet1.rp_filter=1", namespace="wgnet"
    ),
    "an outer device has a port for a mark": _commands("wg set wgnet1 fwmark 0", namespace="wgnet"),
    "the keepalive is off": lambda client: _set_peer(client, "wgnet1", "persistent-keepalive 0"),
    "an endpoint is another": lambda client: _set_peer(client, "wgnet1", "endpoint 192.0.2.99:1"),
    "wg0 may carry less": lambda client: _set_peer(client, "wg0", "allowed-ips 10.87.16.1/32"),
    "the peer is another": lambda client: _replace_peer(client, "wgnet2"),
    "wg0's peer is another": lambda client: _replace_peer(client, "wg0"),
    "there is one peer more": lambda client: _add_peer(client, "wgnet2"),
    "the private key is another": lambda client: _replace_key(client, "wgnet1"),
    "namespace wgnet is gone": _commands("ip netns delete wgnet"),
}
IN_HOST_SCOPE: dict[str, Damage] = {
    "wg0 is pushed back": _commands("ip link set wg0 netns wgnet"),
    "the host's table is gone": _commands("nft delete table inet wg_migrate"),
    "all of nft is flushed": _commands("nft flush ruleset"),
    "the host's table has no rules": _commands("nft flush table inet wg_migrate"),
    "the host's chain has no rules": _commands("nft flush chain inet wg_migrate output"),
    "a rule is gone": _commands("ip rule delete priority 5741"),
    "all rules are gone": _commands(*(f"ip rule delete priority {5740 + rule}" for rule in range(3))),
    "the host's default route is gone": _commands("ip route delete default table 22343 metric 0"),
    "the host's fallback is gone": _commands("ip -6 route flush table 22343", "ip -4 route flush table 22343"),
}
IN_NAMESPACE_SCOPE: dict[str, Damage] = {
    "wg0 is pushed back": lambda client: client.machine.run("ip -n comps link set wg0 netns wgnet"),
    "namespace comps is gone": _commands("ip netns delete comps"),
    "the resolver's file is gone": lambda client: client.system.remove("/etc/netns/comps/resolv.conf"),
    "the default route is gone": _commands("ip route delete default", namespace="comps"),
}


def _peer(client: Client, device: str) -> str:
    return client.machine.run(f"wg show {device} peers").strip()


def _set_peer(client: Client, device: str, words: str) -> None:
    client.machine.run(f"wg set {device} peer {_peer(client, device)} {words}")


def _replace_peer(client: Client, device: str) -> None:
    client.machine.run(f"wg set {device} peer {_peer(client, device)} remove")
    _add_peer(client, device)


def _add_peer(client: Client, device: str) -> None:
    _, public = make_key(client.machine)
    client.machine.run(f"wg set {device} peer {public} endpoint 192.0.2.11:51820 persistent-keepalive 20")


def _replace_key(client: Client, device: str) -> None:
    private, _ = make_key(client.machine)
    client.machine.run(f"wg set {device} private-key /dev/stdin", stdin=private)


def facts(client: Client) -> dict[str, str]:
    """Return what the tunnel is, without what changes by itself."""
    inner = client.config.inner_namespace
    there = f"-n {inner}" if inner else ""
    script = {
        "tunnels": "for name in wg0 wgnet1 wgnet2; do wg showconf $name | grep -v ^ListenPort; done",
        "outer": "ip -n wgnet -br -4 address; ip -n wgnet link | grep -o '^[^@]*mtu [0-9]*'",
        "outer routes": "ip -n wgnet -4 route show table all; ip -n wgnet -4 rule",
        "inner": f"ip {there} route; ip {there} -br -4 address show dev wg0",
        "host": "ip route show table all; ip -6 route show table all; ip rule; ip -6 rule",
        "host nft": "nft list table inet wg_migrate",
        "nft": "ip netns exec wgnet nft list table inet wg_migrate",
        "sysctls": "ip netns exec wgnet sysctl -a -r 'wgnet.*[.]rp_filter|all[.]rp_filter|ping_group'",
    }
    if inner:
        del script["host"], script["host nft"]
    found = ask(client.machine, script)
    found["outer"] = re.sub(r"(?m)^[0-9]+:", "", found["outer"])
    if not inner:
        found["host nft"] = re.sub(r"counter packets \d+ bytes \d+", "counter", found["host nft"])
    return found


def heals(client: Client, damage: Damage) -> None:
    client.up()
    sound = facts(client)
    assert "wg_migrate" in sound["nft"]
    damage(client)
    assert client.up() != []
    assert differences(sound, facts(client)) == {}
    assert client.up() == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_up_heals(lasting: Client, damage: str) -> None:
    heals(lasting, DAMAGES[damage])


@pytest.mark.parametrize("damage", IN_HOST_SCOPE)
def test_up_heals_the_host(machine: Machine, damage: str) -> None:
    heals(prepared(machine, "host"), IN_HOST_SCOPE[damage])


@pytest.mark.parametrize("damage", IN_NAMESPACE_SCOPE)
def test_up_heals_the_namespace(machine: Machine, damage: str) -> None:
    heals(prepared(machine, "namespace"), IN_NAMESPACE_SCOPE[damage])


def test_scope_can_be_changed(machine: Machine) -> None:
    client = prepared(machine, "host")
    before = snapshot(machine)
    for scope in ("namespace", "host", "namespace"):
        client.config = dataclasses.replace(client.config, scope=scope)
        client.up()
        assert client.up() == []
        assert json.loads(machine.run("ip -json link show dev wg0", client.config.inner_namespace))
    client.down()
    assert differences(before, snapshot(machine)) == {}


def test_a_path_that_is_dropped_goes_and_the_route_stands_on_another(client: Client) -> None:
    client.up()
    client.config = dataclasses.replace(client.config, paths=client.config.paths[1:])
    assert "remove device wgnet1" in client.up()
    assert "dev wgnet2" in client.machine.run("ip route show default", "wgnet")
    assert client.up() == []


def test_another_overlay_address_takes_the_route_along(client: Client) -> None:
    client.up()
    client.config = dataclasses.replace(client.config, overlay_address="10.87.0.6")
    client.up()
    assert "dev wgnet1 scope link src 10.87.0.6" in client.machine.run("ip route show default proto 87", "wgnet")
    assert client.up() == []


def test_a_path_on_which_the_loop_stands_is_left_alone(client: Client) -> None:
    client.up()
    client.machine.run("ip route replace default dev wgnet2 src 10.87.0.5 proto 87", "wgnet")
    assert client.up() == []


class Interrupted(ClientSystem):
    """A machine that loses its power at the k-th command."""

    def __init__(self, machine: Machine, commands: int) -> None:
        super().__init__(machine)
        self._left = commands

    def attempt(self, argv: list[str], stdin: str | None = None) -> Outcome:
        self._left -= 1
        if self._left < 0:
            raise WgMigrateError("cut short")
        return super().attempt(argv, stdin)


def test_an_interrupted_up_is_healed_by_the_next(client: Client) -> None:
    client.up()
    commands = len(client.system.ran)
    sound = facts(client)
    client.down()
    clean = snapshot(client.machine)
    interrupted = 0
    # The first dozen only read. How often a start is asked for differs from time to time, so the last may be too late.
    for kept in range(12, commands, 9):
        try:
            tunnel.up(Interrupted(client.machine, kept), client.config)
        except WgMigrateError as error:
            interrupted += str(error) == "cut short"
        client.up()
        assert differences(sound, facts(client)) == {}, kept
        assert client.up() == [], kept
        client.down()
        assert differences(clean, snapshot(client.machine)) == {}, kept
    assert interrupted > 2


def test_secrets_are_on_no_command_line(client: Client) -> None:
    change = tunnel.up(client.system, client.config)
    said = f"{client.system.ran} {change}"
    for peer in [*PROXIES, "exit"]:
        for ending in ("key", "psk"):
            secret = client.system.read(f"{client.config.key_directory}/{peer}.{ending}")
            assert secret is not None
            assert secret.strip() not in said


def test_a_foreign_wg0_is_refused(machine: Machine) -> None:
    client = prepared(machine, "host")
    tunnel.refuse_foreign_device(client.system)
    client.up()
    with pytest.raises(WgMigrateError, match="give it another name"):
        tunnel.refuse_foreign_device(client.system)
