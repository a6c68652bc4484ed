"""What is read again, in an archive: old seconds, windows larger than a run's budget, an archive of before."""

from itertools import pairwise

import psycopg
import pytest

from bigbrotr_dagster.storage.databases.migrations import migrate
from bigbrotr_dagster.sync import sync_relays
from tests.nostr.helpers import signed
from tests.relays.scripted import scripted
from tests.sync.clock import clock
from tests.sync.helpers import ask, config, stored_ids, tell

HOUR, DAY = 3_600, 86_400


async def test_an_event_that_comes_days_late_is_found_weeks_later_and_counted(any_database: str) -> None:
    database = any_database
    with clock(database) as now:
        began = int(now.time())
        async with scripted([signed(began - number * HOUR) for number in range(1, 300)]) as relay:
            await sync_relays(database, config(), [relay.url])
            late = signed(began - 9 * DAY, content="late")
            relay.events.append(late)
            now.forward(38 * DAY)
            [early] = (await sync_relays(database, config(), [relay.url])).relays
            assert early.late_events == 0
            assert late.id not in stored_ids(database)
            now.forward(2 * DAY)
            [report] = (await sync_relays(database, config(), [relay.url])).relays
    assert (report.ok, report.late_events, report.events_new) == (True, 1, 1)
    assert late.id in stored_ids(database)
    assert ask(database, "SELECT sum(late_events) FROM sync_attempt") == [(1,)]


async def test_a_window_larger_than_a_runs_budget_is_read_in_parts(database: str) -> None:
    """From its new end down; the next run goes on where the last one had to stop."""
    options = config(processing={"end_lag": 0, "max_relay_events": 300})
    with clock(database) as now:
        began = int(now.time())
        events = [signed(began - 3_000 - number, content="then") for number in range(2_000)]
        async with scripted(events, cap=100) as relay:
            await sync_relays(database, config(), [relay.url])
            late = signed(began - 5_000, content="late")
            relay.events.append(late)
            now.forward(2 * HOUR)
            runs = 0
            while late.id not in stored_ids(database):
                [report] = (await sync_relays(database, options, [relay.url])).relays
                assert report.ok
                runs += 1
                assert runs < 15, "no progress is kept"
                now.forward(10)
    assert runs > 5


async def test_what_is_pending_has_its_turn_beside_what_is_read_again(database: str) -> None:
    options = config(processing={"end_lag": 0, "max_relay_events": 400})
    with clock(database) as now:
        began = int(now.time())
        async with scripted([signed(began - 3 * number) for number in range(3_000)], cap=100) as relay:
            pending = []
            while not pending or pending[-1]:
                relay.events.append(signed(int(now.time()) - 1, content="new"))
                [report] = (await sync_relays(database, options, [relay.url])).relays
                pending.append(report.pending_seconds)
                assert len(pending) < 40
                now.forward(600)
    assert all(later < earlier for earlier, later in pairwise(pending))


async def test_an_archive_of_an_earlier_version_goes_on_without_reading_all_again(any_database: str) -> None:
    database = any_database
    with clock(database) as now:
        began = int(now.time())
        async with scripted([signed(began - number * HOUR) for number in range(1, 1_000)]) as relay:
            await sync_relays(database, config(), [relay.url])
            as_it_was(database)
            with psycopg.connect(database, autocommit=True) as connection:
                assert migrate(connection) == ["0023_ages"]
            relay.events.append(signed(began - 9_000, content="late"))
            now.forward(300)
            [report] = (await sync_relays(database, config(), [relay.url])).relays
            assert (report.ok, report.events_received, report.late_events) == (True, 0, 0)
            now.forward(17 * HOUR)
            [report] = (await sync_relays(database, config(), [relay.url])).relays
    assert (report.ok, report.late_events) == (True, 1)
    assert report.events_received < 100


def as_it_was(database: str) -> None:
    """The archive's table of coverage as version 22 of the schema had it."""
    tell(
        database,
        "ALTER TABLE sync_coverage DROP COLUMN read_at_ages, ADD COLUMN audited_from bigint,"
        " ADD COLUMN audit_seconds bigint NOT NULL DEFAULT 86400;"
        " UPDATE sync_coverage SET audited_from = 7; DELETE FROM schema_migration WHERE version = 23",
    )


async def test_a_run_that_is_killed_leaves_its_seconds_to_be_read_at_all_ages(database: str) -> None:
    """What the first one has covered was read after it began, and is known to be no older."""
    with clock(database) as now:
        began = int(now.time())
        async with scripted([signed(began - number * 60) for number in range(1, 600)]) as relay:
            await sync_relays(database, config(), [relay.url])
            tell(
                database,
                "UPDATE sync_coverage SET read_at_ages = NULL; UPDATE relay_limits SET succeeded_at = NULL",
            )
            relay.events.append(signed(began - 500, content="late"))
            now.forward(1_200)
            [report] = (await sync_relays(database, config(), [relay.url])).relays
    assert (report.ok, report.late_events) == (True, 1)


@pytest.mark.parametrize(("lookback", "late"), [(86_400, 1), (600, 1), (0, 0)])
async def test_lookback_bounds_the_first_ages(database: str, lookback: int, late: int) -> None:
    options = config(processing={"end_lag": 0, "lookback": lookback})
    with clock(database) as now:
        async with scripted([signed(int(now.time()) - 3_000)]) as relay:
            await sync_relays(database, options, [relay.url])
            relay.events.append(signed(int(now.time()) - 100, content="late"))
            now.forward(2 * HOUR)
            [report] = (await sync_relays(database, options, [relay.url])).relays
    assert (report.ok, report.late_events) == (True, late)
