"""Who was seen with which event: rows of `observation`. First seen wins.

Theory of operation. COPY straight into the table takes half of the time of INSERT ... ON CONFLICT, but one row
that is there already fails all of it. So it is for rows of which none should be there: nobody can have been seen
with an event that this transaction has stored, and what a reconciliation has shown to be new at a relay was looked
up a moment ago. If another writer has added one since, ON CONFLICT sorts it out, as it does for all others.
"""

from collections import Counter
from collections.abc import Mapping

import psycopg

from bigbrotr_dagster.storage.ingest.rows import pack_observations
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import AsyncConnection

Seen = Mapping[tuple[int, int], int]
"""`seen_at` by the numbers of the event and of the relay."""


async def insert_observations(connection: AsyncConnection, fresh: Seen, others: Seen) -> dict[int, int]:
    """Store what is not there yet, in the transaction that is open; returns the number of new rows by relay.

    Of those that are `fresh` none should be there.

    Raises:
        psycopg.OperationalError: the database is away, or two writers collided.
    """
    added = await _copy_all(connection, fresh) if fresh else Counter[int]()
    if others:
        added.update(await _insert_missing(connection, others))
    return added


async def _copy_all(connection: AsyncConnection, seen: Seen) -> Counter[int]:
    try:
        async with connection.transaction():  # a savepoint: what fails is undone alone
            await _copy(connection, "copy_into_observation", seen)
    except psycopg.errors.UniqueViolation:
        return Counter(await _insert_missing(connection, seen))
    return Counter(relay for _, relay in seen)


async def _insert_missing(connection: AsyncConnection, seen: Seen) -> dict[int, int]:
    await _copy(connection, "copy_observations", seen)
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(query("insert_observations"))
        return dict(await cursor.fetchall())


async def _copy(connection: AsyncConnection, into: str, seen: Seen) -> None:
    """In order of the key, so that two writers cannot deadlock."""
    async with connection.cursor() as cursor, cursor.copy(query(into)) as copy:
        await copy.write(pack_observations(sorted(seen.items())))
