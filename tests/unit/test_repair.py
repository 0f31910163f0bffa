from __future__ import annotations

import itertools

import pytest
from fake_system import FakeSystem
from wg_migrate.repair import REQUEST, Repair


def asked_at(repair: Repair, system: FakeSystem, times: list[float]) -> list[float]:
    """Ask at these times; return those at which it was really asked."""
    asked = []
    for now in times:
        if repair.ask(now):
            assert system.files.pop(REQUEST) == ""
            asked.append(now)
        assert REQUEST not in system.files
    return asked


def test_the_first_time_is_at_once_and_then_it_is_more_and_more_seldom() -> None:
    system = FakeSystem()
    asked = asked_at(Repair(system), system, [tenth / 10 for tenth in range(4000)])
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert asked[0] == 0.0
    assert pauses == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60])


def test_after_a_calm_time_it_is_asked_as_soon_as_at_first() -> None:
    system = FakeSystem()
    repair = Repair(system)
    asked_at(repair, system, [0, 1, 3, 7])
    asked = asked_at(repair, system, [200 + tenth / 10 for tenth in range(50)])
    assert asked == pytest.approx([200, 201, 203])


def test_a_device_that_is_lost_again_and_again_is_no_calm_time() -> None:
    system = FakeSystem()
    repair = Repair(system)
    asked_at(repair, system, [0, 1, 3, 7])
    assert asked_at(repair, system, [50, 65.9, 66, 97.9, 98]) == [50, 66, 98]
