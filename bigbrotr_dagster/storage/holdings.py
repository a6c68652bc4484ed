"""What the archive holds of one relay, as a reconciliation (NIP-77) compares it."""

from dataclasses import dataclass

from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import AsyncConnection
from bigbrotr_dagster.windowing.intervals import Interval

Item = tuple[int, bytes]
"""created_at (Unix time) and id (32 bytes) of an event."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """An event that a relay says it holds, and did not send when it was asked for it so many `tries`.

    `place`: the seconds in which it lies; `is_refused`: what came is no event, and is in quarantine; `age`:
    seconds since the last try.
    """

    place: Interval
    is_refused: bool
    tries: int
    age: float


async def held_of_relay(
    connection: AsyncConnection, relay_url: str, selection: Filter, window: Interval, most: int
) -> list[Item]:
    """The newest events of the window that the relay was seen with and still holds, at most `most`, newest first.

    `selection`: of these kinds and authors; other parts of it play no part.

    Raises:
        psycopg.Error: the database did not answer.
    """
    keys = await (await connection.execute(query("relay_keys"), {"urls": [relay_url]})).fetchall()
    if not keys:
        return []
    authors = selection.authors
    values = {
        "relay_id": keys[0][1],
        "since": window.since,
        "until": window.until,
        "kinds": None if selection.kinds is None else list(selection.kinds),
        "authors": None if authors is None else [bytes.fromhex(author) for author in authors],
        "most": most,
    }
    async with connection.cursor(binary=True) as cursor:
        # Planned anew each time: the plan for any relay takes a hundred times as long for a small one's years.
        await cursor.execute(query("held_of_relay"), values, prepare=False)
        return await cursor.fetchall()


async def is_anything_held(connection: AsyncConnection) -> bool:
    """Whether the archive holds any event at all.

    Raises:
        psycopg.Error: the database did not answer.
    """
    row = await (await connection.execute(query("is_anything_held"))).fetchone()
    return bool(row and row[0])


async def load_withheld(connection: AsyncConnection, relay_url: str, filter_hash: str) -> dict[bytes, Withheld]:
    """What the relay has not sent under this filter, though it says that it holds it, by id.

    Raises:
        psycopg.Error: the database did not answer.
    """
    key = {"relay_url": relay_url, "filter_hash": filter_hash}
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(query("load_withheld"), key)
        rows = await cursor.fetchall()
    return {id: Withheld(Interval(since, until), *rest) for id, since, until, *rest in rows}
