#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: whether the host's own firewall lets the tunnel's packets pass."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_firewall
short_description: Refuse a host whose own firewall drops the tunnel's packets
version_added: 1.0.0
description:
  - Reads the rules of nftables, and of iptables as C(iptables-save) prints them, and fails where a chain that is not
    wg-migrate's drops one of the given packets for certain. The message says what to run on the host.
  - Changes nothing. Rules that it cannot judge, such as those for an address that is not known here, count as passing.
  - A host without C(nft) passes.
author:
  - wg-migrate developers (@wg-migrate)
attributes:
  check_mode:
    description: Only reads, so it does the same.
    support: full
  diff_mode:
    description: There is nothing to differ.
    support: none
options:
  tunnel:
    description: Name of the tunnel's device.
    type: str
    default: ""
  listen_port:
    description: UDP port at which WireGuard must be reached. 0 for none.
    type: int
    default: 0
  forwards:
    description: What must be forwarded from O(tunnel) to the uplink, and the answers back.
    type: list
    elements: dict
    default: []
    suboptions:
      protocol:
        description: The protocol.
        type: str
        choices: [tcp, udp]
        required: true
      port:
        description: The port it goes to.
        type: int
        required: true
      address:
        description: The IPv4 address it goes to. Without it, any.
        type: str
  calls:
    description: The WireGuard peers that this host sends to.
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: IPv4 address.
        type: str
        required: true
      port:
        description: UDP port.
        type: int
        required: true
      uplink:
        description: The device by which alone it is sent there. Without it, that of the default route.
        type: str
        default: ""
"""

EXAMPLES = r"""
- name: Refuse a proxy that would not forward
  host_firewall:
    tunnel: wgnet
    listen_port: 51820
    forwards:
      - {protocol: udp, port: 51820, address: 203.0.113.20}
"""

RETURN = r"""
judged:
  description: Whether the host has C(nft), so that there was something to read.
  returned: success
  type: bool
  sample: true
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.wg_migrate import host_firewall
from ansible.module_utils.wg_migrate.errors import told_by
from ansible.module_utils.wg_migrate.system import System
from ansible.module_utils.wg_migrate.uplink import uplink_device

ARGUMENT_SPEC = {
    "tunnel": {"type": "str", "default": ""},
    "listen_port": {"type": "int", "default": 0},
    "forwards": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "protocol": {"type": "str", "choices": ["tcp", "udp"], "required": True},
            "port": {"type": "int", "required": True},
            "address": {"type": "str"},
        },
    },
    "calls": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "address": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "uplink": {"type": "str", "default": ""},
        },
    },
}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    asked, system = module.params, System()
    with told_by(module.fail_json):
        uplink, _ = uplink_device(system)
        flows = host_firewall.forwarding(asked["tunnel"], uplink, asked["forwards"])
        flows += host_firewall.calling(uplink, asked["calls"])
        if asked["listen_port"]:
            flows += host_firewall.listening(uplink, asked["listen_port"])
        judged = host_firewall.check(system, flows)
    module.exit_json(changed=False, judged=judged)


if __name__ == "__main__":
    main()
