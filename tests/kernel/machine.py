"""Machines made of namespaces: a network, a process tree and a few directories of their own, gone when the test ends.

Nothing of the machine that runs the tests is touched: not its network, and none of its files.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from wg_migrate.system import Outcome, System

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "roles" / "client" / "files"

# Process 1 of the machine. It says its number as others see it, then covers what a tunnel writes to.
INIT = """
read -r number rest < /proc/self/stat
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs tmpfs /etc
echo "tcp 6 TCP" > /etc/protocols  # `ip rule` wants to know the name
mkdir /run/netns
ip link set dev lo up
echo "$number"
exec sleep infinity
"""


class Machine:
    """A host with nothing but loopback; `pid` is its process 1. A `namespace` is one of its own, by name."""

    def __init__(self) -> None:
        words = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-e", "-c", INIT]
        self._init = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self._init.stdout is not None
        self.pid = int(self._init.stdout.readline())
        self._started: list[Service] = []
        self.units: dict[str, Service] = {}

    def close(self) -> None:
        """End every process of the machine; its namespaces go with them."""
        self._init.kill()
        self._init.communicate()
        for service in self._started:
            service.wait()
            service.log.close()

    def path(self, path: str) -> str:
        """Return where this machine's file is, seen from outside."""
        return f"/proc/{self.pid}/root{path}"

    def words(self, argv: list[str], namespace: str | None = None) -> list[str]:
        """Return the command line that runs a command on this machine."""
        net = f"--net={self.path(f'/run/netns/{namespace}')}" if namespace else "--net"
        return ["nsenter", f"--target={self.pid}", "--mount", "--pid", net, "--", *argv]

    def run(self, line: str, namespace: str | None = None, stdin: str | None = None) -> str:
        """Run a command line that must succeed and return its output."""
        done = subprocess.run(
            self.words(line.split(), namespace), input=stdin, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, f"{line}: {done.stderr or done.stdout}"
        return done.stdout

    def start(self, argv: list[str], namespace: str | None = None) -> Service:
        """Start a command; it ends with the machine at the latest."""
        self._started.append(Service(self, argv, namespace))
        return self._started[-1]

    @contextlib.contextmanager
    def inside(self, namespace: str | None = None) -> Iterator[None]:
        """Put this thread into a network namespace of the machine: sockets made meanwhile stay there."""
        target = self.path(f"/run/netns/{namespace}") if namespace else f"/proc/{self.pid}/ns/net"
        home = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
        there = os.open(target, os.O_RDONLY)
        try:
            os.setns(there, os.CLONE_NEWNET)
            yield
        finally:
            os.setns(home, os.CLONE_NEWNET)
            os.close(there)
            os.close(home)


class Service:
    """A running command of a machine; `log` is where it says what it says."""

    def __init__(self, machine: Machine, argv: list[str], namespace: str | None) -> None:
        self._machine = machine
        self.log = os.fdopen(os.memfd_create("log"), "w+")
        words = machine.words(["sh", "-c", 'echo $$ && exec "$@" >&2', "sh", *argv], namespace)
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=self.log, text=True)
        assert self._process.stdout is not None
        self._number = int(self._process.stdout.readline())
        self._process.stdout.close()

    def stop(self, signal: str = "TERM") -> str:
        """Send it a signal, wait for its end and return what it said."""
        if self._process.poll() is None:
            # nsenter, which we started, would end alone; the number is the one that it has on its machine.
            self._machine.run(f"kill -{signal} {self._number}")
        return self.wait()

    def wait(self) -> str:
        """Wait for its end and return what it said."""
        self._process.wait(timeout=30)
        self.log.seek(0)
        return self.log.read()

    @property
    def running(self) -> bool:
        return self._process.poll() is None


def connect(wire: Machine, machine: Machine, name: str, address: str, uplink: str = "eth0") -> None:
    """Give a machine an uplink with an address, at a port of the wire's bridge."""
    link = f"ip link add {name} type veth peer name {uplink} netns {machine.pid}"
    # From outside the machines' process trees: the number of process 1 is the one seen there.
    subprocess.run(["nsenter", f"--target={wire.pid}", "--net", "--", *link.split()], check=True, timeout=10)
    wire.run(f"ip link set dev {name} master bridge up")
    machine.run(f"ip address add {address} dev {uplink}")
    machine.run(f"ip link set dev {uplink} up")


class ClientSystem(System):
    """The System of a machine. There is no systemd on it: units of wireguard-go are started as their files say."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.machine = machine
        self.ran: list[str] = []

    def attempt(self, argv: list[str], stdin: str | None = None) -> Outcome:
        self.ran.append(" ".join(argv))
        if argv[0] == "systemctl":
            return self._systemctl(argv[1], argv[-1])
        return super().attempt(self.machine.words(argv), stdin)

    def read(self, path: str) -> str | None:
        return super().read(self.machine.path(path))

    def mode(self, path: str) -> int | None:
        return super().mode(self.machine.path(path))

    def exists(self, path: str) -> bool:
        return super().exists(self.machine.path(path))

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        super().write(self.machine.path(path), text, mode)

    def remove(self, path: str) -> None:
        super().remove(self.machine.path(path))

    def remove_empty_directory(self, path: str) -> None:
        super().remove_empty_directory(self.machine.path(path))

    @contextlib.contextmanager
    def lock(self, path: str) -> Iterator[None]:
        with super().lock(self.machine.path(path)):
            yield

    def _systemctl(self, verb: str, unit: str) -> Outcome:
        if verb in ("stop", "restart"):
            self.stop(unit)
        if verb == "restart":
            self.machine.units[unit] = self.machine.start(*_service(unit))
        return Outcome(0, "", "")

    def stop(self, unit: str) -> None:
        """Stop a unit, if it runs, and wait for its end."""
        service = self.machine.units.pop(unit, None)
        if service is not None:
            service.stop()


def _instance(unit: str) -> str:
    return unit.partition("@")[2].partition(".")[0]


def _service(unit: str) -> tuple[list[str], str | None]:
    """Return what a template unit's file says for this instance: the command, and the namespace to run it in."""
    file = configparser.ConfigParser(strict=False, interpolation=None, delimiters=["="])
    # systemd minds upper and lower case; to mypy this is a method, to configparser's documentation a thing to replace.
    file.optionxform = str  # type: ignore[assignment,method-assign]
    file.read(UNITS / f"{unit.partition('@')[0]}@.service")
    service = file["Service"]
    argv = service["ExecStart"].replace("%i", _instance(unit)).split()
    namespace = service.get("NetworkNamespacePath", "").removeprefix("/run/netns/")
    return [argv[0].replace("/usr/local/lib/wg-migrate", str(UNITS)), *argv[1:]], namespace or None
