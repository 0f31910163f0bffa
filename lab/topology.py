"""Who is in the lab, and where. inventory/lab/hosts.yml says the same to Ansible: tests/unit/test_lab.py compares."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "lab"

# 198.18.0.0/15 is set aside for tests between networks (RFC 2544). The ranges of RFC 5737 are for examples, and a
# developer's machine may itself be in one.
NETWORK = "wgm-lab"
SUBNET4, CONTROLLER4 = "198.18.51.0/24", "198.18.51.1"
SUBNET6, CONTROLLER6 = "fd51:db8::/64", "fd51:db8::1"
USER = "ops"


@dataclass(frozen=True)
class Machine:
    """One machine: host name, last part of both its addresses, and target of the Containerfile."""

    name: str
    number: int
    image: str = "host"

    @property
    def full_name(self) -> str:
        """Name of its container, or of its virtual machine and that one's cable."""
        return f"wgm-{self.name}"

    @property
    def address4(self) -> str:
        """IPv4 address on the bridge."""
        return f"198.18.51.{self.number}"

    @property
    def address6(self) -> str:
        """IPv6 address on the bridge."""
        return f"fd51:db8::{self.number}"

    @property
    def mac(self) -> str:
        """Address of its network card: locally administered, and fixed."""
        return f"02:c6:12:33:00:{self.number:02x}"


PROXIES = int(os.environ.get("WGM_LAB_PROXIES", "2"))
"""How many there are: as inventory/lab says, but for bench/deployment.py, which has an inventory of its own."""
MACHINES = (
    Machine("client", 10, image="client"),
    *(Machine(f"wgnet{number}", 10 + number if number < 10 else 90 + number) for number in range(1, PROXIES + 1)),
    Machine("exit", 20),
    Machine("web", 80, image="web"),
)


def machine(name: str) -> Machine:
    """Return the machine called NAME. Raise KeyError, naming those that exist, where there is none."""
    for candidate in MACHINES:
        if candidate.name == name:
            return candidate
    raise KeyError(f"no machine {name!r} in the lab; there are {', '.join(m.name for m in MACHINES)}")
