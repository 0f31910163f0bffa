"""IP addresses of both families, as they are read and written. Pure."""

from __future__ import annotations

import ipaddress
from typing import Union

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


def read_host_address(text: str) -> Address:
    """Return the address that a text is. Raises ValueError where it is none that one host can have everywhere.

    It must be written as everything else writes it: an IPv6 address in lower case and shortened (RFC 5952), without a
    zone.
    """
    address = ipaddress.ip_address(text)
    if address.is_multicast or address.is_unspecified or address.is_loopback or address.is_reserved:
        raise ValueError(f"{text} is no address of one host")
    if address.version == 6 and (address.is_link_local or str(address) != text or "%" in text):
        raise ValueError(f"{text} is no IPv6 address that other hosts can use, or is not written in its short form")
    return address


def read_host_address4(text: str) -> ipaddress.IPv4Address:
    """Return the IPv4 address that a text is. Raises ValueError as `read_host_address` does, and for IPv6."""
    address = read_host_address(text)
    if not isinstance(address, ipaddress.IPv4Address):
        raise ValueError(f"{text} is an IPv6 address")
    return address


def read_host_address6(text: str) -> ipaddress.IPv6Address:
    """Return the IPv6 address that a text is. Raises ValueError as `read_host_address` does, and for IPv4."""
    address = read_host_address(text)
    if not isinstance(address, ipaddress.IPv6Address):
        raise ValueError(f"{text} is an IPv4 address")
    return address


def family(address: str) -> str:
    """Return the family of an address or network as `ip` takes it: -4 or -6."""
    return "-6" if ":" in address else "-4"


def alone(address: str) -> str:
    """Return the network of this one address, such as 192.0.2.7/32."""
    return f"{address}/{128 if ':' in address else 32}"


def endpoint(address: str, port: int) -> str:
    """Return an address with its port as `wg` writes them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
