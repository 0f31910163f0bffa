"""Four bare virtual machines and the lab's Internet, for each release of Debian: made once, deployed once."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.guest_image import RELEASES
from lab.topology import machine
from tests.lab.conftest import CLIENT, EXIT, PROXIES, ROOT, Lab

HOSTS = (CLIENT, *PROXIES, EXIT)
INVENTORY = ROOT / "inventory" / "vm"
TOOLS = "fping iperf3"
"""What the tests measure with, on the client: nothing that a role installs."""

MADE, KEPT = "/dev/shm/molecule-made", "/var/cache/lab-made"
"""Where molecule/shared/snapshot.py has what it wrote down, and a place that it does not look at."""

NOT_OURS = re.compile(
    r"[-+]setting (net\.(netfilter\.nf_(conntrack|flowtable|hooks)_\w+|nf_conntrack_max) = \d+"
    r"|net\.ipv4\.conf\.all\.send_redirects = [01])"
    r"|[-+]file (/run/blkid|/run/cloud-init|/var/lib/cloud)\b.*"
)
"""How a machine differs after removal and a reboot, by no fault of ours: where WireGuard and nftables are the kernel's,
the settings of modules that it has loaded stay, and that redirects are off, which wg_open() in Linux'
drivers/net/wireguard/device.c does and nothing undoes; and cloud-init writes down each boot."""


@dataclass(frozen=True)
class Outside:
    """The family of the addresses at which the hosts reach each other, and their addresses."""

    version: int

    def address(self, host: str) -> str:
        """Return the address of a machine."""
        return machine(host).address4 if self.version == 4 else machine(host).address6

    def network(self) -> str:
        """Return all of it as an inventory that stands beside another."""
        addresses = {host: {"network_address": self.address(host)} for host in HOSTS}
        return json.dumps({"all": {"hosts": addresses}})


OUTSIDE = {"trixie": Outside(4), "bookworm": Outside(6)}
"""Each family with one of them: what is specific to a family and a release at once would be a surprise."""


class Guests(Lab):
    """The virtual machines and the playbooks, which come to them by an inventory of their own."""

    patience = 10

    def __init__(self, release: str, addresses: Path) -> None:
        self.release = release
        self.outside = OUTSIDE[release]
        self._sockets = addresses.parent
        self._inventories = ("-i", str(INVENTORY), "-i", str(addresses))
        addresses.write_text(self.outside.network())

    def ssh(self, host: str, command: str) -> list[str]:
        """Return the words that run a shell command as root on a machine, over one connection for all of them."""
        program, *words = super().ssh(host, command)
        return [program, "-o", "ControlMaster=auto", *self._shared(), "-o", "ControlPersist=yes", *words]

    def _shared(self) -> list[str]:
        return ["-o", f"ControlPath={self._sockets}/%h"]

    def hang_up(self) -> None:
        """End these connections, before a reboot does and they wait for answers."""
        for host in HOSTS:
            _, *words = super().ssh(host, "")
            subprocess.run(["ssh", "-O", "exit", *self._shared(), *words[:-1]], capture_output=True, check=False)

    def playbook(self, name: str, *arguments: str, inventory: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a playbook and return how it ended."""
        assert inventory is None
        found = (*self._inventories, "-e", f"__lab_directory={ROOT}/build/lab")
        return super().playbook(name, *found, *arguments)

    def everywhere[T](self, work: Callable[[str], T]) -> dict[str, T]:
        """Do something with all hosts at the same time; return what comes of each."""
        with ThreadPoolExecutor(len(HOSTS)) as pool:
            return dict(zip(HOSTS, pool.map(work, HOSTS), strict=True))

    def remember(self, host: str) -> None:
        """Write down what a machine is, where a reboot leaves it alone; the client's tools are a part of it."""
        if host == CLIENT:
            self.run(host, f"apt-get -q update && apt-get -q install --yes --no-install-recommends {TOOLS}")
        self.snapshot(host, "made")
        self.run(host, f"cp {MADE} {KEPT}")

    def differences(self, host: str) -> list[str]:
        """Return how a machine differs from what was written down, a line each, but for what is not ours."""
        self.run(host, f"cp {KEPT} {MADE}")
        return [line for line in self.snapshot(host, "compare") if not NOT_OURS.fullmatch(line)]

    @contextmanager
    def netem(self, **words: str) -> Iterator[None]:
        """Have what leaves these hosts treated by netem as its words say, while the block runs."""
        for host, word in words.items():
            self.run(host, f"tc qdisc add dev eth0 root netem limit 10000 {word}")
        try:
            yield
        finally:
            for host in words:
                self.run(host, "tc qdisc delete dev eth0 root")


@pytest.fixture(scope="session", params=RELEASES[::-1])
def guests(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guests]:
    """Lend bare machines of a release, with the tools of the tests on the client and a snapshot of each."""
    found = Guests(request.param, tmp_path_factory.mktemp(request.param) / "outside.json")
    lab = [str(ROOT / "scripts" / "lab"), "reset", "--vm", "--release", request.param]
    done = subprocess.run(lab, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    # What a new image says of its lists of packages: they are of today, and there are none.
    found.run(PROXIES[0], "find /var/lib/apt/lists -type f -delete; touch /var/lib/apt/lists")
    found.everywhere(found.remember)
    yield found
    found.hang_up()


@pytest.fixture(scope="session")
def deployed(guests: Guests) -> Guests:
    """Return the machines with the network deployed as by the README, and the loop at 0.1 s."""
    guests.play("site.yml")
    guests.play("playbooks/migrate.yml", "-e", "migration_interval=0.1")
    guests.wait_until_live()
    return guests
