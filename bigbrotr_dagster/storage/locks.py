"""Caps that hold over all processes: one holder per relay, `max_tasks` holders per network.

Both are PostgreSQL's session advisory locks, taken on one connection of their own. The server releases them
when that connection ends, however the process dies, so nothing has to be cleaned up after a kill.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg.rows import TupleRow

from bigbrotr_dagster.storage.pool import CONNECT_TIMEOUT, DatabaseUnavailable, shown

_RELAY = 0
_SLOT = 1
POLL = 0.5
"""Seconds between looks for a free slot, when all are taken by other processes."""


class LockKeeper:
    """Holds this process's locks. Open it with `lock_keeper`."""

    def __init__(self, url: str, connection: psycopg.AsyncConnection[TupleRow]) -> None:
        self._url = url
        self._connection = connection
        self._one_at_a_time = asyncio.Lock()
        self._held: set[int] = set()

    @asynccontextmanager
    async def relay(self, url: str, patience: float = 0) -> AsyncIterator[bool]:
        """Hold a relay; yields False if another process, or another task, still has it after `patience` seconds.

        Raises:
            DatabaseUnavailable: the connection that holds the locks is lost, and cannot be made again.
        """
        key = _key(_RELAY, url)
        deadline = time.monotonic() + patience
        while not (taken := await self._take(key)) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(POLL)
        try:
            yield taken
        finally:
            if taken:
                await self._release(key)

    @asynccontextmanager
    async def slot(self, network: str, most: int) -> AsyncIterator[None]:
        """Hold one of a network's `most` slots; waits while all are taken.

        Raises:
            DatabaseUnavailable: as for `relay`.
        """
        key = await self._wait_for_slot(network, most)
        try:
            yield
        finally:
            await self._release(key)

    async def _wait_for_slot(self, network: str, most: int) -> int:
        keys = [_key(_SLOT, f"{network}:{number}") for number in range(most)]
        while True:
            for key in keys:
                if key not in self._held and await self._take(key):
                    return key
            await asyncio.sleep(POLL)

    async def _take(self, key: int) -> bool:
        if key in self._held:  # PostgreSQL would grant it again to the same session
            return False
        self._held.add(key)
        try:
            taken = bool(await self._ask("SELECT pg_try_advisory_lock(%s)", key))
        except BaseException:
            self._held.discard(key)
            raise
        if not taken:
            self._held.discard(key)
        return taken

    async def _release(self, key: int) -> None:
        try:
            await self._ask("SELECT pg_advisory_unlock(%s)", key)
        finally:
            self._held.discard(key)

    async def _ask(self, question: str, key: int) -> object:
        async with self._one_at_a_time:
            if self._connection.broken or self._connection.closed:
                self._connection = await _connect(self._url)
            try:
                row = await (await self._connection.execute(question, [key])).fetchone()
            except psycopg.OperationalError:  # the server restarted: it has forgotten all locks
                self._connection = await _connect(self._url)
                row = await (await self._connection.execute(question, [key])).fetchone()
        return row[0] if row else None

    async def close(self) -> None:
        await self._connection.close()


def _key(family: int, name: str) -> int:
    """A 64-bit key: advisory locks know numbers only."""
    digest = hashlib.sha256(f"bigbrotr:{family}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


async def _connect(url: str) -> psycopg.AsyncConnection[TupleRow]:
    try:
        return await psycopg.AsyncConnection.connect(
            url,
            autocommit=True,
            application_name="bigbrotr-dagster locks",
            connect_timeout=CONNECT_TIMEOUT,
            prepare_threshold=None,
        )
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"no answer from PostgreSQL at {shown(url)}") from error


@asynccontextmanager
async def lock_keeper(url: str) -> AsyncIterator[LockKeeper]:
    """A keeper with a connection of its own; all its locks are released at the end.

    Raises:
        DatabaseUnavailable: the server does not answer.
    """
    keeper = LockKeeper(url, await _connect(url))
    try:
        yield keeper
    finally:
        await keeper.close()
