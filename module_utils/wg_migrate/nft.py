"""nftables tables of our own: rendered whole, loaded in one transaction, recognised by a fingerprint.

The kernel normalises rules, so what `nft list` prints cannot be compared with what was written. Each table therefore
carries a hash of its own text as its comment, and the number of its rules, which may be gone while the comment stays
(`nft flush table`). Table comments: nft 0.9.9, Linux 5.10.
"""

from __future__ import annotations

import hashlib
import re

from .system import System

_FINGERPRINT = re.compile(r'comment "sha256:([0-9a-f]{16}) rules:([0-9]+)"')


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
        f'\tcomment "sha256:{fingerprint(body)} rules:{_count_rules(body)}"\n'
        f"{body.rstrip()}\n"
        "}\n"
    )


def loaded_fingerprint(system: System, table: str, namespace: str | None = None) -> str | None:
    """Return the fingerprint of the loaded table, or None where there is no such table.

    It is "" for a table that has none, or not all of its rules any more.
    """
    outcome = system.attempt([*inside(namespace), "nft", "list", "table", "inet", table])
    if outcome.status != 0:
        return None
    found = _FINGERPRINT.search(outcome.stdout)
    whole = found is not None and _count_rules(outcome.stdout) == int(found.group(2))
    return found.group(1) if found and whole else ""


def _count_rules(text: str) -> int:
    """Return how many rules a table's text has: the lines of its chains, but for each chain's type and comments."""
    count, in_chain = 0, False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("chain "):
            in_chain = True
        elif line == "}":
            in_chain = False
        elif in_chain and line and not line.startswith(("type ", "#")):
            count += 1
    return count


def inside(namespace: str | None) -> list[str]:
    """Return the words that run a command in a named network namespace; none for the namespace we are in."""
    return ["ip", "netns", "exec", namespace] if namespace else []
