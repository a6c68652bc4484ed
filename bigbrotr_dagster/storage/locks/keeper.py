"""Caps that hold over all processes: one holder per relay, `max_tasks` per network, `max_per_host` per host.

All are PostgreSQL's session advisory locks, taken on one connection of their own. The server releases them
when that connection ends, however the process dies, so nothing has to be cleaned up after a kill.

A session that is lost takes its locks back when it is next used, and it is used every few seconds: what a server
forgot in a restart would go to others unnoticed.

Whoever waits for a slot holds a shared lock that says so; holders look at it from time to time and make room. Of
all tasks of a process that wait for a slot of one network only one asks the server, for each question costs CPU.
"""

import asyncio
import hashlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import psycopg
from psycopg.rows import TupleRow

from bigbrotr_dagster.storage.address import SESSION_NAME
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import RETRY_DELAYS, connect_async
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable

_RELAY = "0"
_SLOT = "1"
_WAITING = "2"
_PLACE = "3"

POLL = 0.5
"""Seconds between looks for a free slot, when all are taken by other processes."""

BEAT = 5.0
"""Seconds between two looks at the session by itself."""


class LockKeeper:
    """Holds this process's locks. Open it with `lock_keeper`."""

    def __init__(self, url: str, connection: psycopg.AsyncConnection[TupleRow]) -> None:
        self._url = url
        self._connection = connection
        self._one_at_a_time = asyncio.Lock()
        self._held: set[int] = set()  # granted, or being asked for
        self._granted: set[int] = set()
        self._missing: list[int] = []  # granted once, and not taken back yet
        self._queues: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @asynccontextmanager
    async def relay(self, url: str, wait: float = 0, purpose: str = "") -> AsyncIterator[bool]:
        """Hold a relay; yields False if another process, or another task, still has it after `wait` seconds.

        For each purpose ("": its sync) it is held by itself.

        Raises:
            DatabaseUnavailable: the connection that holds the locks is lost, and cannot be made again.
        """
        key = lock_key(_RELAY, f"{purpose} {url}".lstrip())
        deadline = time.monotonic() + wait
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

    @asynccontextmanager
    async def place(self, name: str, most: int) -> AsyncIterator[bool]:
        """Hold one of the `most` locks of a place (a host, an address); yields False if others hold them all.

        Raises:
            DatabaseUnavailable: as for `relay`.
        """
        async with self._queues[name]:
            key = await self._take_any([lock_key(_PLACE, f"{name}:{number}") for number in range(most)])
        try:
            yield key is not None
        finally:
            if key is not None:
                await self._release(key)

    async def is_wanted(self, network: str) -> bool:
        """Whether another process waits for a slot of this network.

        Raises:
            DatabaseUnavailable: as for `relay`.
        """
        return bool(await self._ask("others_hold_lock", lock_key(_WAITING, network)))

    async def _wait_for_slot(self, network: str, most: int) -> int:
        keys = [lock_key(_SLOT, f"{network}:{number}") for number in range(most)]
        waiting = lock_key(_WAITING, network)
        says_so = False
        async with self._queues[network]:
            try:
                while (key := await self._take_any(keys)) is None:
                    says_so = says_so or bool(await self._ask("share_lock", waiting))
                    await asyncio.sleep(POLL)
                return key
            finally:
                if says_so:
                    await self._let_go("free_shared_lock", waiting)

    async def _take_any(self, keys: Sequence[int]) -> int | None:
        """Take one of these that is free; they are tried in order, and no more than one is taken."""
        free = [key for key in keys if key not in self._held]
        taken = await self._ask("take_any_lock", free) if free else None
        if not isinstance(taken, int):
            return None
        self._held.add(taken)
        self._granted.add(taken)
        return taken

    async def _take(self, key: int) -> bool:
        if key in self._held:  # PostgreSQL would grant it again to the same session
            return False
        self._held.add(key)
        try:
            if await self._ask("take_lock", key):
                self._granted.add(key)
        finally:
            if key not in self._granted:
                self._held.discard(key)
        return key in self._granted

    async def _release(self, key: int) -> None:
        self._granted.discard(key)  # first: a session that is made meanwhile does not take it
        try:
            await self._let_go("free_lock", key)
        finally:
            self._held.discard(key)

    async def _let_go(self, statement: str, key: int) -> None:
        """A session that is lost holds nothing any more: nobody waits for another one to free it."""
        if self._is_lost:
            return
        async with self._one_at_a_time:
            with suppress(psycopg.OperationalError):
                if not self._is_lost:
                    await self._answer(statement, key)

    @property
    def _is_lost(self) -> bool:
        return self._connection.broken or self._connection.closed

    async def _ask(self, question: str, key: int | Sequence[int]) -> object:
        async with self._one_at_a_time:
            if self._is_lost:
                await self._connect_again()
            try:
                return await self._answer(question, key)
            except psycopg.OperationalError:
                await self._connect_again()
                return await self._answer(question, key)

    async def _answer(self, question: str, key: int | Sequence[int]) -> object:
        row = await (await self._connection.execute(query(question), {"key": key})).fetchone()
        return row[0] if row else None

    async def _connect_again(self) -> None:
        """The server has forgotten this session's locks: take them back, unless another process was faster."""
        await self._connection.close()
        for delay in RETRY_DELAYS:  # as long as the pool is patient
            with suppress(DatabaseUnavailable):
                self._connection = await _connect(self._url)
                break
            await asyncio.sleep(delay)
        else:
            self._connection = await _connect(self._url)
        self._missing = list(self._granted)
        await self._take_back()

    async def _take_back(self) -> None:
        held = [key for key in self._missing if key in self._granted]
        missing = await self._answer("take_locks_back", held) if held else None
        self._missing = missing if isinstance(missing, list) else []
        for key in held:
            if key not in self._granted and key not in self._missing:  # released meanwhile
                await self._answer("free_lock", key)

    async def keep(self) -> None:
        """Look at the session from time to time, for ever."""
        while True:
            await asyncio.sleep(BEAT)
            with suppress(DatabaseUnavailable, psycopg.Error):  # whoever needs a lock will say so
                await self._ask("beat", 0)
                async with self._one_at_a_time:
                    await self._take_back()  # the server may have taken the old session for alive still

    async def close(self) -> None:
        """End the session, and with it every lock that it holds."""
        await self._connection.close()


def lock_key(family: str, name: str) -> int:
    """A 64-bit key: advisory locks know numbers only."""
    digest = hashlib.sha256(f"bigbrotr:{family}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


async def _connect(url: str) -> psycopg.AsyncConnection[TupleRow]:
    return await connect_async(url, application_name=f"{SESSION_NAME} locks")


@asynccontextmanager
async def lock_keeper(url: str) -> AsyncIterator[LockKeeper]:
    """A keeper with a connection of its own; all its locks are released at the end.

    Raises:
        DatabaseUnavailable: the server does not answer.
    """
    keeper = LockKeeper(url, await _connect(url))
    keeping = asyncio.create_task(keeper.keep())
    try:
        yield keeper
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        await keeper.close()
