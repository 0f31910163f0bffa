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
options:
  wait:
    description:
      - How long to wait for the paths of a running loop to be up, in seconds, 0 to 3600.
      - After a change a path is up when it has shaken hands, which may take 5 s. What is returned tells whether it is.
    type: float
    default: 0.0
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

- name: Ask the client when its paths are up, after 15 s at the latest
  double_tunnel_info:
    wait: 15
  register: __play_tunnel

- name: Show the paths that are not up
  ansible.builtin.debug:
    msg: "{{ __play_tunnel['tunnel']['paths'].values() | rejectattr('health', 'eq', 'up') }}"
"""

RETURN = r"""
tunnel:
  description:
    - State of the tunnel and of the loop. Times are in seconds.
    - Packets and bytes of a device are those inside its tunnel; up is what the client sends.
  returned: success
  type: dict
  contains:
    time:
      description: When this was read, in seconds since 1970.
      type: float
      returned: success
      sample: 1763856000.123
    scope:
      description: V(host) or V(namespace).
      type: str
      returned: success
      sample: host
    implementation:
      description: Whose WireGuard it is, the V(kernel)'s or V(userspace) (wireguard-go).
      type: str
      returned: success
      sample: kernel
    up:
      description: Whether every device is where it belongs.
      type: bool
      returned: success
      sample: true
    exit:
      description: Name of the exit.
      type: str
      returned: success
      sample: exit1
    exit_endpoint:
      description: Address and UDP port of the exit, as configured.
      type: str
      returned: success
      sample: 203.0.113.20:51820
    overlay_address:
      description: The client's address on all paths.
      type: str
      returned: success
      sample: 10.87.0.5
    inner_address:
      description: The IPv4 address of C(wg0).
      type: str
      returned: success
      sample: 10.87.16.5
    inner_address6:
      description: The IPv6 address of C(wg0); empty where the kernel has no IPv6.
      type: str
      returned: success
      sample: fd00:db8::5
    active:
      description: The path that the default route of namespace C(wgnet) stands on; null where there is none.
      type: str
      returned: success
      sample: wgnet1
    inner:
      description: C(wg0), with the same keys as the device of a path, from RV(tunnel.paths.present) on.
      type: dict
      returned: success
    paths:
      description: The paths by name. What follows is said of each.
      type: dict
      returned: success
      contains:
        proxy:
          description: Name of the proxy where the path ends.
          type: str
          returned: always
          sample: proxy1
        endpoint:
          description: Address and UDP port of the proxy, as configured.
          type: str
          returned: always
          sample: 192.0.2.11:51820
        uplink:
          description: The device by which alone the path may leave; empty for whichever the routes say.
          type: str
          returned: always
          sample: ""
        health:
          description:
            - V(up), V(suspect) or V(down), as the loop's probes say. Null while no loop runs, as are all keys down to
              RV(tunnel.paths.share); then only RV(tunnel.paths.live) tells something of the path.
          type: str
          returned: always
          sample: up
        held:
          description: Whether it is left out for a while because its keys are being replaced.
          type: bool
          returned: always
          sample: false
        why:
          description: Why it is in this state, as a sentence.
          type: str
          returned: always
        since_seconds:
          description: For how long it has been in this state.
          type: float
          returned: always
          sample: 12.0
        rtt:
          description: Round trip of the last answered probe; null while there was none.
          type: float
          returned: always
          sample: 0.0012
        probes_sent:
          description: Probes sent over the path.
          type: int
          returned: always
          sample: 10
        probes_answered:
          description: Probes that were answered.
          type: int
          returned: always
          sample: 10
        switches:
          description: Switches to this path since the loop started.
          type: int
          returned: always
          sample: 60
        packets_up_session:
          description: Packets sent on this path in the schedule's session of now.
          type: int
          returned: always
          sample: 5000
        share_session:
          description: Its share of all packets sent in this session, 0 to 1; null while there were none.
          type: float
          returned: always
          sample: 0.5
        share:
          description: Its share of all packets sent since the loop started, 0 to 1; null while there were none.
          type: float
          returned: always
          sample: 0.497
        present:
          description: Whether its device is there.
          type: bool
          returned: always
          sample: true
        live:
          description: Whether its last handshake is young enough (180 s) for packets to be sent at once.
          type: bool
          returned: always
          sample: true
        handshake_age:
          description: Seconds since the last handshake, never negative; null where there was none.
          type: float
          returned: when the device is there
          sample: 42.1
        handshake_time:
          description: The last handshake in seconds since 1970; null where there was none.
          type: int
          returned: when the device is there and has its peer
          sample: 1763855958
        mtu:
          description: The device's MTU in bytes.
          type: int
          returned: when the device is there
          sample: 1420
        packets_up:
          description: Packets sent.
          type: int
          returned: when the device is there
          sample: 50000
        packets_down:
          description: Packets received.
          type: int
          returned: when the device is there
          sample: 90000
        bytes_up:
          description: Bytes sent.
          type: int
          returned: when the device is there
          sample: 4200000
        bytes_down:
          description: Bytes received.
          type: int
          returned: when the device is there
          sample: 117000000
        public_key:
          description: The device's own public key.
          type: str
          returned: when the device is there and has its peer
        peer_public_key:
          description: The public key of the other end.
          type: str
          returned: when the device is there and has its peer
        wireguard_bytes_received:
          description: Bytes that WireGuard received from the other end, its own overhead and handshakes counted in.
          type: int
          returned: when the device is there and has its peer
          sample: 120000000
        wireguard_bytes_sent:
          description: Bytes that WireGuard sent to the other end.
          type: int
          returned: when the device is there and has its peer
          sample: 6000000
    loop:
      description: What the running loop says of itself; null where none runs or it gives no answer.
      type: dict
      returned: success
      contains:
        code:
          description: Which code it runs, as a fingerprint.
          type: str
          returned: always
        basis:
          description: What of the configuration it goes by from its start, and is restarted for where it changes.
          type: list
          elements: str
          returned: always
          sample: ["scope host", "10.87.0.2", "exit 203.0.113.20 51820 10.87.16.1", "wgnet1 proxy1", "group "]
        schedule:
          description: The schedule in use; module M(migration) tells its keys.
          type: dict
          returned: always
          sample: {"period": 0.1, "jitter": 0.0, "strategy": "round_robin"}
        replayed:
          description: Whether a seed is set, so that the schedule is replayed and not random.
          type: bool
          returned: always
          sample: false
        problem:
          description: What keeps it from doing what it was told, as a sentence; null where nothing does.
          type: str
          returned: always
        active:
          description: The path that it moved to last.
          type: str
          returned: always
          sample: wgnet1
        all_down:
          description: Whether every path is down. Then nothing passes, and nothing leaks.
          type: bool
          returned: always
          sample: false
        running_seconds:
          description: For how long it has been running.
          type: float
          returned: always
          sample: 12.3
        switches:
          description: Switches that were made.
          type: int
          returned: always
          sample: 120
        switches_missed:
          description: Deadlines that passed without a switch.
          type: int
          returned: always
          sample: 0
        switches_failed:
          description: Switches that the kernel refused.
          type: int
          returned: always
          sample: 0
        nudges:
          description: Small packets that were sent to tell the exit of a new path.
          type: int
          returned: always
          sample: 100
        nudges_failed:
          description: Those that could not be sent.
          type: int
          returned: always
          sample: 0
        lateness_mean:
          description: Seconds by which a switch came after its deadline, on average.
          type: float
          returned: always
          sample: 0.0003
        lateness_worst:
          description: The same at worst.
          type: float
          returned: always
          sample: 0.004
        repairs:
          description: How often it had the tunnel repaired.
          type: int
          returned: always
          sample: 0
        session:
          description: The schedule's session of now, with its number, its age in seconds and the weights of the paths.
          type: dict
          returned: always
          sample: {"number": 3, "seconds": 12.3, "weights": [0.5, 0.5]}
    loop_problem:
      description: Why there is no RV(tunnel.loop), as a sentence; null where there is one.
      type: str
      returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.wg_migrate.errors import told_by
from ansible.module_utils.wg_migrate.reading import read_number
from ansible.module_utils.wg_migrate.report import report_when_up
from ansible.module_utils.wg_migrate.system import System

ARGUMENT_SPEC = {"wait": {"type": "float", "default": 0.0}}
_LONGEST = 3600.0
"""Seconds: a host is not kept for longer than this."""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    with told_by(module.fail_json):
        state = report_when_up(System(), read_number("wait", module.params["wait"], 0, _LONGEST, "15"))
    module.exit_json(changed=False, tunnel=state)


if __name__ == "__main__":
    main()
