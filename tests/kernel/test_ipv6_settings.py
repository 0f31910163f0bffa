"""What a host has set for IPv6 of its devices does not decide what the tunnel has."""

from __future__ import annotations

import json

from .machine import Machine
from .test_tunnel import prepared


def test_a_host_that_switched_ipv6_off(machine: Machine) -> None:
    client = prepared(machine, "host")
    machine.run("sysctl -q -w net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
    client.up()
    assert client.up() == []


def test_wg0_has_no_address_but_ours_and_asks_nobody_for_a_router(machine: Machine) -> None:
    """As the kernel's own WireGuard has it; here the host would have its devices make link-local addresses."""
    client = prepared(machine, "host")
    machine.run("sysctl -q -w net.ipv6.conf.default.addr_gen_mode=0 net.ipv6.conf.all.addr_gen_mode=0")
    client.up()
    found = json.loads(machine.run("ip -json -6 address show dev wg0"))[0]["addr_info"]
    assert [each["scope"] for each in found] == ["global"]
