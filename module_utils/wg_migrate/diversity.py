"""Whether the proxies are in networks of their own: who watches what two of them share sees both paths. Pure."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .addresses import read_host_address
from .errors import WgMigrateError
from .inventory import Host, Inventory, as_text
from .reading import shown

CHOICES = ("warn", "refuse", "ignore")
DEFAULT_CHOICE = "warn"
_AS_NUMBER = re.compile(r"(?:AS)?([1-9][0-9]{0,9})", re.IGNORECASE)
_LARGEST_AS_NUMBER = 2**32 - 1
"""RFC 6793."""
_LONGEST_LABEL = 100


def shared_networks(proxies: Iterable[Host]) -> list[str]:
    """Return a sentence for each set of proxies that share a provider, a region, an AS, or a /24 (IPv6: /48)."""
    owners: dict[str, list[str]] = {}
    for proxy in proxies:
        for label in _labels(proxy):
            owners.setdefault(label, []).append(proxy.name)
    shared: dict[tuple[str, ...], list[str]] = {}
    for label, names in owners.items():
        if len(names) > 1:
            shared.setdefault(tuple(names), []).append(label)
    return [
        f"{_listed(names)} share {_listed(labels)}: who watches there sees all of these paths. "
        "Choose other hosts, or write network_diversity: ignore."
        for names, labels in shared.items()
    ]


def diversity_of(inventory: Inventory) -> str:
    """Return what is to follow where proxies share a network. Raises WgMigrateError where the hosts disagree."""
    values = {as_text(host.variables.get("network_diversity", DEFAULT_CHOICE)) for host in inventory.hosts}
    if len(values) > 1:
        raise WgMigrateError(f"network_diversity: the hosts disagree: write one for all, for example {DEFAULT_CHOICE}")
    return values.pop() if values else DEFAULT_CHOICE


def read_diversity(value: object) -> None:
    """Raise WgMigrateError for what is no choice."""
    if value not in CHOICES:
        raise WgMigrateError(f"{shown(value)} is no choice: write {', '.join(CHOICES[:-1])} or {CHOICES[-1]}")


def read_label(value: object) -> str:
    """Return the name of a provider or a region as it is compared. Raises WgMigrateError for what is no name."""
    text = value.strip() if isinstance(value, str) else ""
    if not text or not text.isprintable() or len(text) > _LONGEST_LABEL:
        raise WgMigrateError(f"{shown(value)} is no name: write a short text, for example example-host or frankfurt")
    return text.casefold()


def read_as_number(value: object) -> int:
    """Return the number of an autonomous system. Raises WgMigrateError for what is none."""
    found = _AS_NUMBER.fullmatch(as_text(value))
    if not found or int(found[1]) > _LARGEST_AS_NUMBER:
        raise WgMigrateError(f"{shown(value)} is no AS number: write one, for example 64496 or AS64496")
    return int(found[1])


def _labels(proxy: Host) -> Iterator[str]:
    """Return what a proxy may share with another, as a message says it; what cannot be read is told elsewhere."""
    variables: Mapping[str, Any] = proxy.variables
    with contextlib.suppress(WgMigrateError):
        yield f"provider {read_label(variables.get('network_provider'))}"
    with contextlib.suppress(WgMigrateError):
        yield f"region {read_label(variables.get('network_region'))}"
    with contextlib.suppress(WgMigrateError):
        yield f"AS {read_as_number(variables.get('network_asn'))}"
    with contextlib.suppress(ValueError):
        length = 48 if ":" in proxy.address else 24
        yield f"network {ipaddress.ip_network(f'{read_host_address(proxy.address)}/{length}', strict=False)}"


def _listed(words: list[str] | tuple[str, ...]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
