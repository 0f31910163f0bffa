#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: packages that come for us and go with us."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: brought_packages
short_description: Install Debian packages, with a record of what came, and purge just that again
version_added: 1.0.0
description:
  - Installs packages that are missing, without recommended ones, and writes down which packages came, dependencies
    included, before the first of them is installed.
  - M(ansible.builtin.apt) keeps no such record, and wants C(python3-apt), which it would install beside it.
author:
  - wg-migrate developers (@wg-migrate)
attributes:
  check_mode:
    description: Says which packages are missing and changes nothing; no lists of packages are read.
    support: full
  diff_mode:
    description: Shows the packages that come or go.
    support: full
options:
  names:
    description: Packages that are to be there. Not with O(state=absent), which purges what O(record) has.
    type: list
    elements: str
    default: []
  record:
    description: File with the names of those that came, one a line. Its directory goes with it where it is empty then.
    type: path
    required: true
  idle_units:
    description: Lists of units, by package, which are masked when the package comes and free when it goes.
    type: dict
    default: {}
  users:
    description: Users, by package, that a package leaves behind when it goes.
    type: dict
    default: {}
  advice:
    description: What else helps where packages are not to be had, a sentence of the message then.
    type: str
    default: ""
  state:
    description:
      - V(available) has them in the lists of packages, which are read anew where they lack one, or one must be fetched,
        and fails where they are not to be had. Nothing else is changed.
      - V(present) installs them, V(absent) purges all that came.
    type: str
    choices: [available, present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Install tcpdump for a while
  brought_packages:
    names: [tcpdump]
    record: /var/lib/wg-migrate/capture-packages

- name: Purge what came with it
  brought_packages:
    record: /var/lib/wg-migrate/capture-packages
    state: absent
"""

RETURN = r"""
packages:
  description: Those that came, or went; in check mode those that are missing, or recorded.
  returned: always
  type: list
  elements: str
  sample: [libpcap0.8t64, tcpdump]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.wg_migrate import packages
from ansible.module_utils.wg_migrate.errors import told_by
from ansible.module_utils.wg_migrate.system import System

ARGUMENT_SPEC = {
    "names": {"type": "list", "elements": "str", "default": []},
    "record": {"type": "path", "required": True},
    "idle_units": {"type": "dict", "default": {}},
    "users": {"type": "dict", "default": {}},
    "advice": {"type": "str", "default": ""},
    "state": {"type": "str", "choices": ["available", "present", "absent"], "default": "present"},
}


def run(system: System, want: packages.Wanted, state: str, check: bool) -> dict[str, Any]:
    """Do what the parameters say, or only look, and return the result; raises WgMigrateError."""
    if state == "absent":
        recorded = packages.recorded(system, want)
        gone = recorded if check else packages.purge(system, want)
        return _result(bool(recorded), gone, "before")
    missing = packages.missing(system, want)
    if state == "available":
        if missing and not check:
            packages.make_available(system, want, missing)
        return _result(False, missing)
    came = packages.install(system, want, missing) if missing and not check else missing
    return _result(bool(missing), came)


def _result(changed: bool, names: list[str], shown_as: str = "after") -> dict[str, Any]:
    listed = "".join(f"{name}\n" for name in names) if changed else ""
    return {"changed": changed, "packages": names, "diff": {"before": "", "after": "", shown_as: listed}}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    given = module.params
    options = {name: given[name] for name in ("record", "idle_units", "users", "advice")}
    with told_by(module.fail_json):
        want = packages.Wanted(tuple(given["names"]), **options)
        packages.refuse_bad_names(want)
        result = run(System(packages.APT_TIMEOUT), want, given["state"], module.check_mode)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
