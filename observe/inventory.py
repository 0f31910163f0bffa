"""Ansible's view of its inventory, as JSON: `python -m observe.inventory SOURCE...`; without any, that of ansible.cfg.

A process of its own, because Ansible changes what runs beside it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ansible import constants
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import connection_loader
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from filter_plugins.network import wg_network

ROLES = {"clients": "client", "proxies": "proxy", "exits": "exit"}
"""What the members of each group of the inventory are."""
_OPTIONS = (
    *("host", "port", "remote_user", "private_key_file", "password"),
    *("ssh_args", "ssh_common_args", "ssh_extra_args"),
)
"""Of Ansible's connection plugin ssh."""


def read(sources: Sequence[str]) -> dict[str, Any]:
    """Return the hosts with what Ansible knows of reaching them, and the plan of their network; or what is wrong."""
    loader = DataLoader()
    manager = InventoryManager(loader=loader, sources=list(sources) or constants.DEFAULT_HOST_LIST)
    # Templates are resolved for each host as in a playbook: {{ inventory_dir }}, lookups, vars of groups.
    variables = HostVars(manager, VariableManager(loader=loader, inventory=manager), loader)
    groups = {name: [str(host) for host in group.get_hosts()] for name, group in manager.groups.items()}
    plan = wg_network(variables, groups)
    if plan["errors"]:
        return {"error": "\n".join(plan["errors"])}
    members = [(name, role) for group, role in ROLES.items() for name in groups.get(group, [])]
    for name, _ in members:
        if (kind := variables[name].get("ansible_connection", "ssh")) not in ("ssh", "smart"):
            return {
                "error": f"{name} has ansible_connection {kind}: only hosts that are reached by ssh can be observed"
            }
    # Only loaded plugins have options.
    connection_loader.get("ssh", class_only=True)
    return {"hosts": [_host(name, role, variables[name]) for name, role in members], "plan": plan["hosts"]}


def _host(name: str, role: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    options = constants.config.get_plugin_options("connection", "ssh", variables=variables)
    become = variables.get("ansible_become_password", variables.get("ansible_become_pass"))
    return {
        "name": name,
        "role": role,
        "options": {key: None if options[key] is None else str(options[key]) for key in _OPTIONS},
        "become_password": None if become is None else str(become),
        "directory": variables.get("inventory_dir"),
    }


def main() -> None:
    """Print what was found."""
    try:
        found = read(sys.argv[1:])
    except AnsibleError as error:
        found = {"error": f"the inventory cannot be read: {' '.join(str(error).split())}"}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
