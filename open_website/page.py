"""What is asked for, what came, and whether that is the page. Pure: nothing here speaks to a browser."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


class PageError(Exception):
    """The page was not loaded, or cannot be; the message says why and what to do about it."""


@dataclass(frozen=True)
class Load:
    """A page that was loaded: where it was in the end, how it came, and how long it took.

    `protocol` is that of the page, `h3`, `h2` or `http/1.1`; `protocols` counts its resources by theirs, "" where
    another host does not tell. `seconds` go from the start to the end of the load event; `bytes` are those of all that
    came, with headers. `seen` is the client's address as the server saw it, where the page tells.
    """

    url: str
    title: str
    status: int
    protocol: str
    seconds: float
    resources: int
    protocols: Mapping[str, int]
    bytes: int
    seen: str | None


LOOK = """
const page = performance.getEntriesByType('navigation')[0], rest = performance.getEntriesByType('resource');
const told = document.querySelector('meta[name="client-address"]');
return {
  url: location.href, title: document.title, status: page ? page.responseStatus : 0,
  protocol: page ? page.nextHopProtocol : '', milliseconds: page ? page.loadEventEnd - page.startTime : 0,
  protocols: rest.map(each => each.nextHopProtocol),
  bytes: [page, ...rest].reduce((sum, each) => sum + (each ? each.transferSize : 0), 0),
  seen: told ? told.content : null,
};
"""
"""What the browser is asked about its page (https://www.w3.org/TR/navigation-timing-2/)."""


def address(text: str) -> str:
    """Return the address of a page as a browser takes it; without a scheme it is https.

    Raises PageError for what is no address of a page.
    """
    whole = text if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) else f"https://{text}"
    try:
        parts = urlsplit(whole)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s\x00-\x1f]", whole):
        raise PageError(
            f"{text!r} is no address of a page: write one such as https://www.example.org/ or www.example.org"
        )
    return whole


def read(found: Mapping[str, Any]) -> Load:
    """Return the load that the answer to LOOK describes.

    Raises PageError where that is no page of a server, but the browser's own about an error, or the server's.
    """
    if not str(found["url"]).startswith(("http:", "https:")):
        raise PageError("the browser shows a page of its own: is the server's certificate one that it trusts?")
    if not found["status"]:
        raise PageError("no server answered: the browser shows an error")
    if found["status"] >= 400:
        raise PageError(f"the server answered with status {found['status']}")
    return Load(
        url=found["url"],
        title=found["title"],
        status=found["status"],
        protocol=found["protocol"],
        seconds=round(found["milliseconds"] / 1000, 4),
        resources=len(found["protocols"]),
        protocols=dict(Counter(found["protocols"])),
        bytes=int(found["bytes"]),
        seen=found["seen"],
    )


def first_line(said: str) -> str:
    """Return why a browser could not load a page, from what its driver said: the rest is addresses in its code."""
    line = said.strip().splitlines()[0] if said.strip() else "no reason given"
    known = re.search(r"net::(ERR_\w+)|\[Errno -?\d+\] ([\w ]+)", line)
    return known[1] or known[2] if known else line


def text(load: Load) -> str:
    """Return a load as a person reads it."""
    kinds = ", ".join(f"{count} by {name or 'a protocol not told'}" for name, count in sorted(load.protocols.items()))
    rows = {
        "title": load.title or "(none)",
        "protocol": load.protocol,
        "load time": f"{load.seconds:.3f} s",
        "resources": f"{load.resources}{f' ({kinds})' if kinds else ''}, {load.bytes / 1e6:.2f} MB in all",
        **({"server saw": load.seen} if load.seen else {}),
    }
    return "\n".join([load.url, *(f"  {name:11} {value}" for name, value in rows.items())])


def summary(loads: Sequence[Load], failures: Sequence[str]) -> dict[str, Any]:
    """Return what several loads say together; `median_seconds` is None where all failed."""
    median = statistics.median(load.seconds for load in loads) if loads else None
    return {"loaded": len(loads), "failed": len(failures), "median_seconds": median, "failures": list(failures)}
