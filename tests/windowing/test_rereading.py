"""What is read again, once all is proved: bounded in events, whatever a relay's history looks like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigbrotr_dagster.storage.state import Rotation
from bigbrotr_dagster.sync.audit import Audit
from bigbrotr_dagster.windowing.habits import Habits, Order
from bigbrotr_dagster.windowing.intervals import Coverage, Interval
from bigbrotr_dagster.windowing.rereading import MOST_EVENTS
from bigbrotr_dagster.windowing.rungs import Rung
from bigbrotr_dagster.windowing.walk import Walk
from tests.windowing.model import Relay, Stamp, run

YEAR = 365 * 86_400

second = st.integers(1, 10 * YEAR)
bursts = st.lists(st.tuples(second, st.integers(1, 2_000), st.integers(1, 86_400)), max_size=4)


def spread(clusters: list[tuple[int, int, int]]) -> list[Stamp]:
    """Events in clusters: (first second, events, seconds from the first to the last)."""
    return [
        Stamp(f"{number}-{index}", start + index * length // count)
        for number, (start, count, length) in enumerate(clusters)
        for index in range(count)
    ]


def audited(relay: Relay, covered: Coverage, habits: Habits, most: int) -> list[tuple[Interval, int]]:
    """What each of several runs read again, and the events that it brought, until all was read once."""
    read: list[tuple[Interval, int]] = []
    rotation = Rotation(0)
    while covered - Coverage(window for window, _ in read):
        assert len(read) < most, f"not all is read after {most} runs"
        audit = Audit(rotation, covered)
        before = relay.sent
        outcomes = run(Walk(Coverage(), 500, habits, audit.task), relay)
        [reread] = outcomes.reread
        audit.settle(reread, [event.created_at for event in outcomes.delivered.values()])
        assert audit.rotation is not None
        rotation = audit.rotation
        read.append((reread, relay.sent - before))
    return read


@pytest.mark.slow
@given(bursts, st.integers(100, 600), st.lists(st.tuples(second, second), min_size=1, max_size=3))
def test_no_run_reads_more_than_its_bound_and_all_is_read_in_time(
    clusters: list[tuple[int, int, int]], cap: int, spans: list[tuple[int, int]]
) -> None:
    relay = Relay(spread(clusters), cap)
    covered = Coverage(Interval(min(span), max(span)) for span in spans)
    crowded = sum(count // 50 for _, count, length in clusters if count > 50 * (length + 1))
    halvings = 32 * (len(clusters) + len(covered) + 1)  # from ten years to a minute, and back
    habits = Habits(largest=cap, cut_at=cap, since_exclusive=False, until_exclusive=False)
    read = audited(relay, covered, habits, len(relay.events) // 40 + crowded + halvings)
    assert max(events for _, events in read) <= MOST_EVENTS


@pytest.mark.slow
@given(bursts, st.sampled_from([Habits(order=Order.UNTRUSTED), Habits(rung=Rung.SHORT_WINDOW)]))
def test_a_relay_that_cuts_anywhere_or_wants_short_windows_is_read_within_the_bound(
    clusters: list[tuple[int, int, int]], habits: Habits
) -> None:
    relay = Relay(spread(clusters), 500, random_subset=habits.order is Order.UNTRUSTED)
    read = audited(relay, Coverage.between(1, YEAR // 50), habits, 2_000)
    assert max(events for _, events in read) <= MOST_EVENTS


def test_what_is_more_than_we_take_is_passed_over() -> None:
    audit = Audit(Rotation(0, 1_000), Coverage.between(1, 1_000))
    walk = Walk(Coverage(), 500, Habits(), audit.task)
    asked = []
    while (ask := walk.next()) is not None:
        asked.append(ask.limit)
        proof = walk.broken(ask, "a message of 3 MiB")
    assert proof.reread == Interval(1, 1_000)
    assert asked == [200, 100, 50, 25, 12, 6, 3, 1]
