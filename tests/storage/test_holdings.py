"""What is held of a relay: the newest of what was asked for, and planned for what was asked."""

from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.storage.holdings import Item, held_of_relay
from bigbrotr_dagster.storage.sessions import Pool
from bigbrotr_dagster.windowing.intervals import Interval
from tests.nostr.helpers import signed
from tests.storage.test_writer import RELAY, delivery, fetch, store

NOW = 1_790_000_000
EVERYTHING = Filter()
EVENTS = [signed(NOW - 10 * number, kind=number % 3) for number in range(60)]


def items(*events: Event) -> list[Item]:
    """Newest first."""
    return sorted(((event.created_at, bytes.fromhex(event.id)) for event in events), reverse=True)


async def held(
    pool: Pool, since: int, until: int, selection: Filter = EVERYTHING, most: int = 1_000
) -> list[Item]:
    async with pool.connection() as connection:
        return await held_of_relay(connection, RELAY, selection, Interval(since, until), most)


async def test_the_newest_events_of_the_window_that_the_relay_was_seen_with(pool: Pool) -> None:
    await store(pool, delivery(*EVENTS[:50], seen_at=NOW), delivery(*EVENTS[50:], relay="wss://other.example.com"))
    assert await held(pool, 0, NOW) == items(*EVENTS[:50])
    assert await held(pool, 0, NOW, most=7) == items(*EVENTS[:7])
    assert await held(pool, NOW - 100, NOW - 20) == items(*EVENTS[2:11])
    assert await held(pool, 0, NOW, Filter(kinds=(2,))) == items(*EVENTS[2:50:3])
    assert await held(pool, 0, NOW, Filter(authors=(EVENTS[0].id,))) == []


async def test_an_event_that_was_seen_long_before_it_was_made_is_left_out_and_no_other(pool: Pool) -> None:
    before = {"seen_at": NOW - 86_400}
    await store(pool, delivery(EVENTS[0], seen_at=NOW - 200_000), delivery(EVENTS[1], **before))
    assert await held(pool, NOW - 10, NOW) == items(EVENTS[1])
    assert await held(pool, 0, NOW) == items(*EVENTS[:2])


async def test_it_is_planned_for_each_relay_and_window(pool: Pool) -> None:
    await store(pool, delivery(EVENTS[0], seen_at=NOW))
    async with pool.connection() as connection:
        for _ in range(10):
            await held_of_relay(connection, RELAY, Filter(), Interval(0, NOW), 10)
        rows = await connection.execute(b"SELECT statement FROM pg_prepared_statements")
        prepared = [statement for (statement,) in await rows.fetchall()]
    assert not any("gone_event" in statement for statement in prepared)


async def test_what_is_gone_is_left_out(pool: Pool) -> None:
    await store(pool, delivery(*EVENTS[:3], seen_at=NOW))
    await fetch(
        pool,
        b"INSERT INTO gone_event (relay_id, event_seq) SELECT relay_id, event_seq FROM observation"
        b" ORDER BY event_seq LIMIT 1 RETURNING 1",
    )
    assert len(await held(pool, 0, NOW)) == 2
