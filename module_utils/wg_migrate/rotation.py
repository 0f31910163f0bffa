"""New keys towards one peer, taken into use by the client, and given up again where the peer does not answer to them.

The new pair and preshared key lie in the key directory's `next`, the ones before meanwhile in `previous`. So the client
holds the keys that the peer has, whichever these are and wherever a rotation was cut off.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time

from . import config as configuration
from . import confirmation, control, tunnel, units
from .config import INNER_DEVICE, OUTER_NAMESPACE, Config
from .errors import WgMigrateError
from .keys import is_key
from .nft import inside
from .sessions import read_sessions
from .system import System

NEXT, PREVIOUS = "next", "previous"
LOCK = "/run/wg-migrate-adopt.lock"
WAIT = 5.0
"""Seconds within which the peer must have shaken hands with the new keys; WireGuard tries again after 5."""
_LOOK = 0.05
_ENDINGS = ("key", "psk")
_LATER = range(1, 3601)
"""Seconds."""


def adopt(system: System, peer: str, public_key: str) -> bool:
    """Use the new keys towards a peer, whose own new public key this is; return False where they are in use already.

    Raises WgMigrateError where there are none, or where the peer does not answer to them: then the old ones are in use
    again, and the new ones wait for the next try.
    """
    with system.lock(LOCK):
        config = configuration.load(system)
        try:
            adopted = _adopt(system, config, peer, public_key)
        finally:
            _hold(config, peer, 0)
        # It would come in the middle of the next rotation, should that begin at once.
        units.cancel(system, _unit(peer))
        return adopted


def _adopt(system: System, config: Config, peer: str, public_key: str) -> bool:
    known = _public_keys(config).get(peer)
    if known is None:
        raise WgMigrateError(f"{peer} is no peer of this client: write one of {', '.join(_public_keys(config))}")
    if not is_key(public_key):
        raise WgMigrateError("the public key is no WireGuard key: write what 'wg pubkey' prints")
    directory = config.key_directory
    if _have(system, directory, PREVIOUS, peer):
        # Cut off the last time: which of the two keys the peer has is found out again.
        _move(system, directory, "", NEXT, peer)
        _move(system, directory, PREVIOUS, "", peer)
    elif known == public_key and _has_shaken_hands(system, config, peer):
        # The peer has these keys of ours. What lies in `next` is of a later rotation, for another key of the peer's.
        return False
    if not _have(system, directory, NEXT, peer):
        if known == public_key:
            return False
        raise WgMigrateError(f"there are no new keys towards {peer} here: run playbooks/rotate-keys.yml")
    _copy(system, directory, "", PREVIOUS, peer)
    _move(system, directory, NEXT, "", peer)
    _use(system, _with_key(config, peer, public_key))
    if not _answers(system, config, peer):
        _move(system, directory, "", NEXT, peer)
        _move(system, directory, PREVIOUS, "", peer)
        _use(system, config)
        raise WgMigrateError(
            f"{peer} does not answer to the new keys within {WAIT:.0f} s: the old ones are in use again. Run "
            "playbooks/rotate-keys.yml once more"
        )
    _remove(system, directory, PREVIOUS, peer)
    if not system.exists(confirmation.MARKER):
        confirmation.keep(system)
    return True


def adopt_later(system: System, peer: str, public_key: str, seconds: int) -> None:
    """Have `adopt` run in so many seconds, whatever becomes of who asked; until then the peer's path carries nothing.

    Raises WgMigrateError for other numbers.
    """
    if seconds not in _LATER:
        raise WgMigrateError(f"{seconds} is refused: write seconds from {_LATER[0]} to {_LATER[-1]}")
    command = ["/usr/local/bin/wg-migrate", "adopt", peer, public_key]
    units.run_later(system, _unit(peer), seconds, command)
    _hold(configuration.load(system), peer, seconds + 2 * WAIT)


def _unit(peer: str) -> str:
    return f"wg-migrate-adopt-{peer}"


def _hold(config: Config, peer: str, seconds: float) -> None:
    """Have the loop leave the path to a peer out, for 0 s to take it back."""
    for path in config.paths:
        if path.proxy == peer:
            # Where no loop runs all traffic may be on this path, and rests for a second.
            with contextlib.suppress(WgMigrateError):
                control.ask({"command": "hold", "path": path.name, "seconds": seconds})


def _public_keys(config: Config) -> dict[str, str | None]:
    return {config.exit.name: config.exit.public_key, **{path.proxy: path.public_key for path in config.paths}}


def _with_key(config: Config, peer: str, public_key: str) -> Config:
    if peer == config.exit.name:
        return dataclasses.replace(config, exit=dataclasses.replace(config.exit, public_key=public_key))
    paths = [dataclasses.replace(path, public_key=public_key) if path.proxy == peer else path for path in config.paths]
    return dataclasses.replace(config, paths=paths)


def _use(system: System, config: Config) -> None:
    text = configuration.dump(config)
    if text != system.read(configuration.PATH):
        system.write(configuration.PATH, text, 0o600)
    tunnel.up(system, config)


def _device(config: Config, peer: str) -> tuple[str, str | None]:
    """Return the device that leads to a peer, and the namespace where it is."""
    device = next((path.name for path in config.paths if path.proxy == peer), INNER_DEVICE)
    return device, config.inner_namespace if device == INNER_DEVICE else OUTER_NAMESPACE


def _has_shaken_hands(system: System, config: Config, peer: str) -> bool:
    device, namespace = _device(config, peer)
    session = read_sessions(system, namespace).get(device)
    return session is not None and session.handshake > 0


def _answers(system: System, config: Config, peer: str) -> bool:
    """Tell whether the peer shakes hands. It is a new one to WireGuard, so any handshake is with the new keys."""
    device, namespace = _device(config, peer)
    public_key = _public_keys(configuration.load(system))[peer]
    keepalive = ["wg", "set", device, "peer", str(public_key), "persistent-keepalive"]
    # From none to some sends a packet at once, and so begins the handshake.
    system.run([*inside(namespace), *keepalive, "0"])
    system.run([*inside(namespace), *keepalive, str(config.keepalive)])
    deadline = time.monotonic() + WAIT
    while not _has_shaken_hands(system, config, peer):
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK)
    if device == INNER_DEVICE:
        system.run([*inside(namespace), *keepalive, "0"])
    return True


def _files(directory: str, place: str, peer: str) -> list[str]:
    return [f"{directory}/{place}/{peer}.{ending}".replace("//", "/") for ending in _ENDINGS]


def _have(system: System, directory: str, place: str, peer: str) -> bool:
    return all(system.exists(path) for path in _files(directory, place, peer))


def _copy(system: System, directory: str, source: str, target: str, peer: str) -> None:
    for have, want in zip(_files(directory, source, peer), _files(directory, target, peer)):
        text = system.read(have)
        if text is None:
            raise WgMigrateError(f"{have} is missing: deploy this client again, which makes its keys")
        system.write(want, text, 0o600)


def _move(system: System, directory: str, source: str, target: str, peer: str) -> None:
    _copy(system, directory, source, target, peer)
    if source:
        _remove(system, directory, source, peer)


def _remove(system: System, directory: str, place: str, peer: str) -> None:
    for path in _files(directory, place, peer):
        system.remove(path)
    system.remove_empty_directory(f"{directory}/{place}")
