"""Coverage is a set of seconds: its arithmetic is checked against Python's own sets."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigbrotr_dagster.windowing.intervals import Coverage, Interval

intervals = st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda pair: Interval(pair[0], sum(pair)))
coverages = st.lists(intervals, max_size=8).map(Coverage)


def seconds(coverage: Coverage) -> set[int]:
    return {second for interval in coverage for second in range(interval.since, interval.until + 1)}


@given(coverages, coverages)
def test_arithmetic_is_that_of_sets_of_seconds(a: Coverage, b: Coverage) -> None:
    assert seconds(a | b) == seconds(a) | seconds(b)
    assert seconds(a - b) == seconds(a) - seconds(b)
    assert seconds(a & b) == seconds(a) & seconds(b)
    assert a.seconds == len(seconds(a))


@given(coverages)
def test_intervals_are_ascending_and_never_touch(coverage: Coverage) -> None:
    parts = list(coverage)
    assert all(earlier.until + 1 < later.since for earlier, later in pairwise(parts))


@pytest.mark.slow
@given(coverages, coverages)
def test_coverages_of_the_same_seconds_are_equal(a: Coverage, b: Coverage) -> None:
    assert (a == b) is (seconds(a) == seconds(b))


@given(coverages, st.integers(0, 60))
def test_a_stretch_ends_at_the_last_second_before_a_hole(coverage: Coverage, since: int) -> None:
    end = coverage.end_of_stretch(since)
    if end is None:
        assert since not in coverage
    else:
        assert set(range(since, end + 1)) <= seconds(coverage)
        assert end + 1 not in coverage


def test_an_interval_cannot_end_before_it_starts() -> None:
    with pytest.raises(ValueError, match="starts at 5 after its end 4"):
        Interval(5, 4)


def test_nothing_lies_between_a_later_and_an_earlier_second() -> None:
    assert Coverage.between(5, 4) == Coverage()
