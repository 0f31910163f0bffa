#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: what the client's double tunnel is doing."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: double_tunnel_info
short_description: Tell what the client's double tunnel and its migration loop are doing
version_added: 1.0.0
description:
  - Returns what C(wg-migrate status --json) prints on the client. Changes nothing.
author:
  - wg-migrate developers (@wg-migrate)
attributes:
  check_mode:
    description: It only reads.
    support: full
  diff_mode:
    description: It changes nothing, so there is nothing to show.
    support: none
options: {}
seealso:
  - module: double_tunnel
  - module: migration
"""

EXAMPLES = r"""
- name: Ask the client
  double_tunnel_info:
  register: __play_tunnel

- name: Show the path that carries the traffic now
  ansible.builtin.debug:
    var: __play_tunnel['tunnel']['active']
"""

RETURN = r"""
tunnel:
  description: State of the tunnel. Times are in seconds; packets and bytes of a path are those inside its outer tunnel.
  returned: success
  type: dict
  contains:
    up:
      description: Whether every device is where it belongs.
      type: bool
      returned: success
    active:
      description: The path that the default route of namespace C(wgnet) stands on.
      type: str
      returned: success
    paths:
      description: For each path its proxy, session, counters and switches.
      type: dict
      returned: success
    loop:
      description: Interval, switches and lateness of the running loop; null where none runs.
      type: dict
      returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.wg_migrate.errors import WgMigrateError
from ansible.module_utils.wg_migrate.report import report
from ansible.module_utils.wg_migrate.system import System


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    try:
        state = report(System())
    except WgMigrateError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, tunnel=state)


if __name__ == "__main__":
    main()
