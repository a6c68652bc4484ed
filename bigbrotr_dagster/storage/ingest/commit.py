"""One batch, one transaction: events, observations, coverage, gaps, cursors and quarantine."""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

import psycopg
from psycopg.types.json import Jsonb
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.storage.ingest.delivery import Delivery, Quarantined
from bigbrotr_dagster.storage.ingest.known import Known
from bigbrotr_dagster.storage.ingest.observations import insert_observations
from bigbrotr_dagster.storage.ingest.prepare import PreparedBatch, digest, known_events
from bigbrotr_dagster.storage.ingest.rows import pack_events
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import AsyncConnection
from bigbrotr_dagster.windowing.intervals import Interval

log = logging.getLogger(__name__)

MOST_QUARANTINED = 1_000
"""Rows of quarantine a relay may fill."""

Claims = Callable[[AsyncConnection, PreparedBatch], Awaitable[None]]
"""Writes what holds once the batch's events are stored: in their transaction, and in a pipeline."""


async def _insert_claims(connection: AsyncConnection, batch: PreparedBatch) -> None:
    for delivery in batch.deliveries:
        await _insert_claims_of(connection, delivery, batch.rejected(delivery))


async def commit(
    connection: AsyncConnection,
    batch: PreparedBatch,
    known: Known,
    claims: Claims = _insert_claims,
    *,
    durable: bool = True,
) -> None:
    """Store a batch, all of it or nothing; the tallies of its deliveries count only what was stored.

    A batch that is not `durable` does not wait for the disk: a crash of the server may take back the last of them,
    whole. One that is durable makes those before it so, too.

    Raises:
        psycopg.OperationalError: the database is away, or two writers collided: prepare it again and try again.
    """
    try:
        await _commit(connection, batch, known, claims, durable)
    except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded) as error:
        why = str(error).partition("\n")[0]  # it may quote the event
        log.warning("a batch of %d events holds one that cannot be stored: %.300r", len(batch.new), why)
        await _set_unstorable_apart(connection, batch)
        await _commit(connection, batch, known, claims, durable)


async def _commit(
    connection: AsyncConnection, batch: PreparedBatch, known: Known, claims: Claims, durable: bool
) -> None:
    relays = await _relay_keys(connection, {delivery.relay_url for delivery in batch.deliveries}, known)
    async with connection.transaction():
        if not durable:
            await connection.execute(query("commit_without_waiting"))
        stored, events = await _store_events(connection, batch, known)
        late = await _late(connection, batch, events, relays)
        observed = await _insert_observations(connection, batch, stored, events, relays)
        async with connection.pipeline():  # one round trip for all of them
            await claims(connection, batch)
    known.add(batch.epoch, stored, relays)
    _count(batch, relays, stored, observed, late)


async def _relay_keys(connection: AsyncConnection, urls: set[str], known: Known) -> dict[str, int]:
    """The relays' numbers. New ones are made before the batch's transaction, so that nobody waits for its end."""
    keys = known.relays(urls)
    missing = sorted(urls - keys.keys())
    if missing:
        await connection.execute(query("add_relay_keys"), {"urls": missing})
        keys |= dict(await (await connection.execute(query("relay_keys"), {"urls": missing})).fetchall())
    return keys


async def _store_events(
    connection: AsyncConnection, batch: PreparedBatch, known: Known
) -> tuple[dict[str, int], dict[str, int]]:
    """Returns the numbers of the events that no other writer had stored meanwhile, and those of all events."""
    events = batch.known | known.events(batch.new)  # of these some were stored since this batch was prepared
    stored = await _insert_events(connection, [event for id, event in batch.new.items() if id not in events])
    events |= stored
    meanwhile = batch.new.keys() - events.keys()
    if meanwhile:
        events |= await known_events(connection, meanwhile, known)
        if gone := meanwhile - events.keys():
            raise psycopg.errors.SerializationFailure(f"{len(gone)} events were stored and deleted by another")
    return stored, events


async def _insert_events(connection: AsyncConnection, events: Collection[Event]) -> dict[str, int]:
    """Returns the numbers of those that were not there."""
    if not events:
        return {}
    packed = pack_events(events)
    async with connection.cursor(binary=True) as cursor:
        async with cursor.copy(query("copy_events")) as copy:
            await copy.write(packed)
        await cursor.execute(query("insert_events"))
        return {id.hex(): seq for id, seq in await cursor.fetchall()}


async def _late(
    connection: AsyncConnection, batch: PreparedBatch, events: Mapping[str, int], relays: Mapping[str, int]
) -> dict[int, list[int]]:
    """By relay, the seconds of new observations that had been proved complete: `created_at` of each event."""
    pairs: set[tuple[int, int]] = set()
    for delivery in batch.deliveries:
        if delivery.again:
            read_again = {event.id for event in delivery.events if event.created_at in delivery.again}
            relay = relays[delivery.relay_url]
            if delivery.compared.are_late:
                read_again.update(batch.claimed(delivery))
            pairs.update((events[id], relay) for id in read_again.intersection(batch.accepted(delivery)))
    if not pairs:
        return {}
    values = {"events": [event for event, _ in pairs], "relays": [relay for _, relay in pairs]}
    late: dict[int, list[int]] = {}
    for relay, created_at in await (await connection.execute(query("late_observations"), values)).fetchall():
        late.setdefault(relay, []).append(created_at)
    return late


async def _insert_observations(
    connection: AsyncConnection,
    batch: PreparedBatch,
    stored: Collection[str],
    events: Mapping[str, int],
    relays: Mapping[str, int],
) -> dict[int, int]:
    """Returns the number of new observations by relay."""
    fresh: dict[tuple[int, int], int] = {}
    others: dict[tuple[int, int], int] = {}
    for delivery in reversed(batch.deliveries):  # the first to see it is the one that is kept
        relay, seen_at = relays[delivery.relay_url], delivery.seen_at
        for id in batch.sent(delivery):
            (fresh if id in stored else others)[events[id], relay] = seen_at
        fresh.update(((events[id], relay), seen_at) for id in batch.claimed(delivery))
    for pair in fresh.keys() & others.keys():  # claimed by one delivery, and sent by another
        others[pair] = min(others[pair], fresh.pop(pair))
    return await insert_observations(connection, fresh, others)


async def _insert_claims_of(
    connection: AsyncConnection, delivery: Delivery, rejected: Iterable[Quarantined]
) -> None:
    """What the delivery proves and disproves, and what of it was rejected."""
    key = {"relay_url": delivery.relay_url, "filter_hash": delivery.filter_hash}
    for item in rejected:
        row = {"digest": digest(item.raw), "reason": item.reason, "event_id": item.event_id, "raw": item.raw}
        await connection.execute(query("quarantine"), key | row | {"most": MOST_QUARANTINED})
    for part in delivery.disproved:
        window = {"since": part.since, "until": part.until}
        await connection.execute(query("shrink_coverage"), key | window)
        await connection.execute(query("take_back_cursor"), key | window)
    for gap in delivery.gaps:
        window = {"since": gap.interval.since, "until": gap.interval.until}
        counts = {"reason": str(gap), "held": gap.held, "missing": gap.missing}
        await connection.execute(query("record_gap"), key | window | counts)
        await connection.execute(query("shrink_coverage"), key | window)
    if delivery.covered:
        await connection.execute(query("close_gaps"), key | {"covered": multirange(delivery.covered)})
        covered = {"filter": Jsonb(delivery.filter), "covered": multirange(delivery.covered)}
        await connection.execute(query("extend_coverage"), key | covered)
    await _insert_compared(connection, delivery)
    if delivery.cursor is not None:
        position = {"timestamp": delivery.cursor.timestamp, "id": delivery.cursor.id}
        await connection.execute(query("advance_cursor"), {"relay_url": delivery.relay_url} | position)


async def _insert_compared(connection: AsyncConnection, delivery: Delivery) -> None:
    """What a reconciliation has shown beside events and proofs."""
    compared, relay = delivery.compared, {"relay_url": delivery.relay_url}
    if compared.back:
        await connection.execute(query("forget_gone"), relay | {"ids": list(compared.back)})
    if compared.gone:
        await connection.execute(query("record_gone"), relay | {"ids": list(compared.gone)})
    key = relay | {"filter_hash": delivery.filter_hash}
    if compared.settled:
        await connection.execute(query("forget_withheld"), key | {"ids": list(compared.settled)})
    if compared.withheld:
        places = compared.withheld.values()
        bounds = {"sinces": [place.since for place in places], "untils": [place.until for place in places]}
        what = {"ids": list(compared.withheld), "refused": [id in compared.refused for id in compared.withheld]}
        await connection.execute(query("record_withheld"), key | bounds | what)


def multirange(intervals: Iterable[Interval]) -> Multirange[int]:
    """Closed intervals as PostgreSQL's half-open ranges."""
    return Multirange(Range(part.since, part.until + 1) for part in intervals)


def _count(
    batch: PreparedBatch,
    relays: Mapping[str, int],
    stored: Iterable[str],
    observed: dict[int, int],
    late: dict[int, list[int]],
) -> None:
    """Tell each relay's tally. A new event counts for the first relay of the batch that brought it."""
    unclaimed = set(stored)
    for delivery in batch.deliveries:
        tally, relay = delivery.tally, relays[delivery.relay_url]
        accepted = batch.accepted(delivery)
        first = unclaimed.intersection(accepted)
        unclaimed -= first
        tally.events_new += len(first)
        tally.events_known += len(accepted) - len(first)
        tally.events_claimed += len(batch.claimed(delivery))
        tally.events_gone += len(delivery.compared.gone)
        tally.observations_new += observed.pop(relay, 0)
        tally.add_late(delivery.seen_at - second for second in late.pop(relay, []))
        tally.rejected.update(delivery.rejected_counts)
        refused = batch.rejected(delivery)[len(delivery.rejected) :]
        tally.rejected.update(item.reason for item in refused)


async def _set_unstorable_apart(connection: AsyncConnection, batch: PreparedBatch) -> None:
    """Move the events that PostgreSQL refuses from `new` to `refused`, halving down to each of them."""
    groups = [list(batch.new.values())]
    while groups:
        group = groups.pop()
        try:
            async with connection.transaction(force_rollback=True):
                await _insert_events(connection, group)
        except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded):
            if len(group) == 1:
                del batch.new[group[0].id]
                batch.refuse_all_copies(group[0].id, "unstorable")
            else:
                groups += [group[: len(group) // 2], group[len(group) // 2 :]]
