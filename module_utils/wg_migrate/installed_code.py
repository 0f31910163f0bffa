"""Which code is installed on this host, as a fingerprint: a service that was started before an upgrade has another."""

from __future__ import annotations

import hashlib

from .system import System

DIRECTORY = "/usr/local/lib/wg-migrate/wg_migrate"
LOOP_UNIT_FILE = "/etc/systemd/system/wg-migrate-loop.service"


def fingerprint(system: System) -> str:
    """Return 16 hexadecimal digits that stand for the installed package and the loop's unit."""
    sources = [path for path in system.list_files(DIRECTORY) if path.endswith(".py")]
    texts = [system.read(path) or "" for path in [*sources, LOOP_UNIT_FILE]]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
