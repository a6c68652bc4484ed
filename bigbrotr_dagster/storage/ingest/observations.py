"""Who was seen with which event: rows of `observation`. First seen wins.

Theory of operation. COPY straight into the table takes half of the time of INSERT ... ON CONFLICT, but one
row that is there already fails all of it. Few are there: an event that this transaction has stored was seen by
nobody before, and of the others the index tells. What another writer adds between that look and the COPY is found
by the COPY, and then ON CONFLICT sorts it out, as it does for the few rows of a small batch.
"""

from collections import Counter
from collections.abc import Collection, Mapping

import psycopg

from bigbrotr_dagster.storage.ingest.rows import pack_observations
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import AsyncConnection

WORTH_A_LOOK = 100
"""Rows. For fewer, the three round trips more cost what they save."""

Seen = Mapping[tuple[int, int], int]
"""`seen_at` by the numbers of the event and of the relay."""


async def insert_observations(
    connection: AsyncConnection, seen: Seen, new_events: Collection[int]
) -> dict[int, int]:
    """Store what is not there yet, in the transaction that is open; returns the number of new rows by relay.

    `new_events`: the numbers of events that this transaction has stored.

    Raises:
        psycopg.OperationalError: the database is away, or two writers collided.
    """
    if not seen:
        return {}
    if len(seen) < WORTH_A_LOOK:
        return await _insert_missing(connection, seen)
    seen = await _unseen(connection, seen, new_events)
    try:
        async with connection.transaction():  # a savepoint: what fails is undone alone
            await _copy(connection, "copy_into_observation", seen)
    except psycopg.errors.UniqueViolation:
        return await _insert_missing(connection, seen)
    return Counter(relay for _, relay in seen)


async def _unseen(connection: AsyncConnection, seen: Seen, new_events: Collection[int]) -> Seen:
    asked = [pair for pair in seen if pair[0] not in new_events]
    if not asked:
        return seen
    pairs = {"events": [event for event, _ in asked], "relays": [relay for _, relay in asked]}
    async with connection.cursor(binary=True) as cursor:
        there = set(await (await cursor.execute(query("observed"), pairs)).fetchall())
    return {pair: seen_at for pair, seen_at in seen.items() if pair not in there} if there else seen


async def _insert_missing(connection: AsyncConnection, seen: Seen) -> dict[int, int]:
    await _copy(connection, "copy_observations", seen)
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(query("insert_observations"))
        return dict(await cursor.fetchall())


async def _copy(connection: AsyncConnection, into: str, seen: Seen) -> None:
    """In order of the key, so that two writers cannot deadlock."""
    async with connection.cursor() as cursor, cursor.copy(query(into)) as copy:
        await copy.write(pack_observations(sorted(seen.items())))
