#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: a set of our own files."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: own_files
short_description: Keep a set of files that belong to wg-migrate as given, in one call
version_added: 1.0.0
description:
  - Writes the files that are missing or differ and removes those that have been dropped from the set, in one call to
    the host where M(ansible.builtin.copy) would need two for each file.
author:
  - wg-migrate developers (@wg-migrate)
attributes:
  check_mode:
    description: Says what would be done and changes nothing.
    support: full
  diff_mode:
    description: Shows the files that differ.
    support: full
options:
  files:
    description: Texts by absolute path. Owner is root, mode 0644.
    type: dict
    required: true
  executables:
    description: Those of O(files) that are run as programs, with mode 0755.
    type: list
    elements: path
    default: []
  exclusive:
    description:
      - Directories that belong to the set; other files in them are removed. C(wg-migrate) or C(wg_migrate) must be in
        their paths.
    type: list
    elements: path
    default: []
  state:
    description: V(absent) removes O(files) and the directories O(exclusive).
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Install a program
  own_files:
    files:
      /usr/local/bin/hello: |
        #!/bin/sh
        echo hello
    executables: [/usr/local/bin/hello]
"""

RETURN = r"""
actions:
  description: What was done, or would be in check mode, in words.
  returned: always
  type: list
  elements: str
  sample: ["make /usr/local/bin/hello"]
before:
  description: Mode of each file before.
  returned: always
  type: dict
  sample: {}
after:
  description: Mode of each file after.
  returned: always
  type: dict
  sample: {"/usr/local/bin/hello": "0755"}
"""

import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.wg_migrate import own_files
from ansible.module_utils.wg_migrate.errors import WgMigrateError, told_by
from ansible.module_utils.wg_migrate.reading import read_path, shown
from ansible.module_utils.wg_migrate.system import System

ARGUMENT_SPEC = {
    "files": {"type": "dict", "required": True},
    "executables": {"type": "list", "elements": "path", "default": []},
    "exclusive": {"type": "list", "elements": "path", "default": []},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}
_NO_TEXT = re.compile(r"[\ud800-\udfff]")
"""Halves of characters, which no file can hold."""
_OUR_NAME = re.compile(r"/wg[-_]migrate(/|$)")


def _modes(state: own_files.State) -> dict[str, str]:
    return {path: f"{mode:04o}" for path, (mode, _text) in sorted(state.items())}


def _differences(steps: list[tuple[str, str]], have: own_files.State, want: own_files.State) -> list[dict[str, str]]:
    return [
        {
            "before_header": path,
            "after_header": path,
            "before": have.get(path, (0, ""))[1],
            "after": want.get(path, (0, ""))[1],
        }
        for _verb, path in steps
    ]


def refuse_foreign(wanted: own_files.Wanted) -> None:
    """Raise WgMigrateError for what is no path or no text, and for directories that do not bear our name."""
    for path, text in wanted.files.items():
        read_path("a file's path", path)
        if path.endswith("/"):
            raise WgMigrateError(f"{path} is no file's path: write it without the last /")
        if not isinstance(text, str) or _NO_TEXT.search(text):
            raise WgMigrateError(f"the text of {path} is {shown(text)}: write text")
    for path in sorted(wanted.executables - set(wanted.files)):
        raise WgMigrateError(f"{shown(path)} of executables is none of files: write it there, too, or leave it out")
    for path in wanted.exclusive:
        read_path("a directory's path", path)
        if not _OUR_NAME.search(path):
            raise WgMigrateError(
                f"{shown(path)} cannot be exclusive, for others may have files in it: write a directory whose path has "
                "wg-migrate in it"
            )


def run(module: AnsibleModule, system: System) -> dict[str, Any]:
    """Do what the module's parameters say and return its result; raises WgMigrateError."""
    given = module.params
    wanted = own_files.Wanted(given["files"], frozenset(given["executables"]), tuple(given["exclusive"]))
    refuse_foreign(wanted)
    present = given["state"] == "present"
    have = own_files.read(system, wanted)
    want = own_files.wanted_state(wanted) if present else {}
    steps = own_files.plan(have, want)
    if not module.check_mode:
        own_files.apply(system, steps, want)
        if not present:
            own_files.remove_directories(system, wanted)
    return {
        "changed": bool(steps),
        "actions": [" ".join(step) for step in steps],
        "before": _modes(have),
        "after": _modes(want),
        "diff": _differences(steps, have, want),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    with told_by(module.fail_json):
        result = run(module, System())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
