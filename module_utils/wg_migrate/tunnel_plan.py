"""From what there is to what is wanted: the list of actions, and their words. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .tunnel_want import ANY_PATH, HOST, Key, State

_GONE_WITH_OTHERS = ("link", "wireguard")
"""Kinds that vanish with their device or namespace."""


@dataclass(frozen=True)
class Action:
    """Give one resource its value; `value` None removes it. `before` is what it is now, None if it is not there."""

    key: Key
    before: Any
    value: Any

    def __str__(self) -> str:
        name = " ".join(self.key)
        if self.value is None:
            return f"remove {name}"
        return f"{'make' if self.before is None else 'change'} {name}"


def plan(have: State, want: State) -> list[Action]:
    """Return what is to be done, in order: first everything wanted is made, then what is left over is removed."""
    removals = [Action(key, value, None) for key, value in reversed(list(have.items())) if _left_over(key, want)]
    loses_path = any(action.key[0] == "device" for action in removals)
    changes = [
        Action(key, have.get(key), value)
        for key, value in want.items()
        # The route that switches may stand on the very path that goes.
        if have.get(key) != value or (value == ANY_PATH and loses_path)
    ]
    return changes + _with_lost(changes, have, want) + removals


def _left_over(key: Key, want: State) -> bool:
    """Tell whether a resource of ours is to be removed by itself, and not with the device or namespace it is in."""
    if key in want or key[0] in _GONE_WITH_OTHERS:
        return False
    return key[0] in ("namespace", "device", "rule", "file") or key[1] == HOST


def _with_lost(changes: list[Action], have: State, want: State) -> list[Action]:
    """Return what a device that is made anew or moved loses, and has now: addresses, state, routes, keys."""
    remade = {change.key[1] for change in changes if change.key[0] == "device" and change.before is not None}
    done = {change.key for change in changes}
    lost = []
    for key, value in want.items():
        of_device = key[0] in ("wireguard", "link") and key[-1] in remade
        by_device = key[0] == "route" and value in {f"dev {device}" for device in remade}
        if key not in done and (of_device or by_device):
            lost.append(Action(key, have.get(key), value))
    return lost
