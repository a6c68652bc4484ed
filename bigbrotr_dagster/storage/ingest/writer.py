"""The batch writer: every relay's deliveries, in order, into PostgreSQL, a batch to a transaction.

A batch is first prepared (which ids are known, which signatures hold: the expensive part, outside any
transaction) and then committed: new events, observations, coverage, gaps and cursors, together or not at all.
So nothing is ever claimed that is not stored, and killing the process costs at most the batches under way.

While a batch is committed, the next one is prepared; commits follow one another in the order of `put`. Other
processes may store the same events at the same time: all insert in the same order, so none waits in a circle.

The queue is bounded in events and in the memory that they take. `put` waits while it is full, and whoever waits
does not read from its relay: that is all the back-pressure there is, and it reaches the socket.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TypeVar

import psycopg

from bigbrotr_dagster.storage.address import shown
from bigbrotr_dagster.storage.ingest.commit import commit
from bigbrotr_dagster.storage.ingest.delivery import Delivery, Tally
from bigbrotr_dagster.storage.ingest.known import Known
from bigbrotr_dagster.storage.ingest.prepare import PreparedBatch, authors_around, known_events, prepare
from bigbrotr_dagster.storage.ingest.room import Room
from bigbrotr_dagster.storage.sessions import RETRY_DELAYS, AsyncConnection, Pool, is_back, is_given_up, retried
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable, database_trouble, one_line

T = TypeVar("T")

QUEUED_WEIGHT = 32 * 2**20
"""Bytes of memory that deliveries take which are not stored yet; one more comes on top."""

BATCH_WEIGHT = 8 * 2**20
"""Bytes of memory that a batch's deliveries take, if it is not one alone: its rows are packed in one piece."""

LARGE_WEIGHT = 16 * 2**20
"""Bytes of memory that large events take, of all relays, between being decoded and being put."""

COMPARED_WEIGHT = 64 * 2**20
"""Bytes of memory that sets of events take which are compared with what relays hold, of all relays."""

VOLATILE_WEIGHT = 16 * 2**20
"""Bytes of memory that may be kept of what a crash of the server could take back."""


ASKED_AT_ONCE = 5_000
"""Ids that the database is asked for in one statement."""

DURABLE_EVERY = 4
"""Of so many commits the last one waits for the disk, as does one after which nothing is queued. A crash of the
server may take back those before it: they are kept until then, and stored again where the session was lost."""


class BatchWriter:
    """Takes deliveries from any number of relays. Open it with `batch_writer`."""

    def __init__(self, pool: Pool, *, batch_size: int, flush_interval: int) -> None:
        self._pool = pool
        self._batch_size = batch_size
        self._flush_interval = flush_interval
        self._queue: deque[Delivery] = deque()
        self._queued_events = 0
        self._queued_weight = 0
        self._put = 0
        self._stored = 0
        self._changed = asyncio.Condition()
        self._room = Room(LARGE_WEIGHT)
        self._room_to_compare = Room(COMPARED_WEIGHT)
        self._failure: Exception | None = None
        self._known = Known()
        self._volatile: list[list[Delivery]] = []  # of commits that a crash may take back, in order
        self._session: AsyncConnection | None = None  # the one that commits: `_known` is good while it lives

    async def put(self, delivery: Delivery) -> None:
        """Queue a delivery; waits while the queue is full.

        Raises:
            DatabaseUnavailable: an earlier batch could not be stored, and was given up.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._failure or not self._is_full())
            self._raise_failure()
            self._queue.append(delivery)
            self._queued_events += delivery.size
            self._queued_weight += delivery.weight
            self._put += 1
            self._changed.notify_all()

    def room(self, weight: int) -> AbstractAsyncContextManager[None]:
        """Room to decode a large event, over all relays, until it is put."""
        return self._room.taken(weight)

    def room_to_compare(self, weight: int) -> AbstractAsyncContextManager[None]:
        """Room for a set of events that is compared with what a relay holds, over all relays."""
        return self._room_to_compare.taken(weight)

    async def flush(self) -> None:
        """Wait until everything that was put before this call is stored.

        Raises:
            DatabaseUnavailable: a batch could not be stored, and was given up.
        """
        async with self._changed:
            mine = self._put
            await self._changed.wait_for(lambda: self._failure or self._stored >= mine)
            self._raise_failure()

    async def authors_around(self, second: int) -> list[str]:
        """Authors of stored events of about that second, the nearest first; at most 1,000 (hex).

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
        return await self.read(lambda connection: authors_around(connection, second))

    async def read(self, question: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Ask the database what was stored.

        Raises:
            DatabaseUnavailable: it does not answer.
        """
        return await retried(self._pool, question)

    async def stored(self, ids: Sequence[str]) -> set[str]:
        """Those of these ids (hex) whose events are in the archive.

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
        found: set[str] = set()
        for start in range(0, len(ids), ASKED_AT_ONCE):
            some = ids[start : start + ASKED_AT_ONCE]
            found.update(await self.read(partial(known_events, ids=some, known=self._known)))
        return found

    async def run(self) -> None:
        """Store batches until cancelled, or until one has to be given up."""
        previous: PreparedBatch | None = None
        committing: asyncio.Task[None] | None = None
        try:
            while not self._failure:
                deliveries = await self._take()
                batch = await self._prepare(deliveries, previous)
                if committing is not None:
                    await committing
                if batch is not None and not self._failure:
                    previous, committing = batch, asyncio.create_task(self._store(batch), name="commit")
        finally:
            if committing is not None:
                committing.cancel()
                await asyncio.gather(committing, return_exceptions=True)
            await self._lose_session()

    async def _prepare(self, deliveries: list[Delivery], previous: PreparedBatch | None) -> PreparedBatch | None:
        verified = previous.new if previous else None
        try:
            if previous is None:
                with contextlib.suppress(psycopg.OperationalError):  # the commit will try again
                    await self._open_session()
            return await retried(
                self._pool, lambda connection: prepare(connection, deliveries, self._known, verified)
            )
        except Exception as error:
            await self._fail(error)
            return None

    async def _store(self, batch: PreparedBatch) -> None:
        try:
            await self._commit(batch)
        except Exception as error:
            await self._fail(error)
            return
        async with self._changed:
            self._stored += len(batch.deliveries)
            self._queued_weight -= _weight(batch.deliveries)
            self._changed.notify_all()

    async def _fail(self, error: Exception) -> None:
        """Tell everyone who waits; `put` and `flush` raise it."""
        async with self._changed:
            self._failure = error
            self._changed.notify_all()

    async def _commit(self, batch: PreparedBatch) -> None:
        """Try again after each of `RETRY_DELAYS` while the database is away."""
        for delay in (*RETRY_DELAYS, None):
            try:
                session = self._session or await self._open_session()
                if batch.epoch != self._known.epoch:
                    batch = await prepare(session, batch.deliveries, self._known)
                kept = [*self._volatile, batch.deliveries]
                is_much = sum(map(_weight, kept)) > VOLATILE_WEIGHT
                durable = not self._queue or len(kept) >= DURABLE_EVERY or is_much
                await commit(session, batch, self._known, durable=durable)
                self._volatile = [] if durable else kept
                is_back(self._pool)
                return
            except psycopg.OperationalError:  # connection lost, server restarting, deadlock
                await self._lose_session()
                if delay is None or is_given_up(self._pool):
                    raise
                await asyncio.sleep(delay)

    async def _open_session(self) -> AsyncConnection:
        """What is known from now on is good for as long as this session lives."""
        self._session = await self._pool.getconn()
        self._known.forget()
        await self._store_again(self._session)
        return self._session

    async def _store_again(self, session: AsyncConnection) -> None:
        """Store what the server may have lost: it may have crashed. What it has kept stays as it is.

        It was counted when it was first stored, so the tallies of this are nobody's.
        """
        for deliveries in self._volatile:
            again = [replace(delivery, tally=Tally()) for delivery in deliveries]
            await commit(session, await prepare(session, again, self._known), self._known)
        self._volatile = []

    async def _lose_session(self) -> None:
        self._known.forget()
        session, self._session = self._session, None
        if session is not None:
            await self._pool.putconn(session)

    def _is_full(self) -> bool:
        return self._queued_events >= 2 * self._batch_size or self._queued_weight >= QUEUED_WEIGHT

    def _raise_failure(self) -> None:
        if self._failure is not None:
            trouble = database_trouble(self._failure, shown(str(self._pool.conninfo)))
            raise DatabaseUnavailable(one_line(str(trouble or self._failure))) from self._failure

    async def _take(self) -> list[Delivery]:
        """The next batch: what is queued, up to `batch_size` events and `flush_interval` relays."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._queue)
            batch = [self._pop()]
            events, relays = batch[0].size, {batch[0].relay_url}
            weight = batch[0].weight
            while self._queue and events + self._queue[0].size <= self._batch_size:
                weight += self._queue[0].weight
                if weight > BATCH_WEIGHT:
                    break
                if len(relays | {self._queue[0].relay_url}) > self._flush_interval:
                    break
                batch.append(self._pop())
                events += batch[-1].size
                relays.add(batch[-1].relay_url)
            self._changed.notify_all()
            return batch

    def _pop(self) -> Delivery:
        delivery = self._queue.popleft()
        self._queued_events -= delivery.size
        return delivery


def _weight(deliveries: Iterable[Delivery]) -> int:
    return sum(delivery.weight for delivery in deliveries)


@asynccontextmanager
async def batch_writer(pool: Pool, *, batch_size: int, flush_interval: int) -> AsyncIterator[BatchWriter]:
    """A running writer. What was put is stored before this ends, also when it ends by cancellation.

    Raises:
        DatabaseUnavailable: a batch could not be stored, and was given up.
    """
    writer = BatchWriter(pool, batch_size=batch_size, flush_interval=flush_interval)
    task = asyncio.create_task(writer.run(), name="batch writer")
    try:
        yield writer
    finally:
        try:
            await asyncio.shield(writer.flush())
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
