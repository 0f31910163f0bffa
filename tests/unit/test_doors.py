"""Which addresses an exit lets in: those from which it hears the proxies, whatever family clients reach them by."""

from __future__ import annotations

from typing import Any

import pytest
from wg_migrate.inventory import Host, Inventory
from wg_migrate.network import Network, plan_network

FACTS = {"interfaces": ["eth0"], "eth0": {"ipv4": {"address": "192.0.2.20"}}}


def plan(**proxy: Any) -> Network:
    """Plan a network whose exit is reached over IPv6 and whose first proxy over IPv4; `proxy` are its variables."""
    return plan_network(
        Inventory(
            [Host("client", {"ansible_host": "192.0.2.10"})],
            [
                Host("wgnet1", {"ansible_host": "192.0.2.11", **proxy}),
                Host("wgnet2", {"ansible_host": "2001:db8:1::12"}),
            ],
            [Host("exit", {"ansible_host": "2001:db8::20", "ansible_facts": FACTS})],
        )
    )


def test_a_proxy_comes_in_by_its_address_of_the_exits_family() -> None:
    hosts = plan(ansible_facts={"default_ipv6": {"address": "2001:db8::11"}}).hosts
    assert hosts["exit"]["proxies"] == [
        {"name": "wgnet1", "address": "2001:db8::11"},
        {"name": "wgnet2", "address": "2001:db8:1::12"},
    ]
    assert [path["address"] for path in hosts["client"]["paths"]] == ["192.0.2.11", "2001:db8:1::12"]


@pytest.mark.parametrize("proxy", [{}, {"ansible_facts": {"default_ipv6": {}}}], ids=str)
def test_a_proxy_without_such_an_address_is_refused(proxy: dict[str, Any]) -> None:
    network = plan(**proxy)
    assert network.hosts == {}
    assert " ".join(network.errors) == (
        "wgnet1 goes on to exit over IPv6 (to 2001:db8::20), and it is not known from which address: give wgnet1 a "
        "default route of IPv6; where --limit leaves wgnet1 out, run without it."
    )
