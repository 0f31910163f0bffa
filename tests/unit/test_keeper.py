from __future__ import annotations

import pytest
from wg_migrate.keeper import Keeper


class Rig:
    """A keeper whose mendings are told what they find: by default nothing."""

    def __init__(self) -> None:
        self.finds = 0
        self.mended: list[float] = []
        self.keeper = Keeper(self._mend)
        self.now = 0.0

    def until(self, end: float) -> None:
        while self.now < end:
            self.now = min(end, self.now + self.keeper.wait(self.now))
            self.keeper.step(self.now)

    def _mend(self) -> bool:
        self.mended.append(self.now)
        self.finds -= 1
        return self.finds >= 0


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_without_a_change_nothing_is_looked_at(rig: Rig) -> None:
    rig.until(100)
    assert rig.mended == []


def test_a_change_is_mended_once_what_goes_with_it_has_come_too(rig: Rig) -> None:
    rig.until(10)
    rig.keeper.changed(10.0)
    rig.keeper.changed(10.05)
    rig.until(30)
    assert rig.mended == pytest.approx([10.1])


def test_what_was_mended_is_looked_at_again(rig: Rig) -> None:
    """Whatever comes while it is mended is taken for the mending's own."""
    rig.finds = 1
    rig.keeper.changed(0.0)
    rig.until(30)
    assert rig.mended == pytest.approx([0.1, 1.1])


def test_two_who_undo_each_other_do_so_more_and_more_seldom(rig: Rig) -> None:
    rig.finds = 1000
    rig.keeper.changed(0.0)
    rig.until(300)
    assert rig.mended == pytest.approx([0.1, 1.1, 3.1, 7.1, 15.1, 31.1, 63.1, 123.1, 183.1, 243.1])


def test_once_a_mending_has_held_the_next_change_is_mended_at_once(rig: Rig) -> None:
    rig.finds = 3
    rig.keeper.changed(0.0)
    rig.until(20)
    assert rig.mended == pytest.approx([0.1, 1.1, 3.1, 7.1])
    rig.finds = 1
    rig.keeper.changed(20.0)
    rig.until(30)
    assert rig.mended[-2:] == pytest.approx([20.1, 21.1])
