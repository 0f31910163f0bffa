"""Commands on the lab's machines, over one kept SSH connection each, and what the client's tunnel is told and says."""

from __future__ import annotations

import json
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.bounds import BenchError
from bench.read import sent_by_device
from lab.keys import ssh_command
from lab.topology import MACHINES, machine

SCRIPTS = Path(__file__).parent / "remote"
CLIENT, WEB = "client", "web"
"""Of the lab's machines the one with the tunnel, and the one that plays the Internet. The client knows the others."""
PATHS_NAMESPACE = "wgnet"
LOOP_UNIT = "wg-migrate-loop"
Schedule = Mapping[str, Any]


class Machines:
    """The machines of the lab, as root."""

    def __init__(self, sockets: str) -> None:
        """Keep the connections' sockets in the directory SOCKETS."""
        # A new connection for each would take longer than most commands.
        self._keep = ["-o", "ControlMaster=auto", "-o", "ControlPersist=yes", "-o", f"ControlPath={sockets}/%n"]

    def _command(self, host: str, words: tuple[str, ...]) -> list[str]:
        command = ssh_command(machine(host))
        return [*command[:-1], *self._keep, command[-1], shlex.join(("sudo", *words))]

    def run(self, host: str, *words: str, given: str = "", seconds: float = 60, check: bool = True) -> str:
        """Run a command on a machine, GIVEN on its standard input, and return all that it prints.

        Raises BenchError when it fails, unless CHECK is off, or takes longer than SECONDS.
        """
        try:
            done = subprocess.run(
                self._command(host, words), input=given, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            raise BenchError(f"{host}: {shlex.join(words)[:120]}: not done after {seconds:g} s") from None
        if check and done.returncode != 0:
            raise BenchError(f"{host}: {shlex.join(words)[:120]}: {(done.stdout + done.stderr).strip()[-600:]}")
        return done.stdout + ("" if check else done.stderr)

    def start(self, host: str, *words: str) -> subprocess.Popen[str]:
        """Start a command on a machine and return the process that shows its output; the caller waits for it."""
        return subprocess.Popen(
            self._command(host, words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """End the kept connections."""
        for each in MACHINES:
            command = ssh_command(each)
            end = [*command[:-1], *self._keep, "-O", "exit", command[-1]]
            subprocess.run(end, capture_output=True, check=False)

    @cached_property
    def proxies(self) -> dict[str, str]:
        """The proxy of each path, by the path's name and in the paths' order."""
        return {name: str(path["proxy"]) for name, path in self.status()["paths"].items()}

    @cached_property
    def exit(self) -> str:
        """The exit, where the tunnel ends."""
        return str(self.status()["exit"])

    @property
    def others(self) -> list[str]:
        """The proxies and the exit."""
        return [*self.proxies.values(), self.exit]

    def status(self) -> dict[str, Any]:
        """Return what the client says of its tunnel."""
        found: dict[str, Any] = json.loads(self.run(CLIENT, "wg-migrate", "status", "--json"))
        return found

    def script(self, host: str, name: str, *arguments: object, seconds: float = 60) -> Any:
        """Run bench/remote/NAME.py on a machine and return the JSON that it prints."""
        return json.loads(self.run(host, *script_words(name, *arguments), seconds=seconds))

    def stand_still(self) -> None:
        """Make the tunnel static: it stays on the path where it is."""
        self.run(CLIENT, "systemctl", "stop", LOOP_UNIT)

    def migrate(self, schedule: Schedule) -> None:
        """Have the tunnel migrate by a schedule, from now on."""
        self.run(CLIENT, "systemctl", "start", LOOP_UNIT)
        self.run(CLIENT, "wg-migrate", "schedule", "-", given=json.dumps(schedule))

    def sent_by_path(self) -> dict[str, int]:
        """Return the packets that each path has sent since it was made, by the kernel's count, not by ours."""
        said = self.run(CLIENT, "ip", "-netns", PATHS_NAMESPACE, "-json", "-statistics", "link", "show")
        counts = sent_by_device(said)
        return {name: counts[name] for name in self.proxies}

    def wait_until_healthy(self, seconds: float = 60) -> float:
        """Wait until no path is down or suspect and return the seconds that it took.

        Raises BenchError where one still is after SECONDS.
        """
        started = time.monotonic()
        while True:
            health = {name: path.get("health") for name, path in self.status()["paths"].items()}
            waited = time.monotonic() - started
            if set(health.values()) == {"up"}:
                return waited
            if waited > seconds:
                raise BenchError(f"after {seconds:g} s the paths are {health}")
            time.sleep(0.3)


def script_words(name: str, *arguments: object) -> tuple[str, ...]:
    """Return the command that runs bench/remote/NAME.py: as text, so that nothing is left on the machine."""
    return "python3", "-c", (SCRIPTS / f"{name}.py").read_text(), *(str(argument) for argument in arguments)


@contextmanager
def connected() -> Iterator[Machines]:
    """Lend the machines, with connections that last as long as the block."""
    with tempfile.TemporaryDirectory(prefix="wgm-bench-") as sockets:
        machines = Machines(sockets)
        try:
            yield machines
        finally:
            machines.close()
