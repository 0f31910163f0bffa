"""The door through which verify.yml asks whom an exit has heard."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

DOCUMENTATION = """
name: wg_senders
author: wg-migrate developers (@wg-migrate)
version_added: 1.0.0
short_description: Tell which proxies an exit has heard
description:
  - Takes the addresses that an exit has heard, and tells which proxies they belong to.
positional: proxies
options:
  _input:
    description: Addresses, those of IPv6 with brackets or without.
    type: list
    elements: str
    required: true
  proxies:
    description: What may be heard; C(name), and C(address), which may be a network.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = """
- name: Show who was heard
  ansible.builtin.debug:
    msg: "{{ ['192.0.2.11', '203.0.113.3'] | wg_senders([{'name': 'proxy1', 'address': '192.0.2.11'}]) }}"
"""

RETURN = """
_value:
  description: RV(_value.names) of proxies, and RV(_value.strangers), addresses that are none of theirs.
  type: dict
"""


def wg_senders(heard: list[str], proxies: list[Mapping[str, str]]) -> dict[str, list[str]]:
    """Return which proxies the addresses that an exit has heard belong to, by name, and the addresses of strangers.

    The address of a proxy may be a network.
    """
    networks = [(proxy["name"], ipaddress.ip_network(proxy["address"])) for proxy in proxies]
    owners = {each: [name for name, network in networks if _address(each) in network] for each in heard}
    return {
        "names": sorted({name for names in owners.values() for name in names}),
        "strangers": sorted(each for each, names in owners.items() if not names),
    }


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text.strip("[]"))  # as `wg` writes one of IPv6


class FilterModule:
    """What Ansible looks for in a filter plugin file."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"wg_senders": wg_senders}
