"""When seconds are read again: at every age, within the bound, few times, and whatever runs fail."""

from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigbrotr_dagster.windowing.ages import (
    AGES,
    DAY,
    MOST_PARTS,
    PAUSES,
    Ages,
    Rate,
    joined,
    read_at,
    used_ages,
)
from bigbrotr_dagster.windowing.intervals import Coverage, Interval

BEGAN = 2 * 10**9
"""Second (Unix time) in which the simulated relays are synced first."""

YEAR = 365 * DAY


def bound(late: float) -> float:
    """Seconds of age by which an event that came so late is found, a cycle not counted (docs/completeness.md)."""
    return 9 * late + 1_536


@dataclass
class Follower:
    """Syncs a relay that gets one event a second, at times that the caller chooses."""

    lookback: int = DAY
    covered: Coverage = field(default_factory=Coverage)
    read: tuple[Coverage, ...] = ()
    reads: list[tuple[int, Coverage]] = field(default_factory=list)
    """When, and what: the first time that a second is read is among them."""

    def due(self, now: int) -> Coverage:
        return Ages(self.read, self.covered, Coverage.between(0, now), now, self.lookback).due

    def run(self, now: int, done: Coverage | None = None) -> None:
        """A sync that gets through with what is `done` of what it asks for; None is all."""
        wanted = Coverage.between(0, now)
        ages = Ages(self.read, self.covered, wanted, now, self.lookback)
        asked = (wanted - self.covered) | ages.due
        came = asked if done is None else asked & done
        self.covered |= came
        self.read = ages.after(came)
        self.reads.append((now, came))

    def times(self, second: int) -> list[int]:
        return [now - second for now, came in self.reads if second in came]


def assert_found_in_time(follower: Follower, second: int, cycle: float, until: int) -> None:
    """However late an event of that second comes, the first read after it is in time."""
    ages = [0, *follower.times(second)]
    for before, found in zip(ages, [*ages[1:], None], strict=True):
        late = before + 1  # it was missed by that read
        if second + bound(late) + cycle <= until:
            assert found is not None, f"an event {late} s late is not found"
            assert found <= bound(late) + cycle, f"an event {late} s late is found {found} s after its second"


@pytest.mark.parametrize("interval", [120, 300, 3_600, 2 * DAY])
def test_each_second_is_read_at_each_age_and_at_most_six_times_in_its_first_year(interval: int) -> None:
    follower, end = Follower(), BEGAN + YEAR // (20 if interval < 3_600 else 1) + 40 * DAY
    for now in range(BEGAN, end, interval):
        follower.run(now)
    seconds = [BEGAN - 100 * DAY, BEGAN - 5_000, BEGAN + 1, *Random(interval).sample(range(BEGAN, end - DAY), 40)]
    for second in seconds:
        assert len([age for age in follower.times(second) if age <= YEAR]) <= 6
        for age, pause in zip(AGES, PAUSES, strict=True):
            if second > BEGAN and second + age + pause + 2 * interval < end:
                assert any(age <= read < age + pause + interval for read in follower.times(second))
        if second > BEGAN:
            assert_found_in_time(follower, second, interval, end - interval)


pauses = st.one_of(st.integers(1, 600), st.integers(1, 40_000), st.integers(1, 40 * DAY))


@given(st.lists(pauses, min_size=1, max_size=40), st.data())
def test_an_event_is_found_in_time_whenever_the_runs_are(gaps: list[int], data: st.DataObject) -> None:
    follower, now = Follower(), BEGAN
    follower.run(now)
    for gap in gaps:
        now += gap
        follower.run(now)
    second = data.draw(st.integers(BEGAN + 1, now))
    assert_found_in_time(follower, second, max(gaps), now)


@given(st.lists(st.tuples(pauses, st.sampled_from(["all", "none", "half"])), min_size=1, max_size=30), st.data())
def test_whatever_fails_nothing_is_lost_and_no_mark_passes_what_was_not_read(
    runs: list[tuple[int, str]], data: st.DataObject
) -> None:
    follower, now = Follower(), BEGAN
    follower.run(now)
    for gap, success in runs:
        now += gap
        asked = follower.due(now) | (Coverage.between(0, now) - follower.covered)
        done = None if success == "all" else Coverage()
        if success == "half" and asked:
            part = data.draw(st.sampled_from(list(asked)))
            cut = data.draw(st.integers(part.since, part.until))
            done = Coverage([Interval(cut, part.until)])
        follower.run(now, done)
        for age, read in zip(AGES, follower.read, strict=True):
            claimed = read & follower.covered
            since = [came for at, came in follower.reads for came in [came & Coverage.between(0, at - age)]]
            proved = Coverage([part for came in since for part in came])
            assert not claimed - proved, f"the mark of {age} s passes what was not read so old"
            assert len(read) <= MOST_PARTS
    now += 9 * YEAR
    follower.run(now)  # one run that gets through reads all that is left
    assert follower.due(now + 1) == Coverage()
    assert follower.read == read_at(now)


def test_what_a_run_has_read_of_a_window_is_not_read_again() -> None:
    follower = Follower()
    follower.run(BEGAN)
    now = BEGAN + 10 * DAY
    follower.run(now)
    later = now + 40 * DAY
    due = follower.due(later)
    newest = Coverage.between(now - 3 * DAY, later)
    follower.run(later, newest)
    again = follower.due(later + 1)
    assert not (due - newest) - again
    assert (again & newest).seconds <= len(AGES), "but what has come of age in that second"


def test_a_first_sync_has_read_all_at_the_age_that_it_has() -> None:
    follower = Follower()
    follower.run(BEGAN)
    assert follower.read == read_at(BEGAN)
    assert follower.due(BEGAN + 300) == Coverage()
    assert follower.due(BEGAN + 511) == Coverage()
    assert follower.due(BEGAN + 512) == Coverage.between(BEGAN - 1_023, BEGAN + 512 - 1_024)


def test_what_is_not_covered_or_not_wanted_is_not_due_and_waits_for_its_turn() -> None:
    covered = Coverage.between(0, BEGAN) - Coverage.between(BEGAN - 2_000, BEGAN - 1_500)
    now = BEGAN + DAY
    ages = Ages(read_at(BEGAN), covered, Coverage.between(BEGAN - 10_000, BEGAN), now, DAY)
    assert ages.due & covered == ages.due
    assert ages.due & Coverage.between(BEGAN - 10_000, BEGAN) == ages.due
    unread = covered - ages.after(Coverage())[1] & Coverage.between(0, now - AGES[1])
    assert unread == Coverage.between(BEGAN - AGES[1] + 1, BEGAN) & covered


def test_a_clock_that_was_ahead_does_not_keep_seconds_from_being_read() -> None:
    follower = Follower()
    follower.run(BEGAN)
    follower.read = read_at(BEGAN + YEAR)
    follower.run(BEGAN + 1)
    assert follower.read == read_at(BEGAN + 1)


def test_lookback_bounds_the_ages_up_to_a_day_and_no_others() -> None:
    later = AGES[3:]
    assert used_ages(DAY) == used_ages(10**9) == AGES
    assert used_ages(10_000) == (*AGES[:2], None, *later)
    assert used_ages(1_024) == (1_024, None, None, *later)
    assert used_ages(600) == (600, None, None, *later)
    assert used_ages(0) == (None, None, None, *later)


def test_an_age_that_was_left_out_goes_on_from_where_it_is_taken_in_again() -> None:
    follower = Follower(lookback=0)
    follower.run(BEGAN)
    follower.run(BEGAN + 5 * DAY)
    assert follower.due(BEGAN + 5 * DAY) == Coverage()
    follower.lookback = DAY
    assert follower.due(BEGAN + 5 * DAY + 300) == Coverage()


def test_windows_are_joined_where_a_page_holds_a_day_and_all_between_them_is_covered() -> None:
    todo, covered = Coverage([Interval(1_000, 2_000), Interval(9_000, 9_500)]), Coverage.between(0, 10**6)
    whole = Coverage.between(1_000, 9_500)
    assert joined(todo, covered, Rate(500 / DAY, 2_000), 500) == whole
    assert joined(todo, covered, Rate(501 / DAY, 2_000), 5_000) == todo
    assert joined(todo, covered, Rate(101 / DAY, 2_000), 100) == todo
    assert joined(todo, covered, Rate(0.0, 2_001), 500) == todo, "nobody knows how many"
    assert joined(todo, covered - Coverage.between(5_000, 5_000), Rate(0.0, 0), 500) == todo
    far = todo | Coverage.between(9_501 + DAY, 10**6)
    assert joined(far, covered, Rate(0.0, 0), 500) == whole | (far - todo)
