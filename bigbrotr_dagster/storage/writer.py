"""The batch writer: every relay's deliveries, in order, into PostgreSQL, a batch to a transaction.

A batch is first prepared (which ids are known, which signatures hold: the expensive part, outside any
transaction) and then committed: new events, observations, coverage, gaps and cursors, together or not at all.
So nothing is ever claimed that is not stored, and killing the process costs at most the batch under way.

The queue is bounded in events and in bytes. `put` waits while it is full, and whoever waits does not read
from its relay: that is all the back-pressure there is, and it reaches the socket.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bigbrotr_dagster.storage.commit import commit
from bigbrotr_dagster.storage.delivery import Delivery
from bigbrotr_dagster.storage.pool import Connection, DatabaseUnavailable, Pool, retried
from bigbrotr_dagster.storage.prepare import prepare

QUEUED_BYTES = 32 * 2**20
"""Deliveries that wait for the database hold at most this much of what relays sent, and one more answer."""


class BatchWriter:
    """Takes deliveries from any number of relays. Open it with `batch_writer`."""

    def __init__(self, pool: Pool, *, batch_size: int, flush_interval: int) -> None:
        self._pool = pool
        self._batch_size = batch_size
        self._flush_interval = flush_interval
        self._queue: deque[Delivery] = deque()
        self._queued_events = 0
        self._queued_bytes = 0
        self._put = 0
        self._stored = 0
        self._changed = asyncio.Condition()
        self._failure: Exception | None = None

    async def put(self, delivery: Delivery) -> None:
        """Queue a delivery; waits while the queue is full.

        Raises:
            DatabaseUnavailable: an earlier batch could not be stored, and was given up.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._failure or not self._is_full())
            self._raise_failure()
            self._queue.append(delivery)
            self._queued_events += len(delivery.events)
            self._queued_bytes += delivery.bytes
            self._put += 1
            self._changed.notify_all()

    async def flush(self) -> None:
        """Wait until everything that was put before this call is stored.

        Raises:
            DatabaseUnavailable: a batch could not be stored, and was given up.
        """
        async with self._changed:
            mine = self._put
            await self._changed.wait_for(lambda: self._failure or self._stored >= mine)
            self._raise_failure()

    async def run(self) -> None:
        """Store batches until cancelled."""
        while True:
            batch = await self._take()
            try:
                await self._store(batch)
            except Exception as error:  # told to everyone who waits, and raised by `put` and `flush`
                self._failure = error
            async with self._changed:
                self._stored += len(batch)
                self._changed.notify_all()
            if self._failure:
                return

    def _is_full(self) -> bool:
        return self._queued_events >= 2 * self._batch_size or self._queued_bytes >= QUEUED_BYTES

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise DatabaseUnavailable(str(self._failure)) from self._failure

    async def _take(self) -> list[Delivery]:
        """The next batch: what is queued, up to `batch_size` events and `flush_interval` relays."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._queue)
            batch = [self._pop()]
            events, relays = len(batch[0].events), {batch[0].relay_url}
            while self._queue and events + len(self._queue[0].events) <= self._batch_size:
                if len(relays | {self._queue[0].relay_url}) > self._flush_interval:
                    break
                batch.append(self._pop())
                events += len(batch[-1].events)
                relays.add(batch[-1].relay_url)
            self._changed.notify_all()
            return batch

    def _pop(self) -> Delivery:
        delivery = self._queue.popleft()
        self._queued_events -= len(delivery.events)
        self._queued_bytes -= delivery.bytes
        return delivery

    async def _store(self, batch: list[Delivery]) -> None:
        async def once(connection: Connection) -> None:
            await commit(connection, await prepare(connection, batch))

        await retried(self._pool, once)


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
