"""Devices that Ansible cannot manage, such as phones: `scripts/wgm client`.

The inventory's own file host_vars/EXIT/devices.yml remembers them, with no secret in it, so that site.yml knows them
as it knows all else. A device's private key is made here, printed once in its configuration, and kept nowhere: it is in
no file, on no command line, and not on the exit.
"""

from __future__ import annotations

import argparse
import base64
import io
import ipaddress
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import segno
import yaml
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from rich.console import Console
from rich.text import Text
from wg_migrate.devices import free_address, refuse_name
from wg_migrate.errors import WgMigrateError

from observe.hosts import Inventory, load
from wgm.record import Record
from wgm.run import asked_for, run

VERBS = {
    "add": "have an exit serve a device, and print its configuration, once",
    "list": "tell which devices the exits serve",
    "remove": "serve a device no more",
}
TELLS = "Tell the device's configuration"
"""The task of playbooks/devices.yml that says it."""
PLACE_OF_KEY = "(the device's private key)"
_HEAD = "---\n# Kept by scripts/wgm client: the devices that this exit serves. docs/devices.md tells of them.\n"

Entry = dict[str, str]


def do(words: Sequence[str], options: argparse.Namespace, secret: str | None) -> int:
    """Do what the command line asks for and return the exit status. Raises WgMigrateError for bad input."""
    inventory = load(options.inventory)
    if options.verb == "list":
        return _show(inventory)
    if options.verb == "remove":
        return _remove(words, options, secret, inventory)
    return _add(words, options, secret, inventory)


def _show(inventory: Inventory) -> int:
    rows = [
        (each["name"], name, each["address"], each["public_key"])
        for name in inventory.of("exit")
        for each in inventory.plan[name]["devices"]
    ]
    if not rows:
        print("no device is served: scripts/wgm client add NAME adds one")
        return 0
    table = [("device", "exit", "address", "public key"), *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _add(words: Sequence[str], options: argparse.Namespace, secret: str | None, inventory: Inventory) -> int:
    name = options.name
    refuse_name(name)
    if (served := _exit_of(name, inventory)) is not None:
        raise WgMigrateError(f"{served} serves a device {name} already: write another name, or remove that one before")
    if name in inventory.hosts:
        raise WgMigrateError(f"{name} is a host of the inventory: write another name for the device")
    exit_name = _chosen(options.exit, inventory.of("exit"))
    plan = inventory.plan[exit_name]
    kept = _Kept(inventory, exit_name)
    private_key, public_key = _key_pair()
    network = ipaddress.IPv4Interface(plan["device_addresses"][0]).network
    address = free_address(network, {each["address"] for each in plan["devices"]})
    told: list[str] = []

    def aside(record: Record) -> bool:
        heard = record.kind == "told" and record.task == TELLS
        told.extend([record.text] if heard else [])
        return heard

    kept.change(lambda entries: [*entries, {"name": name, "address": address, "public_key": public_key}])
    try:
        asked = asked_for(words, "client add", options.inventory, exit_name)
        status = run(asked, {"device_name": name}, secret, aside, to_stderr=True)
        if status == 0 and not told:
            raise WgMigrateError(f"{exit_name} serves no device {name}: something overrides what {kept.path} says")
    except BaseException:
        kept.forget(name)
        raise
    if status != 0:
        kept.forget(name)
    else:
        _print(told[0].replace(PLACE_OF_KEY, private_key), options.qr)
        print(_plain_words(name, exit_name, kept.path), file=sys.stderr)
    return status


def _plain_words(name: str, exit_name: str, path: Path) -> str:
    return (
        f"\nThis is shown once and kept nowhere: give it to {name} now.\n"
        f"{path} remembers {name}, without its private key.\n"
        f"{name} does not migrate: it has one path. Its network sees that all its traffic goes to {exit_name}, when,\n"
        "and how much. No firewall of wg-migrate's keeps its packets in the tunnel: have its own settings block\n"
        "connections without VPN."
    )


def _remove(words: Sequence[str], options: argparse.Namespace, secret: str | None, inventory: Inventory) -> int:
    name = options.name
    exit_name = _exit_of(name, inventory)
    if exit_name is None:
        raise WgMigrateError(f"no exit serves a device {name}: scripts/wgm client list names those that are served")
    kept = _Kept(inventory, exit_name)
    # First, and for good: whatever comes then, no run of site.yml lets it in again.
    kept.forget(name)
    return run(asked_for(words, "client remove", options.inventory, exit_name), {}, secret)


def _exit_of(name: str, inventory: Inventory) -> str | None:
    for exit_name in inventory.of("exit"):
        if any(each["name"] == name for each in inventory.plan[exit_name]["devices"]):
            return exit_name
    return None


def _chosen(wanted: str | None, exits: Sequence[str]) -> str:
    if wanted is None and len(exits) == 1:
        return exits[0]
    if wanted in exits:
        return str(wanted)
    found = f"{wanted} is no exit" if wanted else f"there are {len(exits)} exits, and a device is served by one"
    raise WgMigrateError(f"{found}: write --exit with one of {', '.join(exits)}")


def _key_pair() -> tuple[str, str]:
    """Return a private key and its public key, as `wg genkey` and `wg pubkey` write them."""
    private = X25519PrivateKey.generate()
    raw = (private.private_bytes_raw(), private.public_key().public_bytes_raw())
    return base64.b64encode(raw[0]).decode(), base64.b64encode(raw[1]).decode()


def _print(configuration: str, as_qr: bool) -> None:
    if not as_qr:
        print(configuration)
        return
    drawn = io.StringIO()
    segno.make_qr(configuration, error="l").terminal(drawn, compact=True)
    # Cameras want dark on light, whatever colours the terminal has.
    Console(highlight=False).print(Text(drawn.getvalue().rstrip("\n"), style="bright_white on black"), soft_wrap=True)


class _Kept:
    """The file that remembers an exit's devices: written by nobody else, whole, and gone with the last device."""

    def __init__(self, inventory: Inventory, exit_name: str) -> None:
        """Find it. Raises WgMigrateError where it could not be what Ansible reads, or is not."""
        directory = inventory.directories[exit_name]
        if directory is None:
            raise WgMigrateError("the inventory has no directory to remember a device in: write one of files for -i")
        place = Path(directory) / "host_vars" / exit_name
        self.path = place / "devices.yml"
        if not place.is_dir():
            # Ansible would read the directory and not look at the file any more.
            for name in (exit_name, f"{exit_name}.yml", f"{exit_name}.yaml", f"{exit_name}.json"):
                if (other := place.with_name(name)).exists():
                    raise WgMigrateError(
                        f"{other} would not be read any more beside a directory {place}: move it to {place}/main.yml"
                    )
        read = [
            Entry(name=each["name"], address=each["address"], public_key=each["public_key"])
            for each in inventory.plan[exit_name]["devices"]
        ]
        if self._entries() != read:
            raise WgMigrateError(
                f"network_devices of {exit_name} stand elsewhere than in {self.path}, or there, too: write them into "
                "that file alone"
            )

    def forget(self, name: str) -> None:
        """Take a device out of it. Raises WgMigrateError where it cannot be written."""
        self.change(lambda entries: [each for each in entries if each["name"] != name])

    def change(self, how: Callable[[list[Entry]], list[Entry]]) -> None:
        """Write anew what is in it, at once or not at all. Raises WgMigrateError where that cannot be."""
        entries = how(self._entries())
        try:
            if entries:
                self._write(_HEAD + yaml.safe_dump({"network_devices": entries}, sort_keys=False))
            else:
                self.path.unlink(missing_ok=True)
                for directory in (self.path.parent, self.path.parent.parent):
                    if directory.is_dir() and not any(directory.iterdir()):
                        directory.rmdir()
        except OSError as error:
            raise WgMigrateError(f"{self.path} cannot be written: {error.strerror}") from None

    def _write(self, text: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Ansible passes over names that begin with a dot.
        with tempfile.NamedTemporaryFile("w", dir=self.path.parent, prefix=".devices-", delete=False) as file:
            file.write(text)
        os.chmod(file.name, 0o644)
        os.replace(file.name, self.path)

    def _entries(self) -> list[Entry]:
        try:
            found: Any = yaml.safe_load(self.path.read_text())
        except FileNotFoundError:
            return []
        except (OSError, yaml.YAMLError):
            found = None
        if (
            not isinstance(found, dict)
            or set(found) != {"network_devices"}
            or not isinstance(found["network_devices"], list)
        ):
            raise WgMigrateError(
                f"{self.path} holds more or less than network_devices: keep other variables in another file"
            )
        return found["network_devices"]
