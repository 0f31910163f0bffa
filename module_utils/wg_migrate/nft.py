"""nftables tables of our own: rendered whole, loaded in one transaction, recognised by a fingerprint.

The kernel normalises rules, so what `nft list` prints cannot be compared with what was written. Each table therefore
carries a hash of its own text as its comment (table comments: nft 0.9.9, Linux 5.10).
"""

from __future__ import annotations

import hashlib
import re

from .system import System

_FINGERPRINT = re.compile(r'comment "sha256:([0-9a-f]{16})"')


def fingerprint(body: str) -> str:
    """Return the 16 hexadecimal digits that stand for a table's body."""
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def render(table: str, body: str) -> str:
    """Return an nft script that puts the table with this body in place of whatever table of that name stands.

    `table` is a name in family inet; `body` is chains and sets as they stand between the table's braces. nft applies
    a script as one transaction: there is no moment without rules.
    """
    return (
        f"table inet {table}\n"
        f"delete table inet {table}\n"
        f"table inet {table} {{\n"
        f'\tcomment "sha256:{fingerprint(body)}"\n'
        f"{body.rstrip()}\n"
        "}\n"
    )


def loaded_fingerprint(system: System, table: str, namespace: str | None = None) -> str | None:
    """Return the fingerprint of the loaded table, "" for a table without one, or None where there is no such table."""
    outcome = system.attempt([*inside(namespace), "nft", "list", "table", "inet", table])
    if outcome.status != 0:
        return None
    found = _FINGERPRINT.search(outcome.stdout)
    return found.group(1) if found else ""


def inside(namespace: str | None) -> list[str]:
    """Return the words that run a command in a named network namespace; none for the namespace we are in."""
    return ["ip", "netns", "exec", namespace] if namespace else []
