#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: a wg-quick interface with its own firewall table and kernel settings."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wireguard_quick
short_description: Keep a wg-quick interface with its own nft table and kernel settings
version_added: 1.0.0
description:
  - Writes C(/etc/wireguard/NAME.conf), and enables and starts C(wg-quick@NAME).
  - Compares with what runs, not only with files, so that a run that was cut off is finished by the next one.
  - Peers that come, go or change never disturb the others; their routes follow. Another private key ends all
    sessions; another port, MTU or address restarts the interface.
  - The firewall is one table C(inet wg_migrate_NAME), loaded before the interface is up, also at boot. It is compared
    by a fingerprint in its comment.
  - A file, device or unit of that name that wg-migrate did not make is refused, or left alone by O(state=absent).
author:
  - wg-migrate developers (@wg-migrate)
attributes:
  check_mode:
    description: Says what would be done and changes nothing, also where neither C(wg) nor C(nft) is installed yet.
    support: full
  diff_mode:
    description: Shows the files that change. Keys are masked.
    support: full
options:
  name:
    description: Name of the interface, 1 to 15 letters, digits, C(_) or C(-).
    type: str
    required: true
  state:
    description:
      - V(absent) stops and disables the unit, removes its files and its table, and gives the kernel settings of
        O(sysctls) the values that they had before.
    type: str
    choices: [present, absent]
    default: present
  addresses:
    description: The interface's own addresses with prefix lengths. None is enough to forward.
    type: list
    elements: str
    default: []
  listen_port:
    description: UDP port to listen at. Without it WireGuard takes a free one.
    type: int
  mtu:
    description: MTU of the interface in bytes, 1280 or more. Without it wg-quick takes the uplink's less 80.
    type: int
  private_key_file:
    description: File with the private key, as M(wireguard_keys) makes it. In check mode it may be missing.
    type: path
  next_private_key_file:
    description:
      - Where this file is there, its key takes the place of the one in O(private_key_file), and the file goes. All
        sessions end with the old key, and nothing is restarted.
    type: path
  peers:
    description:
      - All peers. A peer that is not listed is removed.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the peer, written as a comment beside its keys. Unique.
        type: str
        required: true
      public_key:
        description:
          - The peer's public key.
          - Without it the key that this peer has on the host stays. If it has none, the peer is left out, with a
            warning.
        type: str
      preshared_key:
        description:
          - The key that both ends share besides. An empty one is none.
          - Without it the key that this peer has on the host stays.
        type: str
      allowed_ips:
        description: Networks behind the peer. Each also gets a route, unless an address in O(addresses) covers it.
        type: list
        elements: str
        default: []
  nftables:
    description: Body of the table, the chains and sets as they stand between its braces. Empty for no table.
    type: str
    default: ""
  sysctls:
    description:
      - Kernel settings by dotted name.
      - With C(net.ipv6.conf.all.forwarding), C(accept_ra) of an uplink that has its default route from router
        advertisements becomes 2, without which the kernel would forget the route.
    type: dict
    default: {}
requirements:
  - wireguard-tools
  - nftables (for O(nftables))
  - procps (for O(sysctls))
  - systemd
seealso:
  - module: wireguard_keys
"""

EXAMPLES = r"""
- name: Keep an interface for two peers
  wireguard_quick:
    name: wgnet
    listen_port: 51820
    mtu: 1420
    private_key_file: /etc/wireguard/wgnet.key
    peers:
      - name: laptop
        public_key: "{{ laptop_public_key }}"
        preshared_key: "{{ laptop_preshared_key }}"
        allowed_ips: [10.87.0.2/32]
      - name: not-in-this-run
        allowed_ips: [10.87.0.3/32]
    sysctls:
      net.ipv4.ip_forward: 1
    nftables: |
      chain forward {
        type filter hook forward priority filter; policy accept;
        iifname "wgnet" oifname "wgnet" drop
      }

- name: Take it away
  wireguard_quick:
    name: wgnet
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or would be in check mode, in words.
  returned: always
  type: list
  elements: str
  sample: ["write /etc/wireguard/wgnet.conf", "reload wg-quick@wgnet.service: add peer laptop"]
before:
  description: The interface as it ran before. Preshared keys are masked.
  returned: always
  type: dict
  sample: {}
after:
  description: The interface as it runs now, or would in check mode. C(nftables) is the table's fingerprint.
  returned: always
  type: dict
  sample: {"name": "wgnet", "enabled": true, "active": true, "listen_port": 51820, "mtu": 1420}
left_out:
  description: Names of peers that were left out because their public keys are not known yet.
  returned: when O(state=present)
  type: list
  elements: str
  sample: []
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.wg_migrate import keys, quick, quick_conf, quick_have, quick_show
from ansible.module_utils.wg_migrate.errors import WgMigrateError, told_by
from ansible.module_utils.wg_migrate.reading import read_path
from ansible.module_utils.wg_migrate.system import System

ARGUMENT_SPEC = quick_conf.ARGUMENT_SPEC


def run_present(module: AnsibleModule, system: System) -> dict[str, Any]:
    """Make the interface as the parameters say and return the result; raises WgMigrateError."""
    replacement = _replacement(module, system)
    asked = quick_conf.wanted(module.params, replacement.text if replacement else _private_key(module, system))
    want = quick_have.with_advertised_routes(system, asked)
    have = quick_have.read(system, want.name, want.sysctls)
    planned = quick.plan(have, want, replacement)
    if not module.check_mode:
        quick.apply(system, planned.steps)
    for name in planned.left_out:
        module.warn(
            f"Peer '{name}' is left out of {want.name}: nobody knows its public key yet. Run again without --limit."
        )
    result: dict[str, Any] = quick_show.result(have, want, planned)
    return result


def _private_key(module: AnsibleModule, system: System) -> str:
    path = read_path("private_key_file", module.params["private_key_file"])
    key = (system.read(path) or "").strip()
    if not keys.is_key(key) and not module.check_mode:
        raise WgMigrateError(f"There is no private key in {path}: make one with wireguard_keys first.")
    return key if keys.is_key(key) else ""


def _replacement(module: AnsibleModule, system: System) -> quick.Replacement | None:
    """Return the key that takes the place of the old one, if there is one; raises WgMigrateError for what is none."""
    if module.params["next_private_key_file"] is None:
        return None
    path = read_path("next_private_key_file", module.params["next_private_key_file"])
    text = (system.read(path) or "").strip()
    if not text:
        return None
    if not keys.is_key(text):
        raise WgMigrateError(f"{path} holds no WireGuard key: remove it, and make one with wireguard_keys.")
    return quick.Replacement(text, path, read_path("private_key_file", module.params["private_key_file"]))


def run_absent(module: AnsibleModule, system: System) -> dict[str, Any]:
    """Take the interface away and return the result; raises WgMigrateError."""
    name = module.params["name"]
    quick_conf.check_name(name)
    have = quick_have.read(system, name, ())
    planned = quick.plan_absent(have, name)
    if planned.steps and not module.check_mode:
        quick.apply(system, planned.steps)
        quick.remove_directories(system, name)
    before = quick_show.describe(have, name)
    return {
        "changed": bool(planned.steps),
        "actions": planned.actions,
        "before": before,
        "after": quick_show.describe_absent(have, name) if planned.steps else before,
        "diff": quick_show.diff(have, planned, None, name) if planned.steps else [],
    }


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        supports_check_mode=True,
        required_if=[("state", "present", ["private_key_file"])],
    )
    run = run_present if module.params["state"] == "present" else run_absent
    with told_by(module.fail_json):
        result = run(module, System())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
