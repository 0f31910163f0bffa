"""The routes that lead wg0's packets to the paths, and one netlink message for each change of them.

The main table's default route is what switches by a period. Each path has a table of its own besides, for packets that
nftables has marked (tunnel_want); a path in doubt has its table lead to another one for the time being.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from .route_switch import RouteSwitch, encode
from .tunnel_want import path_mark


class Roads:
    """The paths are given by their numbers in the order of `names`; `source` is the overlay address."""

    def __init__(self, switch: RouteSwitch, names: Sequence[str], source: str) -> None:
        self._switch = switch
        self._names = list(names)
        self._source = source
        self._indices: dict[int, int] = {}
        self._quick: dict[int, bytes] = {}
        self._leads_to: dict[int, int] = {}
        self.active: int | None = None

    def find(self, indices: Mapping[str, int]) -> None:
        """Take note of the devices that there are, by their index in this namespace."""
        found = {number: indices[name] for number, name in enumerate(self._names) if name in indices}
        if found != self._indices:
            # A device that was made anew has lost its routes.
            self._leads_to = {}
            if self.active is not None and found.get(self.active) != self._indices.get(self.active):
                self.active = None
        self._indices = found
        self._quick = {number: encode(index, self._source, number=number) for number, index in found.items()}

    def move(self, path: int) -> None:
        """Put the main table's default route on a path.

        Raises OSError with the kernel's reason, KeyError where there is no such device: the route stands as it was.
        """
        self._switch.send(encode(self._indices[path], self._source))
        self.active = path

    def hurry(self, path: int) -> None:
        """Do the same without waiting for the kernel's word on it; `refused` tells it later. Raises KeyError."""
        self._switch.post(self._quick[path])
        self.active = path

    def refused(self) -> list[tuple[int, OSError]]:
        """Return the paths on which the route was not put after all; it stands where it stood before."""
        refused = self._switch.refusals()
        if refused:
            self.active = None
        return refused

    def detour(self, usable: Sequence[int]) -> None:
        """Have the tables of paths that are not usable lead to the active one, and the others to their own."""
        for number in self._indices:
            target = number if number in usable or self.active is None else self.active
            if self._leads_to.get(number) != target and target in self._indices:
                # A device that vanishes at this moment is seen at the next look.
                with contextlib.suppress(OSError):
                    self._switch.send(encode(self._indices[target], self._source, path_mark(self._names[number])))
                    self._leads_to[number] = target
