"""A change that may cut the controller off is taken back unless the controller confirms it over a new connection.

The configuration that stood before stays in config.COPY until then. A timer of systemd takes the change back, and so
does the next boot, should the machine not live to see the timer end.
"""

from __future__ import annotations

from . import config, tunnel, units
from .errors import WgMigrateError
from .system import System
from .tunnel_apply import TUNNEL_UNIT

MARKER = "/etc/wg-migrate/unconfirmed"
"""Holds the boot in which the change was made."""
TIMER = "wg-migrate-roll-back"
_BOOT = "/proc/sys/kernel/random/boot_id"


def arm(system: System, seconds: int) -> None:
    """Have the change that follows taken back in so many seconds.

    Raises WgMigrateError where that cannot be promised: then nothing may be changed.
    """
    system.write(MARKER, system.read(_BOOT) or "")
    units.run_later(system, TIMER, seconds, ["/usr/local/bin/wg-migrate", "roll-back"])


def confirm(system: System) -> None:
    """Keep the change. Raises WgMigrateError where it has been taken back already."""
    if not system.exists(MARKER):
        raise WgMigrateError(
            "there is nothing to confirm: the change came too late or not at all, and what stood before stands again. "
            "Is the address that you connect from in client_management_sources?"
        )
    units.cancel(system, TIMER)
    system.remove(MARKER)
    keep(system)


def keep(system: System) -> None:
    """Remember the configuration as one that works. There is no way back to the one before, so its old keys go."""
    text = system.read(config.PATH)
    if text is not None and text != system.read(config.COPY):
        _forget_peers(system)
        system.write(config.COPY, text, 0o600)


def _forget_peers(system: System) -> None:
    """Remove our keys for the peers that are in the old configuration and not in the new one.

    First the keys, then the copy that names them: whatever cuts this short, the next run finds them again.
    """
    try:
        before, now = config.read(system, config.COPY), config.read(system, config.PATH)
    except WgMigrateError:
        return  # there is no old one, or nobody can tell which peers it had
    for peer in config.gone_peers(now, before):
        for suffix in ("key", "psk"):
            system.remove(f"{before.key_directory}/{peer}.{suffix}")


def roll_back(system: System) -> bool:
    """Take an unconfirmed change back; return whether there was one. Raises WgMigrateError as tunnel.up does."""
    if not system.exists(MARKER):
        return False
    before = system.read(config.COPY)
    if before is None:
        units.apply(system, units.plan_disabled(system, TUNNEL_UNIT))
        tunnel.down(system)
        system.remove(config.PATH)
    else:
        system.write(config.PATH, before, 0o600)
        tunnel.up(system, config.load(system))
    system.remove(MARKER)
    return True


def is_of_another_boot(system: System) -> bool:
    """Tell whether an unconfirmed change was made before the machine was started."""
    return system.exists(MARKER) and system.read(MARKER) != system.read(_BOOT)
