#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of an action: all that it does is in action_plugins/host_facts.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_facts
short_description: Look at a host by one command of the shell
version_added: 1.0.0
description:
  - Tells the facts of the network that the roles need, under the names that M(ansible.builtin.setup) has for them, in
    a tenth of the processor time.
  - Refuses a host that cannot be reached, where Ansible cannot become root, or whose Python is too old, and says what
    to write instead.
  - Needs C(become=true), and no Python on the host.
author:
  - wg-migrate developers (@wg-migrate)
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
options:
  packages:
    description: With them the host is asked, too, which of them it has, and what WireGuard needs.
    type: list
    elements: str
    default: []
seealso:
  - module: ansible.builtin.setup
"""

EXAMPLES = r"""
- name: Look at every host
  host_facts:
  become: true

- name: Show the MTU of the uplink
  ansible.builtin.debug:
    var: ansible_facts['default_ipv4']['mtu']
"""

RETURN = r"""
ansible_facts:
  description:
    - C(interfaces), and C(mtu), C(ipv4) and C(ipv6) of each; C(default_ipv4), C(default_ipv6), C(all_ipv4_addresses),
      C(all_ipv6_addresses); of C(env) only C(SSH_CONNECTION).
    - With O(packages) also C(wireguard), which has what the host C(can) do, the C(installed) of the packages, and
      whether there may be an C(other_firewall) than ours.
  returned: success
  type: dict
  sample: {"default_ipv4": {"interface": "eth0", "address": "192.0.2.11", "mtu": 1500}}
"""
