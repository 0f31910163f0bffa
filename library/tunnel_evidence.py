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
    description: How long to look, 0.1 to 3600.
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

import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.wg_migrate import evidence
from ansible.module_utils.wg_migrate.errors import WgMigrateError, told_by
from ansible.module_utils.wg_migrate.reading import read_number, shown
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
_LONGEST = 3600.0
"""Seconds: a host is not kept for longer than this."""
_SHAPES = (
    ("url", re.compile(r"https?://[!-~]{1,1000}"), "an address such as http://192.0.2.80/whoami"),
    ("device", re.compile(r"[!-.0-~]{1,15}"), "the name of a network device, such as eth0"),
    ("clients", re.compile(r"[0-9A-Fa-f.:]{2,45}"), "addresses such as 192.0.2.7"),
    (
        "endpoints",
        re.compile(r"([0-9.]{7,15}|\[[0-9a-f:.]+\]):[0-9]{1,5}"),
        "addresses and ports, as 192.0.2.11:51820",
    ),
    ("management_ports", re.compile(r"[0-9]{1,5}"), "TCP ports such as 22"),
)
"""What the options look like, and what to write for them."""


def gather(params: dict[str, Any]) -> dict[str, Any]:
    """Return the evidence of this host's part; raises WgMigrateError."""
    found: dict[str, Any]
    refuse_bad(params)
    if params["part"] == "client":
        found = evidence.of_client(System(), params["url"], params["seconds"], params["strict"])
    elif params["part"] == "exit":
        found = evidence.of_exit(System(), params["device"], params["seconds"])
    else:
        pairs = (text.rpartition(":") for text in params["endpoints"])
        endpoints = [(address.strip("[]"), int(port)) for address, _, port in pairs]
        clients, ports = params["clients"], params["management_ports"]
        found = evidence.of_observer(params["device"], params["seconds"], clients, endpoints, ports)
    return found


def refuse_bad(params: dict[str, Any]) -> None:
    """Raise WgMigrateError for what cannot be looked at, or not within an hour."""
    read_number("seconds", params["seconds"], 0.1, _LONGEST, "5")
    for name, shape, wanted in _SHAPES:
        values = params[name] if isinstance(params[name], list) else [params[name]]
        for value in values:
            if value is not None and not shape.fullmatch(str(value)):
                raise WgMigrateError(f"{name}: {shown(value)} is refused: write {wanted}")


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
    with told_by(module.fail_json):
        found = gather(module.params)
    module.exit_json(changed=False, evidence=found)


if __name__ == "__main__":
    main()
