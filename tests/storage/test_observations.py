"""Observations are written straight into their table where none is there yet, and one by one where some may be."""

import asyncio

import pytest

from bigbrotr_dagster.storage.ingest import observations as module
from bigbrotr_dagster.storage.ingest.observations import WORTH_A_LOOK, insert_observations
from bigbrotr_dagster.storage.sessions import Pool
from tests.storage.test_writer import fetch

MANY = 3 * WORTH_A_LOOK
STORED = b"SELECT event_seq, relay_id, seen_at FROM observation"


async def stored(pool: Pool) -> dict[tuple[int, int], int]:
    return {(event, relay): seen_at for event, relay, seen_at in await fetch(pool, STORED)}


async def insert(pool: Pool, seen: dict[tuple[int, int], int], *new_events: int) -> dict[int, int]:
    async with pool.connection() as connection, connection.transaction():
        return await insert_observations(connection, seen, new_events)


@pytest.mark.parametrize("count", [1, WORTH_A_LOOK - 1, WORTH_A_LOOK, MANY])
@pytest.mark.parametrize("known", [0, 1, WORTH_A_LOOK // 2])
async def test_first_seen_wins_whatever_is_there_already(pool: Pool, count: int, known: int) -> None:
    before = {(event, 1): 5 for event in range(known)}
    assert await insert(pool, before) == ({1: known} if known else {})
    seen = {(event, relay): 9 for event in range(count) for relay in (2, 1)}
    fresh = count - min(known, count)
    assert await insert(pool, seen) == {2: count} | ({1: fresh} if fresh else {})
    assert await stored(pool) == seen | before


async def test_of_new_events_nobody_is_asked(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    query = module.query
    monkeypatch.setattr(module, "query", lambda name: [asked.append(name), query(name)][1])
    assert await insert(pool, {(event, 1): 9 for event in range(MANY)}, *range(MANY)) == {1: MANY}
    assert asked == ["copy_into_observation"]


async def test_what_another_writer_adds_beside_is_found_by_the_copy(pool: Pool) -> None:
    """It has looked before that writer commits, and waits for it at the row that both have."""
    seen = {(event, 1): 9 for event in range(MANY)}
    async with pool.connection() as other:
        async with other.transaction():
            await other.execute(b"INSERT INTO observation (event_seq, relay_id, seen_at) VALUES (7, 1, 5)")
            inserting = asyncio.create_task(insert(pool, seen))
            while not await fetch(pool, b"SELECT 1 FROM pg_locks WHERE NOT granted"):
                assert not inserting.done()
                await asyncio.sleep(0.01)
        assert await inserting == {1: MANY - 1}
    assert await stored(pool) == seen | {(7, 1): 5}
