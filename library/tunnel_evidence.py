#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: evidence for what a double-tunnelled network promises."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: tunnel_evidence
short_description: Gather evidence for what a double-tunnelled network promises
version_added: 1.0.0
description:
  - Run in one task on clients, exits and observers, so that all of them look at the same seconds.
  - A client makes traffic and tells which address was seen, which paths carried it, and what left by its uplink.
  - An exit tells from which proxies it heard each client.
  - An observer, a machine that sees the wire between the hosts, tells what the clients put on it.
author:
  - wg-migrate developers (@wg-migrate)
attributes:
  check_mode:
    description: It only looks, and does so in check mode too.
    support: full
  diff_mode:
    description: It changes nothing, so there is nothing to show.
    support: none
options:
  part:
    description: What this host is.
    type: str
    choices: [client, exit, observer]
    required: true
  seconds:
    description: How long to look.
    type: float
    default: 5.0
  url:
    description: An address that answers with the address that asked, as plain text. Required for a client.
    type: str
  strict:
    description: On a client with scope V(namespace), take every packet that is no tunnel's or management's for a leak.
    type: bool
    default: false
  device:
    description: The device of the tunnel on an exit, the device to watch on an observer. Required for both.
    type: str
  clients:
    description: For an observer, the clients' addresses.
    type: list
    elements: str
    default: []
  endpoints:
    description: For an observer, the proxies as C(ADDRESS:PORT).
    type: list
    elements: str
    default: []
  management_ports:
    description: For an observer, the TCP ports at which clients are managed.
    type: list
    elements: int
    default: [22]
seealso:
  - module: double_tunnel_info
"""

EXAMPLES = r"""
- name: Look for five seconds
  tunnel_evidence:
    part: client
    url: http://192.0.2.80/whoami
  register: __play_evidence
"""

RETURN = r"""
evidence:
  description: What was seen; the keys depend on O(part).
  returned: success
  type: dict
  sample: {"seen": {"203.0.113.20": 120}, "errors": [], "switches": 50}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.wg_migrate import evidence
from ansible.module_utils.wg_migrate.errors import WgMigrateError
from ansible.module_utils.wg_migrate.system import System

ARGUMENT_SPEC = {
    "part": {"type": "str", "choices": ["client", "exit", "observer"], "required": True},
    "seconds": {"type": "float", "default": 5.0},
    "url": {"type": "str"},
    "strict": {"type": "bool", "default": False},
    "device": {"type": "str"},
    "clients": {"type": "list", "elements": "str", "default": []},
    "endpoints": {"type": "list", "elements": "str", "default": []},
    "management_ports": {"type": "list", "elements": "int", "default": [22]},
}


def gather(params: dict[str, Any]) -> dict[str, Any]:
    """Return the evidence of this host's part; raises WgMigrateError."""
    found: dict[str, Any]
    if params["part"] == "client":
        found = evidence.of_client(System(), params["url"], params["seconds"], params["strict"])
    elif params["part"] == "exit":
        found = evidence.of_exit(System(), params["device"], params["seconds"])
    else:
        pairs = (text.rpartition(":") for text in params["endpoints"])
        endpoints = [(address, int(port)) for address, _, port in pairs]
        clients, ports = params["clients"], params["management_ports"]
        found = evidence.of_observer(params["device"], params["seconds"], clients, endpoints, ports)
    return found


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        required_if=[
            ("part", "client", ("url",)),
            ("part", "exit", ("device",)),
            ("part", "observer", ("device",)),
        ],
        supports_check_mode=True,
    )
    try:
        module.exit_json(changed=False, evidence=gather(module.params))
    except WgMigrateError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
