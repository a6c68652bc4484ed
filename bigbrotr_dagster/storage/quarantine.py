"""The quarantine: what was rejected, with its bytes; and the way out of it, into the archive."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from psycopg.rows import TupleRow

from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.storage.commit import commit
from bigbrotr_dagster.storage.delivery import Delivery, Tally
from bigbrotr_dagster.storage.known import Known
from bigbrotr_dagster.storage.pool import Connection
from bigbrotr_dagster.storage.prepare import PreparedBatch, prepare
from bigbrotr_dagster.storage.queries import query

_Connection = psycopg.Connection[TupleRow]

PAGE_ROWS = 500
PAGE_BYTES = 16 * 2**20
"""What is taken from the quarantine at once, and stored in one transaction."""


@dataclass(frozen=True, slots=True)
class QuarantinedItem:
    """An entry as it is listed: `event_id` is what it claims to be, `size` the bytes that are kept."""

    relay_url: str
    reason: str
    event_id: str | None
    seen_at: datetime
    size: int


@dataclass(frozen=True, slots=True)
class QuarantineCount:
    """All entries of one reason."""

    reason: str
    entries: int
    relays: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry with its bytes; it is known by the first two."""

    relay_url: str
    digest: bytes
    seen_at: int
    raw: bytes


BEFORE_ALL = Entry("", b"", 0, b"")
"""Every entry comes after this one."""


def list_quarantine(connection: _Connection, url: str | None, reason: str | None) -> Iterator[QuarantinedItem]:
    """The entries of every relay and reason, or of one; a row at a time, for there can be a thousand a relay."""
    with connection.cursor() as cursor:
        for row in cursor.stream(query("list_quarantine"), {"relay_url": url, "reason": reason}):
            relay_url, why, event_id, seen_at, size = row
            yield QuarantinedItem(relay_url, why, event_id, datetime.fromtimestamp(seen_at, UTC), size)


def count_quarantine(connection: _Connection, url: str | None, reason: str | None) -> list[QuarantineCount]:
    """The number of entries by reason, most first."""
    rows = connection.execute(query("count_quarantine"), {"relay_url": url, "reason": reason})
    return [QuarantineCount(*row) for row in rows]


async def quarantine_page(
    connection: Connection, after: Entry, url: str | None, reason: str | None
) -> list[Entry]:
    """The entries that come next after one; none after the last.

    Raises:
        psycopg.Error: the database did not answer.
    """
    bounds = {"rows": PAGE_ROWS, "bytes": PAGE_BYTES}
    position = {"after_relay": after.relay_url, "after_digest": after.digest}
    wanted = {"relay_url": url, "reason": reason}
    cursor = await connection.execute(query("quarantine_page"), bounds | position | wanted)
    return [Entry(*row) for row in await cursor.fetchall()]


async def release(connection: Connection, passed: Sequence[tuple[Entry, Event]]) -> tuple[Tally, list[str]]:
    """Store events that pass every check now, as seen when they were rejected, and take their entries out.

    All in one transaction: an entry goes only with its event stored. One that PostgreSQL refuses stays.

    Returns:
        The tally, and why each of those that stay does.

    Raises:
        psycopg.Error: the database did not answer; nothing has changed.
    """
    tally, known = Tally(), Known()
    in_order = sorted(passed, key=lambda pair: pair[0].seen_at)  # of two copies, the one seen first counts
    deliveries = [Delivery(entry.relay_url, "", {}, entry.seen_at, tally, [event]) for entry, event in in_order]
    batch = await prepare(connection, deliveries, known, {event.id: event for _, event in passed})

    async def take_out(connection: Connection, batch: PreparedBatch) -> None:
        gone = [entry for entry, event in passed if (event.id, event.sig) not in batch.refused]
        keys = {"relays": [entry.relay_url for entry in gone], "digests": [entry.digest for entry in gone]}
        await connection.execute(query("release_quarantined"), keys)

    await commit(connection, batch, known, take_out)
    copies = [(event.id, event.sig) for _, event in passed]
    return tally, [batch.refused[copy].reason for copy in copies if copy in batch.refused]
