"""Ansible itself, run by scripts/wgm: what it is given, what is kept, how Ctrl-C ends it. No host is touched."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from wgm import log
from wgm.commands import ROOT

PATIENCE = 60.0
"""Seconds after which what takes three has failed."""
ASK = """
- name: Ask
  hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Tell
      ansible.builtin.debug:
        msg:
          - "{{ lookup('config', 'HOST_KEY_CHECKING') }} {{ lookup('config', 'CACHE_PLUGIN') }}"
          - "{{ lookup('env', 'PYTHONPATH') }}{{ number }}"
    - name: Look for tokens, passwords and variables
      ansible.builtin.debug:
        msg: >-
          {{ lookup('pipe', 'grep -rls TOKEN_OF_A_CLOUD "$TMPDIR"/wgm-* ; ls -d "$TMPDIR"/wgm-*/env || echo none') }}
    - name: Fail
      ansible.builtin.assert:
        that: number == 0.5
        fail_msg: Write 0.5.
"""
RUN = """
import json, sys, time
from dataclasses import asdict
from wgm.log import Asked
from wgm.play import play
asked = Asked((), "ask", sys.argv[1], (), ("localhost,",), None, (), time.time())
variables = {"number": json.loads(sys.argv[2])}
sys.exit(play(asked, variables, None, lambda record: print(json.dumps(asdict(record)), flush=True)))
"""
# ssh connects to nobody and waits: every task of the first play hangs, until Ctrl-C.
NOBODY = """
all:
  vars:
    ansible_ssh_common_args: >-
      -o ProxyCommand='cat 3>&1 >/dev/null' -o ConnectTimeout=300 -o ControlMaster=no -o ControlPath=none
  children:
    clients: {hosts: {laptop: {ansible_host: 192.0.2.10}}}
    proxies: {hosts: {p1: {ansible_host: 198.51.100.1}, p2: {ansible_host: 203.0.113.2}}}
    exits: {hosts: {e: {ansible_host: 192.0.2.30}}}
"""


def ask(tmp_path: Path, number: float) -> tuple[int, list[dict[str, str]]]:
    (tmp_path / "ask.yml").write_text(ASK)
    environment = {
        **os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/module_utils", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "TOKEN_OF_A_CLOUD": "secret", "TMPDIR": str(tmp_path),
    }  # fmt: skip
    argv = [sys.executable, "-c", RUN, str(tmp_path / "ask.yml"), json.dumps(number)]
    done = subprocess.run(
        argv, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    return done.returncode, [json.loads(each) for each in done.stdout.splitlines()]


def test_ansible_runs_as_by_ansible_playbook_and_leaves_no_trace_here(tmp_path: Path) -> None:
    status, records = ask(tmp_path, 0.25)
    assert [each["text"] for each in records if each["kind"] == "failed"] == ["Write 0.5."], records
    assert status == 2
    told = [each["text"] for each in records if each["kind"] == "told"]
    # As ansible.cfg says, hosts' keys are compared and facts not kept; what scripts/wgm sets is for itself alone.
    assert told == ["True memory\n0.25", "none"]
    assert [path.name for path in tmp_path.iterdir()] == ["ask.yml"]


@dataclass
class Terminal:
    """A program at a terminal of 120 columns; `seen` is all that it has shown."""

    process: subprocess.Popen[bytes]
    end: int
    seen: str = field(default="")

    def until(self, words: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not re.search(words, self.seen):
            assert time.monotonic() < deadline, self.seen
            try:
                self.seen += os.read(self.end, 65536).decode(errors="replace")
            except OSError:  # the program has ended
                break
        assert re.search(words, self.seen), self.seen

    def status(self) -> int:
        while True:
            try:
                self.seen += os.read(self.end, 65536).decode(errors="replace")
            except OSError:
                return self.process.wait(PATIENCE)


@contextmanager
def terminal(*words: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    # A session of its own, whose terminal this is: its Ctrl-C is a signal.
    take = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    argv = [sys.executable, "-c", take, str(ROOT / "scripts" / "wgm"), *words]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(
        argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    ) as process:
        os.close(theirs)
        try:
            yield Terminal(process, ours)
        finally:
            process.kill()
            os.close(ours)


def test_ctrl_c_at_the_live_table_ends_ansible_and_the_replay_shows_the_same(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(NOBODY)
    with terminal("deploy", "-i", str(inventory)) as screen:
        screen.until("▸ wireguard: ")
        os.write(screen.end, b"\x03")
        assert screen.status() == 130
    assert "phase 1 of 6" in screen.seen
    assert "wgm deploy: interrupted, after" in screen.seen
    assert "next: scripts/wgm deploy goes on where this was cut off." in screen.seen
    assert (
        subprocess.run(["pgrep", "-f", f"ansible-playbook.*{inventory}"], capture_output=True, check=False).stdout
        == b""
    )
    path = Path(re.findall(r"log: (\S+\.jsonl)", screen.seen)[0])
    try:
        assert log.read(path).status == 130
        with terminal("--replay", str(path)) as again:
            assert again.status() == 0
        for words in ("stopped, 1 done", "━", "wgm deploy: interrupted, after"):
            assert words in again.seen
    finally:
        path.unlink()
