"""The wg-quick file that a provider of WireGuard hands out, read strictly. Pure.

Its format is that of wg(8) and wg-quick(8). What is refused is told by the number of its line: a line that cannot be
read may be a key.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

from .addresses import read_host_address
from .errors import WgMigrateError
from .keys import NO_PRESHARED_KEY, is_key
from .quick_conf import canonical_address, canonical_network
from .reading import shortened, shown

_HOOKS = ("PreUp", "PostUp", "PreDown", "PostDown")
_KEYS = {
    "Interface": (*_HOOKS, "PrivateKey", "Address", "MTU", "DNS", "ListenPort", "FwMark", "Table", "SaveConfig"),
    "Peer": ("PublicKey", "PresharedKey", "AllowedIPs", "Endpoint", "PersistentKeepalive"),
}
_MANY = ("Address", "DNS", "AllowedIPs", *_HOOKS)
"""What may be written on several lines."""
_ENDPOINT = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]*)):([0-9]{1,5})")
_NUMBER = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True)
class ProviderFile:
    """What a provider's file says of the tunnel.

    `addresses` are those that it gave us, without lengths; `mtu` is in bytes, None where it leaves it open; `allowed`
    are networks; `hooks` are the commands' keys that stand in it. A preshared key that is not there is one of zeros.
    """

    private_key: str = field(repr=False)
    preshared_key: str = field(repr=False)
    public_key: str
    address: str
    port: int
    addresses: tuple[str, ...]
    allowed: tuple[str, ...]
    mtu: int | None = None
    hooks: tuple[str, ...] = ()

    def own_address(self, version: int) -> str | None:
        """Return the first address of this IP version that the provider gave us, None for none."""
        return next((each for each in self.addresses if ipaddress.ip_address(each).version == version), None)

    def carries(self, address: str) -> bool:
        """Tell whether packets to an address may be sent by this tunnel."""
        wanted = ipaddress.ip_address(address)
        return any(wanted in ipaddress.ip_network(network) for network in self.allowed)


def parse(text: str) -> ProviderFile:
    """Return what a file says. Raises WgMigrateError, without any secret in it, for what cannot be one of our paths."""
    values = _read(text)
    for name, key in (
        ("PrivateKey", "Interface"),
        ("Address", "Interface"),
        ("PublicKey", "Peer"),
        ("Endpoint", "Peer"),
    ):
        if name not in values:
            raise WgMigrateError(f"it has no {name} under [{key}]: give the whole file that the provider offers")
    for name in ("PrivateKey", "PublicKey", "PresharedKey"):
        if name in values and not is_key(values[name][0]):
            raise WgMigrateError(f"its {name} is no WireGuard key: give the whole file that the provider offers")
    address, port = _read_endpoint(values["Endpoint"][0])
    return ProviderFile(
        private_key=values["PrivateKey"][0],
        preshared_key=values.get("PresharedKey", [NO_PRESHARED_KEY])[0],
        public_key=values["PublicKey"][0],
        address=address,
        port=port,
        addresses=tuple(_read_address(each) for each in _listed(values, "Address")),
        allowed=tuple(canonical_network(each) for each in _listed(values, "AllowedIPs")),
        mtu=_read_mtu(values["MTU"][0]) if "MTU" in values else None,
        hooks=tuple(name for name in _HOOKS if name in values),
    )


def _read(text: str) -> dict[str, list[str]]:
    """Return the values by key, spelt as above; `wg` minds neither case nor white space."""
    values: dict[str, list[str]] = {}
    section, peers = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].strip()
        if not words:
            continue
        if words.startswith("["):
            section = next((name for name in _KEYS if words.casefold() == f"[{name}]".casefold()), "")
            peers += section == "Peer"
            if not section:
                raise WgMigrateError(f"line {number} is no [Interface] and no [Peer]: give a file for wg-quick")
            continue
        name, equals, value = (word.strip() for word in words.partition("="))
        if not equals or not section:
            raise WgMigrateError(
                f"line {number} is no 'Key = value' under [Interface] or [Peer]: give a file for wg-quick"
            )
        known = next((each for each in _KEYS[section] if each.casefold() == name.casefold()), None)
        if known is None:
            raise WgMigrateError(
                f"line {number} has a key that WireGuard does not know under [{section}]: a tunnel of another kind, as "
                "an obfuscated one, cannot be a path: give one of plain WireGuard"
            )
        if known in values and known not in _MANY:
            raise WgMigrateError(f"{known} stands in it twice, again in line {number}: keep one [Peer] and one of each")
        if value:
            values.setdefault(known, []).append(value)
    if peers > 1:
        raise WgMigrateError("it has several [Peer]: a path ends at one proxy, so keep one of them in the file")
    return values


def _listed(values: dict[str, list[str]], name: str) -> list[str]:
    return [word for value in values.get(name, []) for each in value.split(",") if (word := each.strip())]


def _read_address(text: str) -> str:
    address = canonical_address(text).partition("/")[0]
    try:
        return str(read_host_address(address))
    except ValueError:
        raise WgMigrateError(
            f"its Address {shown(text)} is none that a host can have: give the whole file that the provider offers"
        ) from None


def _read_endpoint(text: str) -> tuple[str, int]:
    found = _ENDPOINT.fullmatch(text)
    if not found or not 1 <= int(found[3]) <= 65535:
        raise WgMigrateError(f"its Endpoint is {shown(text)}: write an address and a port, as 192.0.2.7:51820")
    host = (found[1] or found[2] or "").strip()
    try:
        return str(read_host_address(host if found[1] is None else str(ipaddress.ip_address(host)))), int(found[3])
    except ValueError:
        # At boot nobody can be asked before the tunnel is up, and an answer may be another one each time.
        raise WgMigrateError(
            f"its Endpoint is {shown(text)}: write an address in place of the name, one of those that "
            f"'getent ahosts {shortened(host)}' tells"
        ) from None


def _read_mtu(text: str) -> int:
    if not _NUMBER.fullmatch(text) or not 1280 <= int(text) <= 65535:
        raise WgMigrateError(f"its MTU is {shown(text)}: write 1280 bytes or more, for a tunnel needs them")
    return int(text)
