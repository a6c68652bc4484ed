"""The expensive checks of a batch: each event's signature is verified once in the archive's life.

A stored event was verified when it was stored, and its id is the hash of all it says, so an id that is
already known needs no signature check. On the public network four of five arrivals are known.

What remains is whether a relay that sends a known event has it, signature included, for that is what an
observation says. To compare each signature with the stored one would read the event itself, where now the index
answers (sql/README.md). So a few known events of each delivery are verified, drawn at random, and all of them
where one of those is forged. A copy with another valid signature is the event all the same: BIP-340 has many.
"""

import asyncio
import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import SystemRandom

from bigbrotr_dagster.nostr.event import Event, verify_signature
from bigbrotr_dagster.storage.ingest.delivery import Delivery, Quarantined
from bigbrotr_dagster.storage.ingest.known import Known
from bigbrotr_dagster.storage.ingest.rows import unstorable
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import AsyncConnection

THREADS = min(4, (os.cpu_count() or 1) - 2)
"""Threads that verify while the event loop receives: libsecp256k1 runs without the GIL. One core is the loop's,
and one PostgreSQL's. Where there is no other, threads would only fight for the GIL: the loop verifies by itself, a
slice at a time."""

SLICE = 12
"""Signatures in a slice: half a millisecond in which the loop does nothing else."""

SPOT_CHECKS = 4
"""Known events of a delivery whose signatures are verified."""

_draw = SystemRandom().sample
_verifiers = ThreadPoolExecutor(max_workers=max(1, THREADS), thread_name_prefix="verify")


@dataclass(slots=True)
class PreparedBatch:
    """A batch that can be stored as it stands: the `new` events by id, the `known` ones' numbers, what is refused.

    `refused` goes by id and signature: the copy that one relay forged must not cost the copy of another.
    `epoch`: the session of the server that the numbers are good for.
    """

    deliveries: list[Delivery]
    epoch: int
    known: dict[str, int]
    new: dict[str, Event]
    refused: dict[tuple[str, str], Quarantined]

    def accepted(self, delivery: Delivery) -> list[str]:
        """The ids of a delivery's events that are in the archive once the batch is stored."""
        return [*self.sent(delivery), *self.claimed(delivery)]

    def sent(self, delivery: Delivery) -> list[str]:
        """Those of them that the relay has sent."""
        if not self.refused:
            return [event.id for event in delivery.events]
        return [event.id for event in delivery.events if (event.id, event.sig) not in self.refused]

    def claimed(self, delivery: Delivery) -> list[str]:
        """The ids of stored events that the relay holds by its word, as far as they are stored still."""
        return [id for id in map(bytes.hex, delivery.compared.claimed) if id in self.known]

    def rejected(self, delivery: Delivery) -> list[Quarantined]:
        """What a delivery brought that is not stored."""
        if not self.refused:
            return list(delivery.rejected)
        copies = [(event.id, event.sig) for event in delivery.events]
        return [*delivery.rejected, *(self.refused[copy] for copy in copies if copy in self.refused)]

    def refuse_all_copies(self, id: str, reason: str) -> None:
        """Refuse an event, whichever signature its copies carry."""
        for delivery in self.deliveries:
            for event in delivery.events:
                if event.id == id:
                    self.refused[id, event.sig] = quarantined(event, reason)


async def prepare(
    connection: AsyncConnection,
    deliveries: list[Delivery],
    known: Known,
    verified: Mapping[str, Event] | None = None,
) -> PreparedBatch:
    """Find out which events are new, and which of those cannot be stored.

    `verified`: events by id whose signatures were checked, in a batch that is not stored yet.

    Raises:
        psycopg.Error: the database did not answer.
    """
    copies = {(event.id, event.sig): event for delivery in deliveries for event in delivery.events}
    batch = PreparedBatch(deliveries, known.epoch, {}, {}, {})
    claimed = {id.hex() for delivery in deliveries for id in delivery.compared.claimed}
    batch.known = await known_events(connection, claimed.union(id for id, _ in copies), known)
    unknown = []
    for event in copies.values():
        before = verified and verified.get(event.id)
        if before and before.sig == event.sig:
            batch.new[event.id] = event
        elif event.id not in batch.known:
            unknown.append(event)
    for event, is_valid in zip(unknown, await verify_signatures(unknown), strict=True):
        reason = unstorable(event) if is_valid else "bad_signature"
        if reason is not None:
            batch.refused[event.id, event.sig] = quarantined(event, reason)
        else:
            batch.new[event.id] = event
    await _refuse_forged_copies(batch)
    return batch


async def _refuse_forged_copies(batch: PreparedBatch) -> None:
    """Look at a few known events of each delivery, and at all of them where one is not what was signed."""
    known = [[event for event in delivery.events if event.id in batch.known] for delivery in batch.deliveries]
    drawn = [_draw(events, min(SPOT_CHECKS, len(events))) for events in known]
    verdicts = iter(await verify_signatures([event for events in drawn for event in events]))
    for events, few in zip(known, drawn, strict=True):
        found = [next(verdicts) for _ in few]
        suspect = [] if all(found) else events
        for event, is_valid in zip(suspect, await verify_signatures(suspect), strict=True):
            if not is_valid:
                batch.refused[event.id, event.sig] = quarantined(event, "bad_signature")


async def authors_around(connection: AsyncConnection, second: int) -> list[str]:
    """Authors of stored events of about that second, the nearest first."""
    cursor = await connection.execute(query("authors_around"), {"second": second})
    return [pubkey.hex() for (pubkey,) in await cursor.fetchall()]


async def known_events(connection: AsyncConnection, ids: Collection[str], known: Known) -> dict[str, int]:
    """The numbers of those events that are stored.

    Raises:
        psycopg.Error: the database did not answer.
    """
    epoch = known.epoch
    found = known.events(ids)
    asked = [bytes.fromhex(id) for id in ids if id not in found]
    if asked:
        async with connection.cursor(binary=True) as cursor:
            await cursor.execute(query("known_events"), {"ids": asked})
            stored = {id.hex(): seq for id, seq in await cursor.fetchall()}
        known.add(epoch, stored)
        found |= stored
    return found


def quarantined(event: Event, reason: str) -> Quarantined:
    """The event as it is kept in quarantine, for `reason`."""
    return Quarantined(reason, event.to_json(), event.id)


def digest(raw: bytes) -> bytes:
    """What the same rejected bytes are recognized by."""
    return hashlib.sha256(raw).digest()


async def verify_signatures(events: Sequence[Event]) -> list[bool]:
    """Whether each event's signature holds, by all cores that can be had."""
    if THREADS < 1:
        return await _verify_between(events)
    size = max(1, -(-len(events) // THREADS))
    chunks = [events[start : start + size] for start in range(0, len(events), size)]
    loop = asyncio.get_running_loop()
    verdicts = await asyncio.gather(*(loop.run_in_executor(_verifiers, _verify_all, part) for part in chunks))
    return [verdict for part in verdicts for verdict in part]


async def _verify_between(events: Sequence[Event]) -> list[bool]:
    """Verify in the event loop, which does all else that is due after each slice."""
    verdicts: list[bool] = []
    for start in range(0, len(events), SLICE):
        verdicts += _verify_all(events[start : start + SLICE])
        await asyncio.sleep(0)
    return verdicts


def _verify_all(events: Sequence[Event]) -> list[bool]:
    return [verify_signature(event) for event in events]
