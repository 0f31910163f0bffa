"""SSH keys of the lab: the controller's, and a host key a machine: known_hosts is right before anybody connects."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import time
from pathlib import Path

from lab.certificates import CERTIFICATE, KEY
from lab.shell import LabError, answer, run, write
from lab.topology import BUILD, MACHINES, USER, Machine

USER_KEY = BUILD / "ssh_key"
KNOWN_HOSTS = BUILD / "known_hosts"
SSH_CONFIG = BUILD / "ssh_config"
TRUST_ANCHOR = BUILD / "trust_anchor"
USER_ID = 1000  # of USER, as the Containerfile makes it


def host_key(machine: Machine) -> Path:
    """Return where the private host key of MACHINE is kept."""
    return BUILD / "host_keys" / machine.name


def public(key: Path) -> str:
    """Return the public part of KEY, as its .pub file has it."""
    return key.with_name(f"{key.name}.pub").read_text()


def ensure_keys() -> None:
    """Make the keys that are missing, and write known_hosts and ssh_config for all machines."""
    host_key(MACHINES[0]).parent.mkdir(parents=True, exist_ok=True)
    for key, comment in [(USER_KEY, "wgm-lab"), *((host_key(machine), machine.name) for machine in MACHINES)]:
        if not key.exists():
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(key)], "keys")
    keys = {machine: " ".join(public(host_key(machine)).split()[:2]) for machine in MACHINES}
    write(KNOWN_HOSTS, "".join(f"{m.name},{m.address4},{m.address6} {key}\n" for m, key in keys.items()))
    write(SSH_CONFIG, ssh_config())


def ssh_config() -> str:
    """Return what `ssh -F build/lab/ssh_config HOST` reads to reach every machine."""
    hosts = "".join(f"Host {m.name}\n  HostName {m.address4}\n  HostKeyAlias {m.name}\n" for m in MACHINES)
    everyone = {
        "User": USER,
        "IdentityFile": f'"{USER_KEY}"',
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "UserKnownHostsFile": f'"{KNOWN_HOSTS}"',
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "LogLevel": "ERROR",
    }
    return hosts + "Host *\n" + "".join(f"  {key} {value}\n" for key, value in everyone.items())


def machine_id(machine: Machine) -> str:
    """Return the machine-id(5) of MACHINE: the same each time it is made, and not that of its neighbours."""
    return hashlib.sha256(machine.full_name.encode()).hexdigest()[:32]


Files = list[tuple[str, str, int, int]]
"""Path below a machine's root, text, mode and owner of each."""


def own_files(machine: Machine, *more: tuple[str, str]) -> Files:
    """Return what sets MACHINE apart from its image.

    MORE are files that its kind adds, each as path and text, which everybody may read.
    """
    files = [
        ("etc/machine-id", f"{machine_id(machine)}\n", 0o444, 0),
        ("etc/ssh/ssh_host_ed25519_key", host_key(machine).read_text(), 0o600, 0),
        ("etc/ssh/ssh_host_ed25519_key.pub", public(host_key(machine)), 0o644, 0),
        (f"home/{USER}/.ssh/authorized_keys", public(USER_KEY), 0o600, USER_ID),
    ]
    files += [(path, text, 0o644, 0) for path, text in more]
    if machine.image == "web":
        files += [
            ("etc/nginx/web.crt", CERTIFICATE.read_text(), 0o644, 0),
            ("etc/nginx/web.key", KEY.read_text(), 0o600, 0),
        ]
    return files


def seed(files: Files) -> bytes:
    """Return a tar archive of FILES, to be unpacked at a machine's root."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, text, mode, owner in files:
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.uid, member.gid = len(text.encode()), mode, owner, owner
            member.mtime = int(time.time())
            tar.addfile(member, io.BytesIO(text.encode()))
    return archive.getvalue()


def keep_trust_anchor(machine: Machine) -> None:
    """Write down what the lab's root of DNS is signed with, as MACHINE, which has that root, says it."""
    record = answer(ssh_command(machine, "cat", "/srv/dns/root.ds"))
    if record is None:
        raise LabError(
            f"{machine.name} does not say what its root of DNS is signed with: scripts/lab reset makes it anew"
        )
    write(TRUST_ANCHOR, record)


def ssh_command(machine: Machine, *words: str) -> list[str]:
    """Return the command line that runs WORDS on MACHINE, or a shell; WORDS may begin with options of ssh(1)'s own."""
    return ["ssh", "-F", os.fspath(SSH_CONFIG), machine.name, *words]
