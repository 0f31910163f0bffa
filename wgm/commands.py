"""Which command is which playbook, with which variables, and what is to be done next."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from wg_migrate.errors import WgMigrateError

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Command:
    """A playbook by a short name, and what may follow it: after success, when it could not be done, or was cut off."""

    playbook: str
    help: str
    next: str
    otherwise: str
    cut_off: str = ""


_AGAIN = "Put right what is named above and run it again: what is done already is not done twice."
_NOT_ADDED = "The inventory is as it was, without the device. Put right what is named above and run it again."
_NOT_REMOVED = (
    "The device is out of the inventory, and its exit may still let it in: put right what is named above and run "
    "scripts/wgm deploy, until it is done."
)
COMMANDS = {
    "deploy": Command(
        "site.yml",
        "build the whole network, or change it to what the inventory says",
        "scripts/wgm migrate 0.1 starts the loop.",
        _AGAIN,
    ),
    "migrate": Command(
        "playbooks/migrate.yml",
        "start the migration loop, change its schedule, or stop it",
        "scripts/wgm verify proves the network's claims while the loop runs; scripts/wgm status tells how it does.",
        _AGAIN,
    ),
    "verify": Command(
        "playbooks/verify.yml",
        "prove the network's claims on real packets",
        "Every claim holds.",
        "A claim does not hold, or could not be tried: the words above say which, and what to write or start.",
    ),
    "rotate-keys": Command(
        "playbooks/rotate-keys.yml",
        "replace every key, one path at a time, while traffic flows",
        "scripts/wgm verify proves that all is as before.",
        "Put right what is named above and run it again: it goes on where it ended, and meanwhile the old keys serve.",
    ),
    "remove": Command(
        "playbooks/remove.yml",
        "take everything away from the hosts again",
        "The hosts are as they were before.",
        _AGAIN,
    ),
    "client add": Command(
        "playbooks/devices.yml",
        "have an exit serve a device that Ansible cannot manage, and print its configuration, once",
        "scripts/wgm client list names the devices, scripts/wgm client remove takes one away again.",
        _NOT_ADDED,
        _NOT_ADDED,
    ),
    "client remove": Command(
        "site.yml",
        "serve a device no more",
        "The device is let in no more. Its configuration is of no use: delete it there.",
        _NOT_REMOVED,
        _NOT_REMOVED,
    ),
}


def phases(playbook: Path) -> list[str]:
    """Return the names of the plays of a playbook, and of those that it imports, in their order."""
    names: list[str] = []
    for play in yaml.safe_load(playbook.read_text()):
        imported = play.get("ansible.builtin.import_playbook")
        names += phases(playbook.parent / imported) if imported else [str(play["name"])]
    return names


def migration(what: str | None, stop: bool) -> dict[str, Any]:
    """Return the variables of playbooks/migrate.yml for what was asked.

    That is seconds, a schedule as JSON, or a file with one; without any, the inventory says when to switch.

    Raises WgMigrateError for what is none of these.
    """
    if stop:
        if what is not None:
            raise WgMigrateError(f"migrate either stops the loop or starts it: write --stop alone, or {what} alone")
        return {"migration_state": "stopped"}
    if what is None:
        return {}
    if (seconds := _seconds(what)) is not None:
        return {"migration_interval": seconds}
    return {"migration_schedule": _schedule(what)}


def _seconds(word: str) -> float | None:
    try:
        seconds = float(word)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


def _schedule(word: str) -> Mapping[str, Any]:
    examples = "write seconds such as 0.1, a schedule such as '{\"packets\": [50, 70]}', or a file that holds one"
    inline = word.lstrip().startswith("{")
    try:
        found = json.loads(word if inline else Path(word).read_text())
    except OSError as error:
        raise WgMigrateError(
            f"{word} is no number, and no file that can be read ({error.strerror}): {examples}"
        ) from None
    except ValueError as error:
        raise WgMigrateError(f"{'the schedule' if inline else word} is no JSON ({error}): {examples}") from None
    if not isinstance(found, dict):
        raise WgMigrateError(f"{word} holds no JSON object: {examples}")
    return found
