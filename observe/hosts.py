"""The hosts of Ansible's inventory, and how Ansible would reach each by SSH; and the plan of the network they form."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wg_migrate.errors import WgMigrateError

_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Host:
    """A host, and how it is reached: what Ansible and ssh_config(5) say, resolved.

    `known_as` is its name in the files `known_hosts`; `proxy_command` leads to it through another host.
    """

    name: str
    role: str
    address: str
    port: int
    user: str
    known_as: str
    known_hosts: tuple[str, ...]
    keys: tuple[str, ...]
    agent: bool = True
    proxy_command: tuple[str, ...] = ()
    password: str | None = field(default=None, repr=False)
    become_password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Inventory:
    """The hosts by name, clients first, then proxies and exits; and what the plan of the network tells each of them.

    `directories` has for each the directory beside whose files Ansible looks for its variables, None for a bare name.
    """

    hosts: dict[str, Host]
    plan: dict[str, dict[str, Any]]
    directories: dict[str, str | None] = field(default_factory=dict)

    def of(self, role: str) -> list[str]:
        """Return the names of the hosts of a role."""
        return [name for name, host in self.hosts.items() if host.role == role]


def load(sources: Sequence[str] = ()) -> Inventory:
    """Read the inventory at these sources, as `ansible -i` has them; without any, that of ansible.cfg.

    Ansible runs in a process of its own. Raises WgMigrateError for what it cannot read, and all that is wrong with the
    network.
    """
    refuse_missing(sources)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), str(_ROOT / "module_utils")])}
    argv = [sys.executable, "-m", "observe.inventory", *sources]
    done = subprocess.run(argv, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        raise WgMigrateError(f"the inventory cannot be read: Ansible ended with status {done.returncode}") from None
    if "error" in found:
        raise WgMigrateError(found["error"])
    hosts = {each["name"]: _host(each) for each in found["hosts"]}
    return Inventory(hosts, found["plan"], {each["name"]: each["directory"] for each in found["hosts"]})


def refuse_missing(sources: Sequence[str]) -> None:
    """Raise WgMigrateError for a source of an inventory that is not there; Ansible would only warn of it."""
    for source in sources:
        if "," not in source and not os.path.exists(source):
            raise WgMigrateError(f"there is no inventory {source}: write the directory or file of your hosts")


def _host(found: Mapping[str, Any]) -> Host:
    name, options = str(found["name"]), found["options"]
    said = _resolved(name, ssh_words(options))
    return host_of(name, str(found["role"]), said, options["password"], found["become_password"])


def ssh_words(options: Mapping[str, Any]) -> list[str]:
    """Return the words after `ssh` with which Ansible's plugin of that name reaches a host, by its options.

    Their order is the plugin's: of what is said twice, ssh takes the first.
    """
    words = shlex.split(options["ssh_args"] or "")
    if options["port"] is not None:
        words += ["-o", f"Port={options['port']}"]
    if options["private_key_file"]:
        words += ["-o", f'IdentityFile="{os.path.expanduser(options["private_key_file"])}"']
    if options["remote_user"]:
        words += ["-o", f'User="{options["remote_user"]}"']
    for key in ("ssh_common_args", "ssh_extra_args"):
        words += shlex.split(options[key] or "")
    return [*words, str(options["host"])]


def host_of(name: str, role: str, said: str, password: str | None, become_password: str | None) -> Host:
    """Return a host from what `ssh -G` says of how it is reached."""
    pairs = [line.partition(" ")[::2] for line in said.splitlines()]
    config = dict(pairs)
    address, port = config["hostname"], int(config["port"])
    alias = config.get("hostkeyalias")
    lists = (config.get("userknownhostsfile", ""), config.get("globalknownhostsfile", ""))
    return Host(
        name=name,
        role=role,
        address=address,
        port=port,
        user=config["user"],
        # sshd(8), SSH_KNOWN_HOSTS FILE FORMAT; an alias stands there by itself.
        known_as=alias or (address if port == 22 else f"[{address}]:{port}"),
        known_hosts=tuple(path for text in lists for path in _files(text)),
        keys=tuple(path for key, value in pairs if key == "identityfile" for path in _files(value)),
        agent=config.get("identitiesonly") != "yes",
        proxy_command=_proxy_command(config, address, port),
        password=password,
        become_password=become_password,
    )


def _resolved(name: str, words: Sequence[str]) -> str:
    """Return what ssh makes of these words, and of all its files of configuration."""
    done = subprocess.run(["ssh", "-G", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise WgMigrateError(f"{name}: ssh refuses how the inventory reaches it: {done.stderr.strip()}")
    return done.stdout


def _files(text: str) -> list[str]:
    """Return those of the files listed in a line of `ssh -G` that are there; ssh does not quote spaces in names."""
    whole = os.path.expanduser(text)
    return [whole] if os.path.isfile(whole) else list(filter(os.path.isfile, map(os.path.expanduser, text.split())))


def _proxy_command(config: Mapping[str, str], address: str, port: int) -> tuple[str, ...]:
    """Return the command whose standard input and output lead to the host, none where it is reached directly."""
    if jumps := config.get("proxyjump"):
        before, _, last = jumps.rpartition(",")
        return ("ssh", *(("-J", before) if before else ()), "-W", f"[{address}]:{port}", f"ssh://{last}")
    if command := config.get("proxycommand"):
        tokens = {"%%": "%", "%h": address, "%n": address, "%p": str(port), "%r": config["user"]}
        return ("sh", "-c", "exec " + re.sub("%[%hnpr]", lambda found: tokens[found[0]], command))
    return ()
