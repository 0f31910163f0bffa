from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wg_migrate.errors import WgMigrateError
from wg_migrate.reading import read_interval

NONE = [0, -1, "abc", 1e-9, math.nan, "nan", "inf", math.inf, "0", "-1", "1e-9", 0.00099, 86400.1, 10**400, "1e999"]
NO_NUMBERS = [None, True, False, "", " ", [], [0.1], {}, {"seconds": 1}, b"1", "0,1", "0.1s", "1 2"]


@pytest.mark.parametrize("value", [*NONE, *NO_NUMBERS], ids=lambda value: repr(value)[:20])
def test_what_is_no_interval_is_refused_with_what_to_write(value: object) -> None:
    with pytest.raises(WgMigrateError, match=r"write a number of seconds from 0\.001 to 86400, for example 0\.1"):
        read_interval(value)


@pytest.mark.parametrize(
    ("value", "seconds"), [(0.001, 0.001), ("0.1", 0.1), (86400, 86400.0), (" 5 ", 5.0), ("1e-3", 0.001)]
)
def test_a_number_from_a_millisecond_to_a_day_is_taken(value: object, seconds: float) -> None:
    assert read_interval(value) == seconds


@given(st.one_of(st.floats(), st.integers(), st.text(), st.none(), st.booleans(), st.lists(st.integers())))
def test_anything_is_an_interval_in_range_or_refused(value: object) -> None:
    try:
        seconds = read_interval(value)
    except WgMigrateError:
        return
    assert 0.001 <= seconds <= 86400


@given(st.floats(0.001, 86400))
def test_a_number_and_its_text_are_one_interval(seconds: float) -> None:
    assert read_interval(seconds) == read_interval(str(seconds)) == seconds
