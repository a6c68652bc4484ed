"""Observations are written straight into their table where none is there yet, and one by one where some may be."""

import asyncio

import pytest

from bigbrotr_dagster.storage.ingest.observations import Seen, insert_observations
from bigbrotr_dagster.storage.sessions import Pool
from tests.storage.test_writer import fetch

MANY = 300
NONE: Seen = {}
STORED = b"SELECT event_seq, relay_id, seen_at FROM observation"


async def stored(pool: Pool) -> dict[tuple[int, int], int]:
    return {(event, relay): seen_at for event, relay, seen_at in await fetch(pool, STORED)}


async def insert(pool: Pool, fresh: Seen, others: Seen = NONE) -> dict[int, int]:
    async with pool.connection() as connection, connection.transaction():
        return await insert_observations(connection, fresh, others)


@pytest.mark.parametrize("known", [0, 1, 50])
async def test_first_seen_wins_whatever_is_there_already(pool: Pool, known: int) -> None:
    before = {(event, 1): 5 for event in range(known)}
    assert await insert(pool, before) == ({1: known} if known else {})
    fresh = {(event, relay): 9 for event in range(100, 200) for relay in (2, 1)}
    others = {(event, relay): 9 for event in range(100) for relay in (2, 1)}
    assert await insert(pool, fresh, others) == {1: 200 - known, 2: 200}
    assert await stored(pool) == fresh | others | before


@pytest.mark.parametrize("known", [1, 50])
async def test_so_it_does_where_they_should_not_have_been_there(pool: Pool, known: int) -> None:
    before = {(event, 1): 5 for event in range(known)}
    await insert(pool, before)
    fresh = {(event, relay): 9 for event in range(100) for relay in (2, 1)}
    others = {(event, 3): 9 for event in range(100)}
    assert await insert(pool, fresh, others) == {1: 100 - known, 2: 100, 3: 100}
    assert await stored(pool) == fresh | others | before


async def test_what_another_writer_adds_beside_is_found_by_the_copy(pool: Pool) -> None:
    """It waits for that writer at the row that both have."""
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
