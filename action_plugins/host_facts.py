"""The door through which playbooks look at a host; library/host_facts.py documents it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

# Ansible offers module_utils/ to modules only; an action runs in the controller's own process.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from wg_migrate import host_facts

ARGUMENT_SPEC = {"packages": {"type": "list", "elements": "str", "default": []}}


class ActionModule(ActionBase):
    """Ask a host by one command."""

    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the facts, or why Ansible cannot work on that host."""
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(ARGUMENT_SPEC)
        known = task_vars or {}
        name = known["inventory_hostname"]
        python = self._templar.template(known.get("ansible_python_interpreter", "/usr/bin/python3"))
        try:
            answer = self._low_level_execute_command(host_facts.questions(python, arguments["packages"]))
        except AnsibleConnectionFailure as error:
            address = self._connection.get_option("host")
            return _refused(
                f"{name} cannot be reached by SSH at {address}: {error}. Correct its ansible_host, ansible_user or "
                "ansible_ssh_private_key_file in the inventory, or its line in known_hosts, until "
                f"'ansible {name} -m ping' answers."
            )
        except AnsibleError as error:
            become = self._connection.become
            if become is None or f"{become.name} password" not in str(error):
                raise
            return _refused(f"{name} {host_facts.NO_ROOT}. {error}")
        look = host_facts.read(answer["stdout"])
        if look.refusals:
            return _refused(" ".join(f"{name} {refusal}." for refusal in look.refusals))
        return {"changed": False, "ansible_facts": look.facts}


def _refused(message: str) -> dict[str, Any]:
    return {"failed": True, "msg": message}
