"""The keeper mends what others do to the host, and leaves alone what is theirs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest
from wg_migrate import config as configuration

from .machine import ROOT, Machine, Service
from .test_tunnel import IN_HOST_SCOPE, Client, differences, facts, prepared
from .topology import COMMAND, wait_for

DAMAGES = {what: damage for what, damage in IN_HOST_SCOPE.items() if what != "wg0 is pushed back"}
SOMEBODYS = (
    "ip rule add priority 5739 to 203.0.113.0/24 lookup 98",
    "ip rule delete priority 5739",
    "ip route add 203.0.113.0/24 dev eth0",
    "nft add table inet somebody_else",
    "nft add chain inet somebody_else their_chain",
    "nft delete table inet somebody_else",
    "ip link add name wg01 type veth peer name wg02",
    "ip address add 192.0.2.77/24 dev eth0",
)

HELD = 1.5
"""Seconds after which the keeper has seen that a mending holds; until then another damage looks like a fight."""


@pytest.fixture(scope="module")
def kept() -> Iterator[tuple[Client, Service]]:
    """Give a client in host scope whose keeper runs: tests leave it as they found it."""
    machine = Machine()
    client = prepared(machine, "host")
    client.up()
    client.system.write(configuration.PATH, configuration.dump(client.config), 0o600)
    keeper = machine.start([sys.executable, "-c", COMMAND, str(ROOT / "module_utils"), "keep"])
    yield client, keeper
    assert keeper.running
    keeper.stop()
    machine.close()


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_mended_by_itself(kept: tuple[Client, Service], damage: str) -> None:
    client, keeper = kept
    time.sleep(HELD)
    sound = facts(client)
    DAMAGES[damage](client)
    assert differences(sound, facts(client)) != {}
    wait_for(lambda: differences(sound, facts(client)) == {}, "it is mended")
    assert keeper.running


def test_what_is_others_is_left_to_them(kept: tuple[Client, Service]) -> None:
    client, keeper = kept
    time.sleep(HELD)
    keeper.log.seek(0)
    before = keeper.log.read()
    for line in SOMEBODYS:
        client.machine.run(line)
    time.sleep(1)
    keeper.log.seek(0)
    assert keeper.log.read() == before
    assert "mended: " in before
