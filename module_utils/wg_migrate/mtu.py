"""How large a packet each device may carry, so that no outer packet is ever fragmented.

A layer of WireGuard costs 60 bytes over IPv4 and 80 over IPv6 (https://www.wireguard.com/protocol/); 80 is taken for
both layers, so that the same devices fit whatever is outside.
"""

from __future__ import annotations

from .errors import WgMigrateError

LAYER = 80
SMALLEST_INNER = 1280
"""Bytes: the least that IPv6 allows (RFC 8200, section 5), and what a browser's QUIC packets need."""
SMALLEST_UPLINK = SMALLEST_INNER + 2 * LAYER


def outer_mtu(uplink: int) -> int:
    """Return the MTU in bytes of wgnetN over an uplink of this MTU."""
    return uplink - LAYER


def inner_mtu(uplink: int) -> int:
    """Return the MTU in bytes of wg0 over an uplink of this MTU."""
    return uplink - 2 * LAYER


def refuse_small_uplink(uplink: int) -> None:
    """Raise WgMigrateError for an uplink over which wg0 would have an MTU under 1280."""
    if uplink < SMALLEST_UPLINK:
        raise WgMigrateError(
            f"with an uplink MTU of {uplink}, wg0 would have {inner_mtu(uplink)} and needs {SMALLEST_INNER}: "
            f"raise the uplink's MTU to {SMALLEST_UPLINK} or more"
        )
