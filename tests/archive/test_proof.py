"""What a cursor claims is proved: from `since` on, every second, under every filter that is configured."""

from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigbrotr_dagster.archive.proof import cursors_beyond_coverage, relay_states
from bigbrotr_dagster.archive.registry import register_relays
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.storage.sessions import open_pool
from bigbrotr_dagster.storage.state import begin_attempt
from bigbrotr_dagster.sync import cursor_claims, sync_relays
from bigbrotr_dagster.windowing.intervals import Coverage, Interval
from tests.nostr.helpers import signed
from tests.relays.scripted import scripted
from tests.sync.helpers import config, tell

RELAY = "wss://relay.example.com"
ALL, NOTES = Filter().hash(), Filter.from_dict({"kinds": [1]}).hash()

Spans = Sequence[tuple[int, int]]


def put(database: str, cursor: int, proved: dict[str, tuple[Spans, Spans]]) -> None:
    """An archive whose only relay has this cursor, and by filter hash these covered stretches and gaps."""
    with psycopg.connect(database) as connection:
        connection.execute("DELETE FROM service_state")
        connection.execute("DELETE FROM sync_coverage")
        connection.execute("DELETE FROM sync_gap")
        state = f'{{"timestamp": {cursor}, "id": "{"f" * 64}"}}'
        connection.execute("INSERT INTO service_state VALUES ('synchronizer', 'cursor', %s, %s)", [RELAY, state])
        for filter_hash, (covered, gaps) in proved.items():
            ranges = "{" + ",".join(f"[{first},{last}]" for first, last in covered) + "}"
            row = [RELAY, filter_hash, "{}", ranges]
            connection.execute("INSERT INTO sync_coverage VALUES (%s, %s, %s, %s)", row)
            for first, last in gaps:
                connection.execute(
                    "INSERT INTO sync_gap (relay_url, filter_hash, since, until, reason)"
                    " VALUES (%s, %s, %s, %s, 'refused') ON CONFLICT DO NOTHING",
                    [RELAY, filter_hash, first, last],
                )


def options(since: int = 0, filters: Sequence[dict[str, Any]] = ({},)) -> Any:
    return config(processing={"since": since, "filters": list(filters)})


NOTHING: tuple[Spans, Spans] = ([], [])


@pytest.mark.parametrize(
    ("since", "cursor", "covered", "gaps", "sound"),
    [
        (0, 1005, [(1000, 1010)], [], False),  # far below nothing is proved
        (1000, 1005, [(1000, 1010)], [], True),
        (999, 1005, [(1000, 1010)], [], False),
        (1000, 1010, [(1000, 1010)], [], True),
        (1000, 1011, [(1000, 1010)], [], False),
        (1000, 1010, [(1000, 1004), (1006, 1010)], [], False),  # a second in the middle
        (1000, 1010, [(1000, 1004), (1006, 1010)], [(1005, 1005)], True),
        (1000, 1010, [(1003, 1004)], [(1000, 1002), (1005, 1020)], True),  # gaps at both ends
        (1000, 1010, [(1000, 1010)], [(1004, 1006)], True),  # a gap that was covered, too
        (1000, 1010, [], [(900, 1100)], True),  # refused altogether
        (1000, 1010, [], [], False),
        (2000, 1005, [], [], True),  # it claims nothing of what is wanted
        (0, 0, [(0, 0)], [], True),
        (0, 4_000_000_000, [(0, 5_000_000_000)], [], True),
    ],
)
def test_a_cursor_needs_every_second_below_it(
    any_database: str, since: int, cursor: int, covered: Spans, gaps: Spans, sound: bool
) -> None:
    put(any_database, cursor, {ALL: (covered, gaps)})
    assert cursors_beyond_coverage(any_database, options(since)) == ([] if sound else [RELAY])
    assert cursors_beyond_coverage(any_database, options(since), [RELAY]) == ([] if sound else [RELAY])
    assert cursors_beyond_coverage(any_database, options(since), ["wss://other.example.com"]) == []


@pytest.mark.parametrize(
    ("filters", "notes", "sound"),
    [
        ([{}], NOTHING, True),
        ([{}, {"kinds": [1]}], NOTHING, False),
        ([{}, {"kinds": [1]}], ([(1000, 1010)], []), True),
        ([{}, {"kinds": [1]}], ([(1000, 1009)], []), False),
        ([{}, {"kinds": [1]}], ([(1000, 1009)], [(1010, 1010)]), True),
        ([{}, {"kinds": [1], "since": 1008}], ([(1008, 1010)], []), True),  # a filter's own `since`
        ([{}, {"kinds": [1], "since": 1007}], ([(1008, 1010)], []), False),
        ([{}, {"kinds": [1], "since": 1011}], NOTHING, True),
        ([{"kinds": [1]}], ([(1000, 1010)], []), True),
        ([{"kinds": [2]}], ([(1000, 1010)], []), False),
    ],
)
def test_a_cursor_needs_it_under_every_configured_filter(
    database: str, filters: list[dict[str, Any]], notes: tuple[Spans, Spans], sound: bool
) -> None:
    put(database, 1010, {ALL: ([(1000, 1010)], []), NOTES: notes})
    assert cursors_beyond_coverage(database, options(1000, filters)) == ([] if sound else [RELAY])


spans = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=4
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    since=st.integers(0, 45),
    cursor=st.integers(0, 45),
    all_kinds=st.tuples(spans, spans),
    notes=st.tuples(spans, spans),
)
def test_postgresql_counts_as_one_counts_second_by_second(
    database: str, since: int, cursor: int, all_kinds: tuple[Spans, Spans], notes: tuple[Spans, Spans]
) -> None:
    put(database, cursor, {ALL: all_kinds, NOTES: notes})
    settled = [
        {second for first, last in (*covered, *gaps) for second in range(first, last + 1)}
        for covered, gaps in (all_kinds, notes)
    ]
    sound = all(second in under for under in settled for second in range(since, cursor + 1))
    found = cursors_beyond_coverage(database, options(since, [{}, {"kinds": [1]}]))
    assert found == ([] if sound else [RELAY])


@pytest.mark.parametrize(("since", "kept"), [(1000, True), (0, False)])
async def test_a_sync_takes_back_a_cursor_that_claims_more_than_is_proved(
    database: str, since: int, kept: bool
) -> None:
    """More is asked for than when the cursor was proved: the configuration has changed."""
    put(database, 1005, {ALL: ([(1000, 1010)], [])})
    register_relays(database, [RELAY])
    async with open_pool(database) as pool, pool.connection() as connection:
        await begin_attempt(connection, RELAY, "run", cursor_claims(options(since).processing))
    [state] = relay_states(database)
    assert (state.cursor is not None) is kept
    assert cursors_beyond_coverage(database, options(since)) == []


@pytest.mark.parametrize(
    "told",
    [{"since": 1_500}, {"until": 1_500}, {"filters": [{"kinds": [7]}]}, {"since": 1_500, "filters": [{}]}],
    ids=str,
)
async def test_a_run_that_is_told_otherwise_claims_no_more_than_the_archive_has(
    database: str, told: dict[str, Any]
) -> None:
    configured = options()
    async with scripted([signed(second) for second in (1_000, 2_000)]) as relay:
        register_relays(database, [relay.url])
        [report] = (await sync_relays(database, configured.with_overrides(**told), [relay.url])).relays
        assert report.ok, report.error
        assert cursors_beyond_coverage(database, configured) == []
        [report] = (await sync_relays(database, configured, [relay.url])).relays
        assert report.ok, report.error
        assert report.cursor is not None
        before = report.cursor
        [report] = (await sync_relays(database, configured.with_overrides(**told), [relay.url])).relays
        assert report.ok, report.error
    [state] = relay_states(database)
    assert state.cursor is not None
    assert state.cursor.timestamp >= before.timestamp, "what was proved stays claimed"
    assert cursors_beyond_coverage(database, configured) == []


def test_the_model_of_a_gap_is_the_walks(database: str) -> None:
    """Both ends of a stretch are in it, here as in `windowing`."""
    put(database, 1010, {ALL: ([(1000, 1004)], [(1005, 1010)])})
    assert Coverage([Interval(1000, 1004), Interval(1005, 1010)]).end_of_stretch(1000) == 1010
    assert cursors_beyond_coverage(database, options(1000)) == []
    tell(database, "UPDATE sync_gap SET since = 1006")
    assert Coverage([Interval(1000, 1004), Interval(1006, 1010)]).end_of_stretch(1000) == 1004
    assert cursors_beyond_coverage(database, options(1000)) == [RELAY]
