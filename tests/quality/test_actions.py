"""Actions run on the controller: in whose words a host is refused, and when a module is spared.

Not among the unit tests: where the controller's part of Ansible has been imported, its modules, which those run in
their own process, read and warn in another way.
"""

from __future__ import annotations

import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError

ROOT = Path(__file__).resolve().parents[2]


def run(
    name: str, answer: object, instead: Mapping[str, Any] | None = None, /, **arguments: object
) -> tuple[dict[str, Any], list[str]]:
    """Run an action of ours on a host that answers, or raises, so; return its result and what was done there.

    `instead` has methods for those of the action.
    """
    done: list[str] = []

    # mypy cannot know the base, which is read only now.
    class Played(runpy.run_path(str(ROOT / "action_plugins" / f"{name}.py"))["ActionModule"]):  # type: ignore[misc]
        def _low_level_execute_command(self, _command: str) -> dict[str, Any]:
            done.append("shell")
            if isinstance(answer, Exception):
                raise answer
            return {"stdout": answer}

        def _execute_module(self, **_arguments: object) -> dict[str, Any]:
            done.append("module")
            return {"changed": True}

    task = mock.MagicMock(args=arguments, async_val=0, check_mode=False)
    connection = mock.MagicMock()
    connection.become.name = "sudo"
    connection.get_option.return_value = "192.0.2.11"
    templar = mock.MagicMock(template=lambda value: value)
    made = type("Made", (Played,), dict(instead or {}))
    result = made(task, connection, mock.MagicMock(), mock.MagicMock(), templar, mock.MagicMock()).run(
        task_vars={"inventory_hostname": "wgnet1"}
    )
    return result, done


def test_a_host_that_is_away_is_told_in_our_words() -> None:
    result, _ = run("host_facts", AnsibleConnectionFailure("No route to host"))
    assert result["failed"] is True
    assert result["msg"].startswith("wgnet1 cannot be reached by SSH at 192.0.2.11: No route to host. Correct its")


@pytest.mark.parametrize("said", ["Missing sudo password", "Incorrect sudo password"])
def test_a_password_that_sudo_wants_is_told_in_our_words(said: str) -> None:
    result, _ = run("host_facts", AnsibleError(said))
    assert result["failed"] is True
    assert result["msg"].startswith("wgnet1 does not let Ansible become root: write an ansible_user that has sudo")
    assert said in result["msg"]


def test_what_else_is_wrong_is_told_in_ansibles_words() -> None:
    with pytest.raises(AnsibleError, match="you must install the sshpass program"):
        run("host_facts", AnsibleError("to use passwords with ssh, you must install the sshpass program"))


@pytest.mark.parametrize("there", [True, False])
def test_a_module_runs_only_where_a_glance_is_not_enough(there: bool) -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    told = f"644 /etc/nothing\n{empty}  /etc/nothing\nend\n" if there else "end\n"
    result, done = run("own_files", told, files={"/etc/nothing": ""})
    assert result["changed"] is not there
    assert done == (["shell"] if there else ["shell", "module"])


def test_a_glance_is_told_what_the_host_said_and_not_what_a_terminal_made_of_it() -> None:
    told = {"result": staticmethod(lambda _arguments, output: {"told": output})}
    result, _ = run("own_files", "a line\r\nof another kind\r\r\n", told, files={"/etc/nothing": ""})
    assert result == {"told": "a line\nof another kind\r\n"}


def test_what_only_the_module_can_tell_is_not_asked_of_the_shell() -> None:
    result, done = run("wireguard_keys", "", directory="/etc/wireguard", pairs=["a"], state="absent")
    assert (result, done) == ({"changed": True}, ["module"])
