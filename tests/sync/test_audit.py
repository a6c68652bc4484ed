"""Old windows are read again in rotation, and what has come into them meanwhile is counted."""

import time

import pytest
from bigbrotr_dagster.sync.audit import Audit

from bigbrotr_dagster.storage.state import Rotation
from bigbrotr_dagster.sync import sync_relays
from bigbrotr_dagster.windowing.intervals import Coverage, Interval
from tests.relays.hostile import DAY, FOREIGN, NOW, Cap, HostileRelay, calm, held, hostile
from tests.sync.helpers import ask, config, stored_ids


def looked_at(audit: Audit) -> Interval | None:
    return audit.task and audit.task.window


def test_windows_follow_each_other_downwards_and_start_again() -> None:
    covered = Coverage([Interval(100, 199), Interval(300, 1000)])
    windows, rotation = [], Rotation(0, 400)
    for _ in range(5):
        audit = Audit(rotation, covered)
        window = looked_at(audit)
        assert window is not None
        windows.append(window)
        audit.settle(window, [window.since] * 100)
        assert audit.rotation is not None
        rotation = audit.rotation
    assert windows == [
        Interval(601, 1000),
        Interval(300, 600),
        Interval(100, 199),
        Interval(601, 1000),
        Interval(300, 600),
    ]


def test_a_window_that_held_more_than_was_asked_for_is_gone_on_with() -> None:
    audit = Audit(Rotation(0, 400), Coverage.between(300, 1000))
    audit.settle(Interval(900, 1000), [950] * 200)
    assert audit.rotation == Rotation(900, 200)
    assert looked_at(Audit(audit.rotation, Coverage.between(300, 1000))) == Interval(700, 899)


def test_a_window_grows_with_few_events_and_shrinks_with_many() -> None:
    covered = Coverage.between(0, 10**9)
    for events, seconds in ((0, 8000), (100, 4000), (500, 2000)):
        audit = Audit(Rotation(10**8, 4000), covered)
        window = looked_at(audit)
        assert window is not None
        audit.settle(window, [window.until] * events)
        assert audit.rotation == Rotation(window.since, seconds)


def test_what_the_first_sync_has_just_read_waits_for_the_next_but_one() -> None:
    audit = Audit(Rotation(), Coverage.between(5, 100))
    assert looked_at(audit) is None
    assert audit.rotation == Rotation(5)
    assert looked_at(Audit(Rotation(5), Coverage.between(5, 100))) == Interval(5, 100)


def test_what_was_not_answered_is_read_by_the_next_run() -> None:
    assert Audit(Rotation(0), Coverage.between(0, 100)).rotation is None
    assert looked_at(Audit(Rotation(), Coverage())) is None


@pytest.mark.slow
async def test_an_event_that_comes_late_into_an_old_second_is_found_and_counted(database: str) -> None:
    relay = HostileRelay([Cap(100)], 1, [held(event) for event in calm(1500)])
    options = config(processing={"end_lag": 0})
    async with hostile(relay):
        relay.begin_round()
        await sync_relays(database, options, [relay.url])
        late = held(FOREIGN[9])
        assert late.created_at < NOW - 9 * DAY
        relay.hold([late])
        for _ in range(12):
            relay.begin_round()
            [report] = (await sync_relays(database, options, [relay.url])).relays
            if report.late_events:
                break
    assert late.id in stored_ids(database, relay.url)
    assert report.late_events == 1
    assert ask(database, "SELECT sum(late_events) FROM sync_attempt") == [(1,)]
    assert max(relay.asked[1:]) <= 4, "an audit costs one answer or two"
    assert late.created_at < time.time()
