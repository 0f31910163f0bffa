"""An action that looks by the shell whether its module has anything to do, and runs it only then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.plugins.action import ActionBase

Arguments = Mapping[str, Any]


class GlancingAction(ActionBase):
    """Answer for the module where a glance is enough: by a pair of functions of wg_migrate.glance."""

    question: Callable[[Arguments], str | None]
    result: Callable[[Arguments, str], dict[str, Any] | None]
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module returns, whoever found it out."""
        super().run(tmp, task_vars)
        question = self.question(self._task.args)
        if question is not None:
            # Ansible asks on a terminal, which puts a \r before each \n.
            answer = self._low_level_execute_command(question)["stdout"].replace("\r\n", "\n")
            result = self.result(self._task.args, answer)
            if result is not None:
                return result
        module_result: dict[str, Any] = self._execute_module(task_vars=task_vars)
        return module_result
