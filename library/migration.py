#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: the migration loop."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: migration
short_description: Start or stop the migration loop, or change its schedule
version_added: 1.0.0
description:
  - The loop moves the client's inner tunnel from path to path. It is the service C(wg-migrate-loop.service).
  - A running loop is told a new schedule over its control socket; it is not restarted, and no packet is lost.
author:
  - wg-migrate developers (@wg-migrate)
attributes:
  check_mode:
    description: Says what would be done and changes nothing.
    support: full
  diff_mode:
    description: Shows state and schedule before and after.
    support: full
options:
  state:
    description:
      - V(started) runs the loop now and after every boot.
      - V(stopped) stops it now and for good; the traffic stays on the path where it is.
      - V(absent) also forgets the schedule.
    type: str
    choices: [started, stopped, absent]
    default: started
  interval:
    description:
      - Seconds between two switches, from 0.001 to 86400, where O(schedule) does not say when to switch.
      - With O(state=started), this or O(schedule) is required.
    type: raw
  schedule:
    description:
      - When to switch and to which path. Its keys are those of role C(migration)'s C(migration_schedule).
      - Refused, before anything is changed, where a key is unknown, out of range, or does not fit the client's paths.
    type: dict
seealso:
  - module: double_tunnel
"""

EXAMPLES = r"""
- name: Switch ten times a second
  migration:
    state: started
    interval: 0.1

- name: Switch after batches of packets, with weights drawn anew for each minute
  migration:
    schedule:
      packets: [50, 70]
      strategy: dirichlet
      max_share: 0.6
      session: 60

- name: Stay on one path
  migration:
    state: stopped
"""

RETURN = r"""
actions:
  description: What was done, or would be in check mode, in words.
  returned: always
  type: list
  elements: str
  sample: ["systemctl start wg-migrate-loop.service"]
before:
  description: State and schedule before.
  returned: always
  type: dict
  sample: {"state": "stopped", "at_boot": false, "schedule": null}
after:
  description: State and schedule as wanted.
  returned: always
  type: dict
  sample: {"state": "started", "at_boot": true, "schedule": {"period": 0.1, "strategy": "round_robin"}}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.wg_migrate import loop_state
from ansible.module_utils.wg_migrate.errors import told_by
from ansible.module_utils.wg_migrate.system import System

ARGUMENT_SPEC = {
    "state": {"type": "str", "choices": ["started", "stopped", "absent"], "default": "started"},
    "interval": {"type": "raw"},
    "schedule": {"type": "dict"},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        required_if=[("state", "started", ("interval", "schedule"), True)],
        supports_check_mode=True,
    )
    system = System()
    with told_by(module.fail_json):
        want = loop_state.wanted(system, *(module.params[name] for name in ("state", "interval", "schedule")))
        have = loop_state.read(system)
        actions = loop_state.plan(have, want)
        if not module.check_mode:
            loop_state.apply(system, actions, want)
    before, after = have.readable(), want.readable() if actions else have.readable()
    module.exit_json(
        changed=bool(actions),
        actions=actions,
        before=before,
        after=after,
        diff={"before": before, "after": after},
    )


if __name__ == "__main__":
    main()
