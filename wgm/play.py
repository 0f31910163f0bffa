"""A playbook, run by ansible-runner: its events become records. What the runner itself writes is thrown away."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_runner.interface import init_runner

from wgm.commands import ROOT
from wgm.log import Asked
from wgm.record import Record, distil

_LOOK = 0.5
"""Seconds between two looks whether a second Ctrl-C wants an end at once, while Ansible says nothing."""
_PATIENCE = 2
"""How often somebody interrupts before Ansible is not asked any more, but killed."""


@dataclass
class _Ansible:
    """Its process, from its first event on, and by which signal we were told to end it, how often."""

    process: int | None = None
    signal: int | None = None
    times: int = 0

    def interrupt(self) -> None:
        """Interrupt it as Ctrl-C at its own terminal would: it tells its workers."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(os.getpgid(self.process), signal.SIGINT)


def play(asked: Asked, variables: Mapping[str, Any], secret: str | None, take: Callable[[Record], None]) -> int:
    """Run the playbook that is asked for, hand each record to TAKE, and return the exit status.

    SECRET is the password that sudo wants. The status is Ansible's; 128 and the signal where one ended it, so 130 after
    Ctrl-C, which Ansible is told and ends itself; whoever does not want to wait for that presses it again, and again.
    """
    ansible = _Ansible()

    def hear(event: dict[str, Any]) -> bool:
        if ansible.process is None and "pid" in event:
            ansible.process = int(event["pid"])
            if ansible.signal is not None:
                ansible.interrupt()
        if "uuid" in event:
            for record in distil(event, asked.began):
                take(record)
        return False  # nothing of it is kept by the runner

    def give_up() -> bool:
        # Before the first event no host has been touched.
        return ansible.signal is not None and (ansible.process is None or ansible.times > _PATIENCE)

    with tempfile.TemporaryDirectory(prefix="wgm-") as directory, _signals(ansible):
        ask = ["--ask-become-pass"] if secret is not None else []
        runner = init_runner(
            private_data_dir=directory,
            project_dir=str(ROOT),
            playbook=asked.playbook,
            inventory=list(asked.inventory),
            limit=asked.limit,
            extravars=dict(variables),
            cmdline=shlex.join([*asked.options, *ask]) or None,
            passwords={r"BECOME password.*:\s*?$": secret} if secret is not None else None,
            envvars={"ANSIBLE_NOCOLOR": "1"},
            suppress_env_files=True,
            fact_cache_type="",  # as ansible.cfg has it: not kept
            quiet=True,
            event_handler=hear,
            status_handler=_forget_environment,
            cancel_callback=give_up,
        )
        _as_ansible_playbook(runner.config)
        runner.run()
    if ansible.signal is not None:
        return 128 + ansible.signal
    # Killed by somebody else, it has no status.
    return 1 if runner.rc is None else int(runner.rc)


def _as_ansible_playbook(config: Any) -> None:
    """Undo what the runner decides for everybody: what ansible.cfg, the user's environment and inventory say holds."""
    config.command[0] = str(Path(sys.executable).parent / config.command[0])
    config.pexpect_timeout = _LOOK
    if "ANSIBLE_HOST_KEY_CHECKING" not in os.environ:
        del config.env["ANSIBLE_HOST_KEY_CHECKING"]
    config.env.pop("PYTHONPATH", None)  # what scripts/wgm sets for itself is not for others


def _forget_environment(data: Mapping[str, Any], runner_config: Any) -> None:
    """Remove the file in which the runner has just written down the whole environment: there may be tokens in it."""
    if data["status"] == "running":
        (Path(runner_config.artifact_dir) / "command").unlink()


@contextlib.contextmanager
def _signals(ansible: _Ansible) -> Iterator[None]:
    """Pass the signals that would end us on to Ansible while the block runs."""

    def handle(number: int, _: object) -> None:
        ansible.signal = ansible.signal or number
        ansible.times += 1
        ansible.interrupt()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
