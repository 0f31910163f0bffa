"""A client's configuration and keys for the unit tests: nobody's keys, RFC 5737 addresses."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

from wg_migrate.config import Config, Exit, Path
from wg_migrate.tunnel_want import Keys


def public_key(whose: str) -> str:
    """Return a well-formed key that is nobody's; no key stands in a file of the repository."""
    return base64.b64encode(f"PUBLIC OF {whose}".ljust(32).encode()).decode()


CONFIG = Config(
    scope="host",
    userspace=False,
    overlay_address="10.87.0.5",
    inner_address="10.87.16.5",
    inner_address6="fd00:db8::5",
    uplink_mtu=1500,
    exit=Exit("exit", "192.0.2.20", 51820, "10.87.16.1", "fd00:db8::1", public_key("EXIT")),
    paths=[
        Path("wgnet1", "proxy1", "192.0.2.11", 51820, public_key("PROXY1")),
        Path("wgnet2", "proxy2", "192.0.2.12", 51821, public_key("PROXY2")),
    ],
    key_directory="/etc/wg-migrate/keys",
    management_sources=["192.0.2.1/32", "2001:db8::/64"],
)
KEYS = {name: Keys(f"OURS-TOWARDS-{name}", f"digest-{name}") for name in ("proxy1", "proxy2", "proxy3", "exit")}


def config(**changes: Any) -> Config:
    """Return the sample with some of it changed."""
    return dataclasses.replace(CONFIG, **changes)
