"""The five machines of the lab, deployed once, and words to work with them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lab.keys import ssh_command
from lab.topology import machine

ROOT = Path(__file__).resolve().parents[2]
CLIENT, PROXIES, EXIT, WEB = "client", ("wgnet1", "wgnet2"), "exit", "web"
WEB_ADDRESS = "198.18.51.80"
SNAPSHOT = (ROOT / "molecule" / "shared" / "snapshot.py").read_text()
PATIENCE = 60.0
"""Seconds after which what takes a few has failed."""


class Lab:
    """The lab's machines and playbooks, as a user has them."""

    patience = 1
    """How many times as slow as containers these machines may be."""

    def ssh(self, host: str, command: str) -> list[str]:
        """Return the words that run a shell command as root on a machine: what `scripts/lab ssh` becomes in the end."""
        return ssh_command(machine(host), f"sudo sh -c {shlex.quote(command)}")

    def run(self, host: str, command: str, check: bool = True, timeout: float = 120, stdin: str | None = None) -> str:
        """Run a shell command as root on a machine and return what it prints."""
        argv = self.ssh(host, command)
        seconds = timeout * self.patience
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False, input=stdin)
        assert not check or done.returncode == 0, f"{host}: {command}\n{done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def running(self, host: str, command: str) -> Iterator[subprocess.Popen[str]]:
        """Keep a shell command running on a machine, as root, while the block runs."""
        argv = self.ssh(host, command)
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                yield process
            finally:
                process.terminate()

    def playbook(self, name: str, *arguments: str, inventory: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a playbook and return how it ended."""
        # Another inventory lies elsewhere, and finds the lab's keys by this.
        chosen = ["-i", str(inventory), "-e", f"__lab_directory={ROOT}/build/lab"] if inventory else []
        argv = [str(ROOT / ".venv" / "bin" / "ansible-playbook"), name, *chosen, *arguments]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "NO_COLOR": "1"}
        seconds = 900 * self.patience
        return subprocess.run(
            argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )

    def play(self, name: str, *arguments: str) -> str:
        """Run a playbook that must succeed and return what it prints."""
        done = self.playbook(name, *arguments)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        return done.stdout

    def status(self) -> dict[str, Any]:
        """Return what the client says of its tunnel."""
        found: dict[str, Any] = json.loads(self.run(CLIENT, "wg-migrate status --json"))
        return found

    def snapshot(self, host: str, word: str) -> list[str]:
        """Write down what a machine is (`made`), or return how it differs from that (`compare`), a line each."""
        said = self.run(host, f"python3 - {word}", check=False, stdin=SNAPSHOT)
        # The first two lines name the sides.
        return [line for line in said.splitlines() if line.startswith(("+", "-"))][2:]

    def bridge(self) -> str:
        """Return the device of the controller through which all packets between the machines go."""
        told = subprocess.run([str(ROOT / "scripts" / "lab"), "status", "--json"], capture_output=True, check=True)
        return str(json.loads(told.stdout)["bridge"])

    def wait_until_live(self) -> None:
        """Wait until every path has a session; a rebooted client shakes hands within a second or two."""
        live = "every path has a session"
        until(lambda: all(path["live"] for path in self.status()["paths"].values()), live, self.patience)


def until(condition: Callable[[], object], what: str, patience: float = 1) -> None:
    """Return when the condition holds; patience as above."""
    deadline = time.monotonic() + PATIENCE * patience
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE * patience:.0f} s"
        time.sleep(0.2)


def health(lab: Lab) -> dict[str, str]:
    return {name: path["health"] for name, path in lab.status()["paths"].items()}


def all_up(lab: Lab) -> bool:
    state = lab.status()
    return bool(state["up"]) and state["loop"] is not None and set(health(lab).values()) == {"up"}


class Capture:
    """tcpdump on the bridge, outside the machines: only what its filter lets through is counted."""

    running: ClassVar[list[Capture]] = []

    def __init__(self, device: str, expression: str) -> None:
        argv = ["tcpdump", "-i", device, "-n", "-l", "--immediate-mode", "-s", "96", expression]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        while "listening on" not in (line := self._process.stderr.readline()):
            assert line, "tcpdump ended before it listened"
        self._packets: list[str] = []
        # All the while: a pipe that is full would stop tcpdump.
        self._reader = threading.Thread(target=self._packets.extend, args=[self._process.stdout])
        self._reader.start()
        self.running.append(self)

    def stop(self) -> list[str]:
        """End the capture and return a line for each packet that it saw. A packet missed by tcpdump is an error."""
        time.sleep(0.5)  # what the kernel has seen is in tcpdump's buffer; it prints it as it comes
        summary = self.end()
        assert "\n0 packets dropped by kernel" in summary, summary
        return [line.rstrip() for line in self._packets if line.strip()]

    def end(self) -> str:
        """End tcpdump and return its last words."""
        self.running.remove(self)
        with self._process as process:
            process.send_signal(signal.SIGINT)
            self._reader.join()
            assert process.stderr is not None
            return process.stderr.read()


@pytest.fixture(autouse=True)
def no_capture_outlives_its_test() -> Iterator[None]:
    """End what a test that failed has left running."""
    yield
    for capture in [*Capture.running]:
        capture.end()


@pytest.fixture(scope="session")
def lab() -> Lab:
    """Return the lab as it stands, deployed or not."""
    return Lab()


@pytest.fixture(scope="session")
def deployed(lab: Lab) -> Lab:
    """Return the lab with the network deployed as by the README, and the loop at 0.1 s."""
    lab.play("site.yml")
    lab.play("playbooks/migrate.yml", "-e", "migration_interval=0.1")
    lab.wait_until_live()
    return lab


@pytest.fixture(scope="module")
def deployed_afterwards(deployed: Lab) -> Iterator[Lab]:
    """Lend the lab, which is deployed again for the next module's tests, whatever these make of it."""
    yield deployed
    deployed.play("site.yml")
    deployed.play("playbooks/migrate.yml", "-e", "migration_interval=0.1")
    deployed.wait_until_live()


@pytest.fixture
def fresh(deployed_afterwards: Lab) -> Lab:
    """Return the lab with machines as they are made."""
    subprocess.run([str(ROOT / "scripts" / "lab"), "reset"], check=True, capture_output=True)
    return deployed_afterwards


@pytest.fixture
def engine(deployed: Lab) -> Iterator[Lab]:
    """Lend the deployed lab, whose running loop a test may disturb: it is as it was afterwards, without a playbook."""
    yield deployed
    deployed.run(CLIENT, "systemctl start wg-migrate-loop; echo '{\"period\": 0.1}' | wg-migrate schedule -")
    until(lambda: all_up(deployed), "all is as it was")
