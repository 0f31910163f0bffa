from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from wg_migrate.batches import Batch
from wg_migrate.walk import Walk

TABLES = st.lists(st.builds(Batch, st.integers(0, 3), st.integers(1, 9)), min_size=2, max_size=9).filter(
    lambda table: all(one.path != other.path for one, other in pairwise(table))
)


@settings(derandomize=True, max_examples=80, deadline=None)
@given(TABLES, st.integers(-3, 100), st.integers(0, 10**12))
def test_switches_are_those_between_the_packets_that_were_sent(table: list[Batch], sent: int, before: int) -> None:
    def packets() -> list[int]:
        once = [batch.path for batch in table for _ in range(batch.packets)]
        return list(islice(once * 100, max(0, sent)))

    switches = Counter(path for previous, path in pairwise(packets()) if path != previous)
    assert +Walk(table, before).passed(before + sent) == switches


def test_the_next_batch_begins_with_its_first_packet() -> None:
    walk = Walk([Batch(0, 3), Batch(1, 2)], 100)
    counted = [sum(walk.passed(100 + sent).values()) for sent in range(9)]
    assert counted == [0, 0, 0, 0, 1, 1, 2, 2, 2]


def test_long_walks_are_counted_without_walking_them() -> None:
    walk = Walk([Batch(0, 1), Batch(1, 1)], 0)
    assert walk.passed(10**15) == Counter({0: 5 * 10**14 - 1, 1: 5 * 10**14})


def test_on_one_path_there_is_nothing_to_count() -> None:
    assert Walk([Batch(2, 60)], 0).passed(10**6) == Counter()
    assert Walk([], 0).passed(10**6) == Counter()


def test_counters_that_begin_anew_count_nothing() -> None:
    assert Walk([Batch(0, 3), Batch(1, 2)], 100).passed(7) == Counter()
