"""The door through which playbooks ask for the keys that providers made for a client."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

# Ansible offers module_utils/ to modules only; a filter runs in the controller's own process.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from wg_migrate.foreign import foreign_of
from wg_migrate.inventory import host_of
from wg_migrate.provider_file import files_of

DOCUMENTATION = """
name: wg_provider_keys
author: wg-migrate developers (@wg-migrate)
version_added: 1.0.0
short_description: Read the keys out of providers' files
description:
  - Returns the private and the preshared key of each foreign path, which the plan of C(wg_network) does not have.
  - What is returned is secret. Use it in a task with C(no_log) alone.
positional: directory
options:
  _input:
    description: The foreign paths of a client, V(client_foreign_paths).
    type: list
    elements: dict
    required: true
  directory:
    description: Where files without a whole path are, V(inventory_dir).
    type: str
    required: true
"""

EXAMPLES = """
- name: Write the keys that providers made
  wireguard_keys:
    directory: /etc/wg-migrate/keys
    given_pairs: "{{ (client_foreign_paths | wg_provider_keys(inventory_dir))['pairs'] }}"
  no_log: true
"""

RETURN = """
_value:
  description: RV(_value.pairs) and RV(_value.preshared), keys by the path's name.
  type: dict
"""


def wg_provider_keys(paths: object, directory: object) -> dict[str, dict[str, str]]:
    """Return the private and the preshared keys by name; those of a file that cannot be read are missing."""
    variables: dict[str, Any] = {"client_foreign_paths": paths, "inventory_dir": directory}
    listed = foreign_of(host_of("", variables, files_of(variables)))
    return {
        "pairs": {foreign.name: foreign.file.private_key for foreign in listed},
        "preshared": {foreign.name: foreign.file.preshared_key for foreign in listed},
    }


class FilterModule:
    """What Ansible looks for in a filter plugin file."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"wg_provider_keys": wg_provider_keys}
