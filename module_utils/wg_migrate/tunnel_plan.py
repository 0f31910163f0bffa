"""From what there is to what is wanted: the list of actions, and their words. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .config import INNER_DEVICE, OUTER_NAMESPACE
from .tunnel_want import ANY_PATH, HOST, Key, State

_GONE_WITH_OTHERS = ("link", "wireguard")
"""Kinds that vanish with their device or namespace."""
_OVERLAY = ("link", OUTER_NAMESPACE, "lo")


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
    standing = {key: value for key, value in have.items() if not _lost(key, value, have, want)}
    changes = [Action(key, standing.get(key), value) for key, value in want.items() if standing.get(key) != value]
    return changes + removals


def _left_over(key: Key, want: State) -> bool:
    """Tell whether a resource of ours is to be removed by itself, and not with the device or namespace it is in."""
    if key in want or key[0] in _GONE_WITH_OTHERS:
        return False
    if key[0] == "rule" and ("namespace", key[1]) in want:
        return True
    return key[0] in ("namespace", "device", "file") or key[1] == HOST


def _lost(key: Key, value: Any, have: State, want: State) -> bool:
    """Tell whether a resource goes with a device that is made anew, moved or removed: address, state, route, keys."""
    both = {**have, **want}
    devices = {each[1] for each in both if each[0] == "device" and have.get(each) != want.get(each)}
    if key == ("wireguard", INNER_DEVICE) and devices:
        # wireguard-go still sends by the device that is gone; its peer's endpoint, set anew, makes it ask the routes.
        return True
    if key[0] in ("wireguard", "link"):
        return key[-1] in devices
    if key[0] != "route":
        return False
    # The route that switches may stand on any of the paths, and goes with its source, the overlay address.
    any_path = bool(devices - {INNER_DEVICE}) or have.get(_OVERLAY) != want.get(_OVERLAY)
    return value[4:] in devices or (value == ANY_PATH and any_path)
