#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: keys of WireGuard, born on the host that uses them."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wireguard_keys
short_description: Keep WireGuard key pairs and preshared keys in a directory
version_added: 1.0.0
description:
  - Makes the keys that are missing, on the host itself, so that a private key never leaves it; those of O(given_pairs)
    come from elsewhere.
  - A private key is C(NAME.key), a preshared key is C(NAME.psk); both are files with mode 0600.
  - A key that exists is never replaced, except one of O(given) or O(given_pairs) that differs. A file that holds no key
    is an error.
author:
  - wg-migrate developers (@wg-migrate)
attributes:
  check_mode:
    description: Says what would be made or removed and changes nothing, also where C(wg) is not installed yet.
    support: full
  diff_mode:
    description: Shows files and modes. Keys are masked.
    support: full
options:
  directory:
    description: Directory of the key files. It is made if it is missing.
    type: path
    required: true
  pairs:
    description: Names of key pairs that are born on this host.
    type: list
    elements: str
    default: []
  preshared:
    description: Names of preshared keys that are born on this host.
    type: list
    elements: str
    default: []
  given:
    description:
      - Preshared keys that were born at the other end, by name.
      - With O(state=absent) only the names count.
    type: dict
    default: {}
  given_pairs:
    description:
      - Private keys that somebody else made, as a provider of WireGuard does, by name.
      - With O(state=absent) only the names count.
    type: dict
    default: {}
  reveal_preshared:
    description:
      - Return the keys of O(preshared) in RV(preshared_keys), to be handed to the other end.
      - Set C(no_log) on such a task.
    type: bool
    default: false
  state:
    description:
      - V(present) makes what is missing.
      - V(absent) removes exactly the named files, and O(directory) if that leaves it empty and no package owns it.
    type: str
    choices: [present, absent]
    default: present
requirements:
  - wireguard-tools (only to make keys)
seealso:
  - module: wireguard_quick
"""

EXAMPLES = r"""
- name: Make the key pair of a tunnel end
  wireguard_keys:
    directory: /etc/wireguard
    pairs: [wgnet]
  register: __play_keys

- name: Show the public key
  ansible.builtin.debug:
    var: __play_keys['public_keys']['wgnet']

- name: Make preshared keys and hand them to the controller
  wireguard_keys:
    directory: /etc/wg-migrate/keys
    preshared: [wgnet1, wgnet2]
    reveal_preshared: true
  no_log: true
  register: __play_preshared

- name: Remove the key pair
  wireguard_keys:
    directory: /etc/wireguard
    pairs: [wgnet]
    state: absent
"""

RETURN = r"""
public_keys:
  description:
    - Public key of each of O(pairs) that exists, by name.
    - In check mode a pair that is not made yet is missing here, and so is every pair where C(wg) is not installed.
  returned: when O(state=present)
  type: dict
  sample: {"wgnet": "(44 characters of base64)"}
preshared_keys:
  description: Preshared keys born here, by name. Secret.
  returned: when O(reveal_preshared=true) and O(state=present)
  type: dict
  sample: {}
actions:
  description: What was done, or would be in check mode, in words.
  returned: always
  type: list
  elements: str
  sample: ["make a private key in /etc/wireguard/wgnet.key"]
before:
  description: The key files before, without the keys.
  returned: always
  type: dict
  sample: {}
after:
  description: The key files after, without the keys.
  returned: always
  type: dict
  sample: {"/etc/wireguard/wgnet.key": {"key": "(new secret)", "mode": "0600"}}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.wg_migrate import keys
from ansible.module_utils.wg_migrate.errors import WgMigrateError, told_by
from ansible.module_utils.wg_migrate.reading import read_path
from ansible.module_utils.wg_migrate.system import System

ARGUMENT_SPEC = {
    "directory": {"type": "path", "required": True},
    "pairs": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "preshared": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "given": {"type": "dict", "default": {}, "no_log": True},
    "given_pairs": {"type": "dict", "default": {}, "no_log": True},
    "reveal_preshared": {"type": "bool", "default": False, "no_log": False},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def run(module: AnsibleModule, system: System) -> dict[str, Any]:
    """Do what the module's parameters say and return its result; raises WgMigrateError."""
    given = module.params
    born = tuple(given["pairs"]), tuple(given["preshared"])
    want = keys.Wanted(given["directory"], *born, given["given"], given["given_pairs"])
    present = given["state"] == "present"
    read_path("directory", want.directory)
    if present and not all(isinstance(key, str) for key in (*want.given.values(), *want.given_pairs.values())):
        raise WgMigrateError("A key in given or given_pairs is no text: write what 'wg genpsk' or 'wg genkey' prints.")
    keys.check(want)
    have = keys.read(system, want)
    actions = keys.plan(have, want) if present else keys.plan_absent(have, want)
    if not module.check_mode:
        keys.apply(system, actions)
        if not present and actions:
            keys.remove_directory(system, want.directory)

    before, after = keys.describe(have), keys.describe_after(have, actions)
    result = {
        "changed": bool(actions),
        "actions": [action.words for action in actions],
        "before": before,
        "after": after,
        "diff": {"before": before, "after": after},
    }
    if present:
        result["public_keys"] = keys.public_keys(system, want)
    if present and given["reveal_preshared"]:
        result["preshared_keys"] = keys.preshared_keys(system, want)
    return result


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    with told_by(module.fail_json):
        result = run(module, System())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
