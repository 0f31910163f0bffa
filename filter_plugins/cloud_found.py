"""The door through which role cloud has the providers' answers judged."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Ansible offers module_utils/ to modules only; a filter runs in the controller's own process.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from wg_cloud import cloud_found
from wg_cloud.cloud import CloudHost

DOCUMENTATION = """
name: wg_cloud_found
author: wg-migrate developers (@wg-migrate)
version_added: 1.0.0
short_description: Judge what cloud providers say is there
description:
  - Compares the answers of the providers' modules with the plan of P(wg_cloud#filter).
positional: hosts, settings, only
options:
  _input:
    description:
      - The answers of Hetzner as C(servers), C(firewalls), C(keys) and C(pricing), those of AWS as C(instances) and
        C(groups), each a list of the results of a loop over the regions. Empty for a provider that was not asked.
    type: dict
    required: true
  hosts:
    description: The machines that are wanted, as P(wg_cloud#filter) planned them.
    type: list
    elements: dict
    required: true
  settings:
    description: The settings of the role C(cloud).
    type: dict
    required: true
  only:
    description: Names of hosts; RV(_value.ours) is of these alone. Empty means all.
    type: list
    elements: str
    default: []
"""

EXAMPLES = """
- name: Stop where something is in the way
  vars:
    judged: "{{ answers | wg_cloud_found(plan['hosts'], settings) }}"
  ansible.builtin.assert:
    that: judged['errors'] == []
    fail_msg: "{{ judged['errors'] | join(' ') }}"
"""

RETURN = """
_value:
  description:
    - RV(_value.errors), RV(_value.warnings) and RV(_value.costs) as lists of sentences.
    - RV(_value.ours) is what bears the network's label, machines first, RV(_value.there) the hosts among them.
    - RV(_value.key) is the name under which Hetzner has the public key already.
  type: dict
"""


def wg_cloud_found(
    answers: Mapping[str, Any],
    hosts: list[Mapping[str, Any]],
    settings: Mapping[str, Any],
    only: list[str] | None = None,
) -> dict[str, Any]:
    """Return the judgement as plain data."""
    fields = [field.name for field in dataclasses.fields(CloudHost)]
    wanted = [CloudHost(**{name: host[name] for name in fields}) for host in hosts]
    network, pricing = settings["network"], answers["pricing"]
    found = cloud_found.read_hetzner(answers["servers"], answers["firewalls"], answers["keys"])
    for result in answers["instances"]:
        found += cloud_found.read_instances(result["__cloud_region"], result["instances"])
    for result in answers["groups"]:
        found += cloud_found.read_groups(result["__cloud_region"], result["security_groups"])
    ours = cloud_found.ours_of(found, network, only or [])
    return {
        "errors": cloud_found.conflicts(wanted, found, network) + cloud_found.unpriced(wanted, pricing),
        "warnings": cloud_found.strays(wanted, found, network),
        "costs": cloud_found.costs(wanted, pricing),
        "ours": [{**dataclasses.asdict(each), "told": each.told} for each in ours],
        "there": [each.host for each in ours if each.kind == "machine"],
        "key": cloud_found.key_in_project(answers["keys"], settings["public_key"]),
    }


class FilterModule:
    """What Ansible looks for in a filter plugin file."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"wg_cloud_found": wg_cloud_found}
