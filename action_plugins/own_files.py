"""Looks by the shell whether the module own_files has anything to do, and runs it only then."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

# Ansible offers module_utils/ to modules only; an action runs in the controller's own process.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from wg_migrate import glance


class ActionModule(ActionBase):
    """Answer for the module where a glance is enough."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module returns, whoever found it out."""
        super().run(tmp, task_vars)
        question = glance.files_question(self._task.args)
        if question is not None:
            answer = self._low_level_execute_command(question)
            result = glance.files_result(self._task.args, answer["stdout"])
            if result is not None:
                return result
        module_result: dict[str, Any] = self._execute_module(task_vars=task_vars)
        return module_result
