"""Put the double tunnel up as the configuration says, or take it down: gather, plan, apply, one at a time."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from .config import INNER_DEVICE, Config
from .errors import WgMigrateError
from .system import System
from .tunnel_apply import KEEPER_UNIT, LOOP_UNIT, apply
from .tunnel_have import gather, have_secrets, read_keys, strict_uplink
from .tunnel_plan import Action, plan
from .tunnel_want import HOST, Keys, State, guard, known_paths, needs_loose_check, pinned_paths, want
from .uplink import way_by

LOCK = "/run/wg-migrate.lock"
NOT_MADE = "(not made yet)"


@dataclass(frozen=True)
class Change:
    """The resources before and as wanted, and the actions that lead from the one to the other."""

    before: State
    after: State
    actions: list[Action]


def examine(system: System, config: Config | None, ahead: bool = False) -> Change:
    """Return what is to be done for the tunnel to be as `config` says; None: for it to be gone.

    `ahead` (check mode) takes keys that are not made yet for granted. Otherwise raises WgMigrateError where a key is
    missing or the exit's public key is not known.
    """
    have = gather(system)
    if config is None:
        return Change(have, {}, plan(have, {}))
    if ahead:
        config = _with_all_keys(config)
    _refuse_unknown(config)
    peers = [*(path.proxy for path in known_paths(config)), config.exit.name]
    if ahead and not all(have_secrets(system, config.key_directory, peer) for peer in peers):
        keys = dict.fromkeys(peers, Keys(NOT_MADE, NOT_MADE))
    else:
        keys = read_keys(system, config.key_directory, peers)
    strict = needs_loose_check(config) and strict_uplink(system)
    ways = {path.name: way_by(system, path.uplink, path.address) for path in pinned_paths(config)}
    wanted = want(config, keys, strict, {name: way for name, way in ways.items() if way})
    return Change(have, wanted, plan(have, wanted))


def refuse_foreign_device(system: System) -> None:
    """Raise WgMigrateError where a host on which nothing of ours was ever deployed has a wg0 of its own."""
    if gather(system).get(("device", INNER_DEVICE), "").startswith(f"{HOST} "):
        raise WgMigrateError(
            f"this host has a WireGuard device {INNER_DEVICE} already, which is not wg-migrate's: stop it "
            f"('systemctl disable --now wg-quick@{INNER_DEVICE}') or give it another name, and run again"
        )


def _with_all_keys(config: Config) -> Config:
    """Return the configuration as it will be once every peer has its keys."""
    paths = [dataclasses.replace(path, public_key=path.public_key or NOT_MADE) for path in config.paths]
    exit_host = dataclasses.replace(config.exit, public_key=config.exit.public_key or NOT_MADE)
    return dataclasses.replace(config, paths=paths, exit=exit_host)


def _refuse_unknown(config: Config) -> None:
    if not config.exit.public_key:
        raise WgMigrateError(f"the public key of {config.exit.name} is not known here: run site.yml without --limit")
    if not known_paths(config):
        raise WgMigrateError("no proxy's public key is known here: run site.yml without --limit")


def up(system: System, config: Config) -> Change:
    """Make the tunnel as the configuration says; what is so already stays untouched.

    Errors as `examine`; the guard stands then all the same, so that with scope host nothing leaves by the bare uplink.
    """
    with system.lock(LOCK):
        try:
            change = examine(system, config)
        except WgMigrateError:
            apply(system, plan({}, guard(config)), config)
            raise
        apply(system, change.actions, config)
        if any(action.key[0] in ("namespace", "device") for action in change.actions):
            # The loop holds the old namespace open, and is in its way.
            system.run(["systemctl", "try-restart", LOOP_UNIT])
            # It may have been stopped by `down`. The tunnel stands without it, and at boot it waits for us.
            system.attempt(["systemctl", "start", "--no-block", KEEPER_UNIT])
    return change


def down(system: System) -> Change:
    """Stop loop and keeper, and remove everything of the tunnel from the running system; files and units stay."""
    with system.lock(LOCK):
        # Stopping a unit that is not there is no error worth telling.
        system.attempt(["systemctl", "stop", KEEPER_UNIT, LOOP_UNIT])
        change = examine(system, None)
        apply(system, change.actions, None)
    return change
