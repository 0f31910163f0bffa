"""A path that is pinned to an uplink leaves by that one and by no other, wherever the host's routes lead.

Both uplinks are in one network, where each answers for the other (as a laptop's cable and its wireless do at home).
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from wg_migrate import config as configuration
from wg_migrate import tunnel
from wg_migrate.config import Config

from .client import PROXIES, SCOPES
from .machine import ROOT, Machine, connect
from .test_tunnel import differences, prepared, snapshot
from .topology import COMMAND, Capture, Topology, built, ping, wait_for

SECOND = "192.0.2.70"
PINNED = f"udp {PROXIES['proxy1']} 51820"


def deploy(topology: Topology, config: Config) -> None:
    """Make it so, for the keeper, too."""
    topology.system.write(configuration.PATH, configuration.dump(config), 0o600)
    tunnel.up(topology.system, config)


@contextmanager
def two_uplinks(scope: str) -> Iterator[Topology]:
    """Give a client whose wgnet1 is pinned to eth1, while all of its routes prefer eth0; its keeper runs."""
    with built(scope) as made:
        connect(made.wire, made.client, "second", f"{SECOND}/24", "eth1")
        made.client.run("ip route add default via 192.0.2.1 dev eth1 metric 600")
        paths = [dataclasses.replace(made.config.paths[0], uplink="eth1"), made.config.paths[1]]
        made.config = dataclasses.replace(made.config, paths=paths)
        deploy(made, made.config)
        keeper = made.client.start([sys.executable, "-c", COMMAND, str(ROOT / "module_utils"), "keep"])
        yield made
        assert keeper.running
        keeper.stop()


@pytest.fixture(scope="module", params=SCOPES)
def topology(request: pytest.FixtureRequest) -> Iterator[Topology]:
    with two_uplinks(request.param) as made:
        yield made


def test_it_leaves_by_its_uplink_alone(topology: Topology) -> None:
    with topology.loop(0.01), Capture(topology) as first, Capture(topology, "second") as second:
        assert ping(topology, 400) == 400
    assert first.leaks() == second.leaks() == {}
    assert PINNED not in first.seen
    assert set(second.seen) - {"arp", "icmpv6"} == {PINNED}
    assert second.seen[PINNED] > 100


def test_a_second_look_finds_nothing_to_do(topology: Topology) -> None:
    assert [str(action) for action in tunnel.up(topology.system, topology.config).actions] == []


def test_answers_that_come_by_the_other_uplink_do_not_draw_it_there(topology: Topology) -> None:
    """wireguard-go would go on by the device that it has heard its peer by."""
    other = json.loads(topology.client.run("ip -json link show dev eth0"))[0]["address"]
    neighbour = f"{SECOND} dev eth0"
    topology.proxies[0].run(f"ip neighbour replace {neighbour} lladdr {other} nud permanent")
    try:
        with topology.loop(0.01), Capture(topology) as first:
            sent = topology.received()["wgnet1"]
            assert ping(topology, 400) == 400
            assert topology.received()["wgnet1"] - sent > 100
        assert PINNED not in first.seen
    finally:
        topology.proxies[0].run(f"ip neighbour delete {neighbour}")


def test_without_its_uplink_it_is_down_and_with_another_address_of_that_it_is_back(topology: Topology) -> None:
    with topology.loop(0.01) as status, Capture(topology) as first:
        topology.client.run("ip link set eth1 down")
        wait_for(lambda: status()["paths"]["wgnet1"]["health"] == "down", "the path is down")
        assert ping(topology, 200) == 200
        assert status()["active"] == "wgnet2"
        with pytest.raises(AssertionError, match="No route to host"):
            topology.client.run(f"ip route get {PROXIES['proxy1']} mark 0x5801")
        topology.client.run(f"ip address delete {SECOND}/24 dev eth1")
        topology.client.run("ip address add 192.0.2.71/24 dev eth1")
        topology.client.run("ip link set eth1 up")
        topology.client.run("ip route add default via 192.0.2.1 dev eth1 metric 600")
        wait_for(lambda: status()["paths"]["wgnet1"]["health"] == "up", "the path is back")
        assert ping(topology, 200) == 200
    assert first.leaks() == {}
    assert PINNED not in first.seen


def test_somebodys_rule_before_ours_stops_it_and_takes_it_nowhere(topology: Topology) -> None:
    with topology.loop(0.01) as status, Capture(topology) as first:
        topology.client.run("ip rule add priority 100 to 192.0.2.0/24 lookup 99")
        topology.client.run("ip route add 192.0.2.0/24 dev eth0 table 99")
        try:
            wait_for(lambda: status()["paths"]["wgnet1"]["health"] == "down", "the path is down")
        finally:
            topology.client.run("ip rule delete priority 100")
            topology.client.run("ip route flush table 99")
        wait_for(lambda: status()["paths"]["wgnet1"]["health"] == "up", "the path is back")
    assert PINNED not in first.seen


def test_a_device_that_is_plugged_in_again_is_found(topology: Topology) -> None:
    with topology.loop(0.01) as status, Capture(topology) as first:
        topology.client.run("ip link delete eth1")
        wait_for(lambda: status()["paths"]["wgnet1"]["health"] == "down", "the path is down")
        connect(topology.wire, topology.client, "second", f"{SECOND}/24", "eth1")
        wait_for(lambda: status()["paths"]["wgnet1"]["health"] == "up", "the path is back")
    assert first.leaks() == {}
    assert PINNED not in first.seen


@pytest.mark.faults
def test_a_path_that_is_not_pinned_goes_by_the_other(topology: Topology) -> None:
    """The fault that the tests before are about: without rules and chains they would see it."""
    free = [dataclasses.replace(path, uplink="") for path in topology.config.paths]
    deploy(topology, dataclasses.replace(topology.config, paths=free))
    try:
        with topology.loop(0.01), Capture(topology) as first:
            assert ping(topology, 200) == 200
        assert first.seen[PINNED] > 50
    finally:
        deploy(topology, topology.config)


@pytest.mark.parametrize("scope", SCOPES)
def test_down_leaves_what_was_before(machine: Machine, scope: str) -> None:
    client = prepared(machine, scope)
    before = snapshot(machine)
    near, far = client.config.paths
    pinned = [
        dataclasses.replace(near, uplink="eth0"),
        dataclasses.replace(far, uplink="eth0", address="198.51.100.12"),
    ]
    client.config = dataclasses.replace(client.config, paths=pinned)
    client.up()
    assert "default dev eth0 " in machine.run("ip route show table 22529")
    assert "default via 192.0.2.1 dev eth0 " in machine.run("ip route show table 22530")
    assert client.up() == []
    client.down()
    assert differences(before, snapshot(machine)) == {}
