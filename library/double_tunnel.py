#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: the client's double tunnel."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: double_tunnel
short_description: Build the client's double tunnel, or take it away
version_added: 1.0.0
description:
  - Makes the namespaces, WireGuard devices, addresses, routes and firewall tables of a client, whose inner tunnel
    C(wg0) can leave the host only inside one of the outer tunnels C(wgnet1), C(wgnet2) and so on.
  - Writes the configuration from which the unit C(wg-migrate.service) makes the same at every boot.
  - The keys must be in O(key_directory) already (module M(wireguard_keys)), and C(wg-migrate) with its units installed.
author:
  - wg-migrate developers (@wg-migrate)
attributes:
  check_mode:
    description: Says what would be done and changes nothing, also where no keys are made yet.
    support: full
  diff_mode:
    description: Shows the resources before and after. Preshared keys appear as digests.
    support: full
options:
  state:
    description: V(absent) removes the tunnel, its configuration and its unit's link, and needs no other option.
    type: str
    choices: [present, absent]
    default: present
  scope:
    description:
      - V(host) sends all traffic of this machine through the tunnel; only answers to O(management_sources) leave beside
        it.
      - V(namespace) sends through it only what runs in namespace C(comps).
    type: str
    choices: [host, namespace]
    default: host
  overlay_address:
    description: This client's address on the paths, of the family of the exit's address.
    type: str
  inner_address:
    description: The IPv4 address of C(wg0).
    type: str
  inner_address6:
    description: The IPv6 address of C(wg0). It is left out where this kernel has no IPv6.
    type: str
  exit:
    description: Where C(wg0) ends.
    type: dict
    suboptions:
      name:
        description: Name of the exit, and of the key files towards it.
        type: str
        required: true
      address:
        description: Its address.
        type: str
        required: true
      port:
        description: Its UDP port.
        type: int
        required: true
      inner_address:
        description: Its IPv4 address inside the tunnel.
        type: str
        required: true
      inner_address6:
        description: Its IPv6 address there.
        type: str
        required: true
      public_key:
        description: Its public key. Without it, the one that is configured already stays.
        type: str
  paths:
    description: The outer tunnels, in the order in which the loop goes round them.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the device.
        type: str
        required: true
      proxy:
        description: Name of the proxy, and of the key files towards it.
        type: str
        required: true
      address:
        description: The proxy's address.
        type: str
        required: true
      port:
        description: The proxy's UDP port.
        type: int
        required: true
      public_key:
        description:
          - The proxy's public key. Without it, the one that is configured already stays; a path whose proxy's key is
            not known is left out, with a warning.
        type: str
      uplink:
        description:
          - The only device by which the path leaves; empty for whichever the routes say. While table main has no route
            to the proxy by this device, the path is down.
        type: str
        default: ""
      own_address:
        description: The address by which a proxy that is not ours knows this client. Otherwise O(overlay_address).
        type: str
        default: ""
  key_directory:
    description: Directory with C(NAME.key) and C(NAME.psk) for the exit and each proxy.
    type: path
    default: /etc/wg-migrate/keys
  implementation:
    description: V(auto) takes the kernel's WireGuard where it has one, else wireguard-go (V(userspace)).
    type: str
    choices: [auto, kernel, userspace]
    default: auto
  uplink_mtu:
    description:
      - MTU of the uplink in bytes, from which all others follow. 0 reads it from the default route's device, and takes
        the smallest where paths are pinned to others.
    type: int
    default: 0
  keepalive:
    description: Seconds between two keepalives on each outer tunnel, 1 to 25.
    type: int
    default: 20
  management_sources:
    description:
      - With O(scope=host), the networks whose connections to O(management_ports) are answered outside the tunnel.
    type: list
    elements: str
    default: []
  management_ports:
    description: TCP ports of this host that the management uses.
    type: list
    elements: int
    default: [22]
  lan_networks:
    description:
      - With O(scope=host), networks that are reached outside the tunnel, as those of this host's own containers.
    type: list
    elements: str
    default: []
  dns_servers:
    description:
      - Addresses of resolvers that are reached through the tunnel. Every question for DNS goes to the first of them of
        its family. With none, the host's resolvers are asked, through the tunnel.
    type: list
    elements: str
    default: []
  confirm_within:
    description:
      - With O(scope=host), before or after, a change is taken back after so many seconds unless C(wg-migrate confirm)
        has run by then, over a new connection. 0 keeps it in any case.
    type: int
    default: 0
  status_group:
    description: Group of this host whose members may read the loop's status, and change nothing. Empty for none.
    type: str
    default: ""
seealso:
  - module: double_tunnel_info
  - module: migration
  - module: wireguard_keys
"""

EXAMPLES = r"""
- name: Build the double tunnel
  double_tunnel:
    scope: namespace
    overlay_address: 10.87.0.2
    inner_address: 10.87.16.2
    inner_address6: fd00:db8::2
    exit:
      name: exit
      address: 203.0.113.20
      port: 51820
      inner_address: 10.87.16.1
      inner_address6: fd00:db8::1
      public_key: "{{ exit_public_key }}"
    paths:
      - {name: wgnet1, proxy: proxy1, address: 192.0.2.11, port: 51820, public_key: "{{ proxy1_public_key }}"}
      - {name: wgnet2, proxy: proxy2, address: 198.51.100.12, port: 51820, public_key: "{{ proxy2_public_key }}"}

- name: Remove it
  double_tunnel:
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or would be in check mode, in words.
  returned: always
  type: list
  elements: str
  sample: ["make namespace wgnet", "make device wgnet1"]
before:
  description: The resources before, by their names.
  returned: always
  type: dict
  sample: {}
after:
  description: The resources as wanted, by their names.
  returned: always
  type: dict
  sample: {"namespace wgnet": true, "device wgnet1": "wgnet kernel"}
unconfirmed:
  description: Whether the change is taken back unless it is confirmed.
  returned: always
  type: bool
  sample: true
unknown_peers:
  description: Peers that are left out because their public keys are not known.
  returned: when O(state=present)
  type: list
  elements: str
  sample: []
paths_without_way:
  description: Paths whose uplink has no way to their proxy now. They come up with it.
  returned: when O(state=present)
  type: list
  elements: str
  sample: []
"""

from dataclasses import asdict, dataclass
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.wg_migrate import config as configuration
from ansible.module_utils.wg_migrate import confirmation, loop_state, tunnel, units
from ansible.module_utils.wg_migrate.errors import WgMigrateError, told_by
from ansible.module_utils.wg_migrate.system import System
from ansible.module_utils.wg_migrate.tunnel_apply import KEEPER_UNIT, LOOP_UNIT, TUNNEL_UNIT
from ansible.module_utils.wg_migrate.tunnel_want import pinned_paths, readable
from ansible.module_utils.wg_migrate.uplink import kernel_has_ipv6, kernel_has_wireguard, read_uplink_mtu, way_by

_PEER = {
    "address": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "public_key": {"type": "str", "no_log": False},
}
ARGUMENT_SPEC = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "scope": {"type": "str", "choices": ["host", "namespace"], "default": "host"},
    "overlay_address": {"type": "str"},
    "inner_address": {"type": "str"},
    "inner_address6": {"type": "str"},
    "exit": {
        "type": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "inner_address": {"type": "str", "required": True},
            "inner_address6": {"type": "str", "required": True},
            **_PEER,
        },
    },
    "paths": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "proxy": {"type": "str", "required": True},
            **_PEER,
            "uplink": {"type": "str", "default": ""},
            "own_address": {"type": "str", "default": ""},
        },
    },
    "key_directory": {"type": "path", "default": "/etc/wg-migrate/keys", "no_log": False},
    "implementation": {"type": "str", "choices": ["auto", "kernel", "userspace"], "default": "auto"},
    "uplink_mtu": {"type": "int", "default": 0},
    "keepalive": {"type": "int", "default": 20},
    "management_sources": {"type": "list", "elements": "str", "default": []},
    "management_ports": {"type": "list", "elements": "int", "default": [22]},
    "lan_networks": {"type": "list", "elements": "str", "default": []},
    "dns_servers": {"type": "list", "elements": "str", "default": []},
    "confirm_within": {"type": "int", "default": 0},
    "status_group": {"type": "str", "default": ""},
}


@dataclass(frozen=True)
class Outcome:
    """The resources before and after as plain data, what was done, and which peers and paths must wait."""

    before: dict[str, Any]
    after: dict[str, Any]
    actions: list[str]
    unknown_peers: list[str]
    paths_without_way: list[str]
    unconfirmed: bool = False


def build(params: dict[str, Any], check_mode: bool, system: System) -> Outcome:
    """Make the tunnel as the parameters say; raises WgMigrateError."""
    known = _known(system)
    wanted = configuration.keep_known_keys(configuration.parse(_document(params, system)), known)
    if not system.exists(configuration.PATH):
        tunnel.refuse_foreign_device(system)
    text, written = configuration.dump(wanted), system.read(configuration.PATH)
    unit_actions = [*units.plan_enabled(system, TUNNEL_UNIT), *units.plan_active(system, KEEPER_UNIT)]
    loop_actions = loop_state.plan_restart(system, wanted)
    if check_mode:
        change = tunnel.examine(system, wanted, ahead=True)
    else:
        planned = tunnel.examine(system, wanted).actions
        in_host = any(each is not None and each.scope == "host" for each in (known, wanted))
        if in_host and params["confirm_within"] and (planned or text != written):
            confirmation.arm(system, params["confirm_within"])
        # The configuration first: whatever cuts the rest short, the next boot finishes it.
        if text != written:
            system.write(configuration.PATH, text, 0o600)
        change = tunnel.up(system, wanted)
        units.apply(system, [*unit_actions, *loop_state.plan_restart(system, wanted)])
        if not system.exists(confirmation.MARKER):
            confirmation.keep(system)
    file_action = [f"{'change' if written else 'make'} file {configuration.PATH}"] if text != written else []
    before = {**readable(change.before), f"file {configuration.PATH}": written or ""}
    after = {**readable(change.after), f"file {configuration.PATH}": text}
    gone = [f"remove the keys for {peer}" for peer in configuration.gone_peers(wanted, known)]
    actions = [*file_action, *map(str, change.actions), *map(" ".join, unit_actions + loop_actions), *gone]
    waiting = [path.name for path in pinned_paths(wanted) if not way_by(system, path.uplink, path.address)]
    unconfirmed = system.exists(confirmation.MARKER)
    return Outcome(before, after, actions, configuration.unknown_peers(wanted), waiting, unconfirmed)


def remove(check_mode: bool, system: System) -> Outcome:
    """Take away the tunnel, its unit's link and its configuration."""
    unit_actions = [*units.plan_disabled(system, LOOP_UNIT), *units.plan_disabled(system, TUNNEL_UNIT)]
    written = system.read(configuration.PATH)
    if check_mode:
        change = tunnel.examine(system, None)
    else:
        units.apply(system, unit_actions)
        system.remove(confirmation.MARKER)  # there is nothing to go back to
        change = tunnel.down(system)
        system.remove(configuration.PATH)
        system.remove(configuration.COPY)
        system.remove_empty_directory(configuration.PATH.rpartition("/")[0])
        system.remove(tunnel.LOCK)
    before = {**readable(change.before), **({f"file {configuration.PATH}": written} if written else {})}
    file_action = [f"remove file {configuration.PATH}"] if written else []
    return Outcome(before, {}, [*map(" ".join, unit_actions), *map(str, change.actions), *file_action], [], [])


def _known(system: System) -> configuration.Config | None:
    """Return the configuration that this run replaces, None where nothing is deployed or nothing of it can be read."""
    try:
        return configuration.load(system)
    except WgMigrateError:
        return None


_NOT_IN_FILE = ("state", "implementation", "confirm_within")


def _document(params: dict[str, Any], system: System) -> dict[str, Any]:
    """Return the configuration's document, with what the user left open found out."""
    document = {name: value for name, value in params.items() if name not in _NOT_IN_FILE}
    if params["implementation"] == "auto":
        document["userspace"] = not kernel_has_wireguard(system)
    else:
        document["userspace"] = params["implementation"] == "userspace"
    if not kernel_has_ipv6(system):
        document["inner_address6"] = ""
    pinned = [path["uplink"] for path in params["paths"] if path["uplink"]]
    document["uplink_mtu"] = params["uplink_mtu"] or read_uplink_mtu(system, pinned)
    return document


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        required_if=[("state", "present", ("overlay_address", "inner_address", "inner_address6", "exit", "paths"))],
        supports_check_mode=True,
    )
    system = System()
    with told_by(module.fail_json):
        if module.params["state"] == "absent":
            outcome = remove(module.check_mode, system)
        else:
            outcome = build(module.params, module.check_mode, system)
    for peer in outcome.unknown_peers:
        module.warn(f"{peer} is not known here yet and is left out: run site.yml without --limit")
    for name in outcome.paths_without_way:
        told = "is pinned to an uplink by which table main has no route to its proxy, and down until it has"
        module.warn(f"{name} {told}: give the device a default route, with a larger metric than the other's")
    changed = bool(outcome.actions)
    difference = {"before": outcome.before, "after": outcome.after if changed else outcome.before}
    module.exit_json(changed=changed, diff=difference, **asdict(outcome))


if __name__ == "__main__":
    main()
