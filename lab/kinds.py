"""The two kinds of machines, containers and virtual machines, behind one interface: lab/machines.py knows no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lab.topology import Machine


@dataclass(frozen=True)
class Standing:
    """What there is of a machine: `state` is `absent`, `running` or another word of its kind's; `pid` 0 unless it runs.

    `owner` is the checkout that made it, `fingerprint` a word for what it was made of.
    """

    state: str = "absent"
    pid: int = 0
    owner: str = ""
    fingerprint: str = ""


class Kind(Protocol):
    """What a kind of machine can do; modules are of this type: lab/containers.py and lab/guests.py."""

    NAME: str
    """In `scripts/lab status`."""
    READY_SECONDS: float
    """In which a machine of this kind has started everything, on a slow controller."""

    def standing(self) -> dict[str, Standing]:
        """Return what there is of each machine of the lab, by its name."""

    def made_of(self, machine: Machine, tag: str) -> list[str]:
        """Return all that decides what a machine of the images of TAG becomes."""

    def create(self, machine: Machine, tag: str, fingerprint: str) -> None:
        """Make a machine that is absent; it does not run yet."""

    def start(self, machine: Machine, state: str) -> None:
        """Have a machine run that is in this state."""

    def remove(self, machine: Machine) -> None:
        """Remove a machine at once, if there is one, and all its files."""

    def restart(self, machine: Machine) -> None:
        """Reboot a machine; its files stay, and /run starts empty."""

    def bridge_port(self, machine: Machine) -> str:
        """Return the name of the controller's end of the cable of a machine, empty where it does not run."""
