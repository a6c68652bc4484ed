"""The way out of the quarantine, into the archive."""

from collections.abc import Sequence
from dataclasses import dataclass

from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.storage.ingest.commit import commit
from bigbrotr_dagster.storage.ingest.delivery import Delivery, Tally
from bigbrotr_dagster.storage.ingest.known import Known
from bigbrotr_dagster.storage.ingest.prepare import PreparedBatch, prepare
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import AsyncConnection


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the quarantine with its bytes; it is known by the first two. `seen_at`: Unix time."""

    relay_url: str
    digest: bytes
    seen_at: int
    raw: bytes


async def release(connection: AsyncConnection, passed: Sequence[tuple[Entry, Event]]) -> tuple[Tally, list[str]]:
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

    async def take_out(connection: AsyncConnection, batch: PreparedBatch) -> None:
        gone = [entry for entry, event in passed if (event.id, event.sig) not in batch.refused]
        keys = {"relays": [entry.relay_url for entry in gone], "digests": [entry.digest for entry in gone]}
        await connection.execute(query("release_quarantined"), keys)

    await commit(connection, batch, known, take_out)
    copies = [(event.id, event.sig) for _, event in passed]
    return tally, [batch.refused[copy].reason for copy in copies if copy in batch.refused]
