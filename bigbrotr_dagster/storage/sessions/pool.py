"""Connections to the archive, for all rooms: a short one, or a pool.

Where the archive is, `address` knows; how a session begins, `session`; what an error says, `trouble`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar
from weakref import WeakKeyDictionary

import orjson
import psycopg
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_dumps
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from bigbrotr_dagster.storage.address import CONNECT_TIMEOUT, shown
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions.session import PARAMETERS, begin, connect_async
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable, unavailable

RETRY_DELAYS = (0.2, 0.5, 1, 2, 4, 8, 15)
"""Seconds between tries while the database is away: half a minute, the time of a restart."""

AWAY_SECONDS = 90.0
"""Each try also waits for a connection: after so long the database is given up, by all tasks that use the pool."""

AsyncConnection = psycopg.AsyncConnection[TupleRow]
Pool = AsyncConnectionPool[AsyncConnection]

_T = TypeVar("_T")

set_json_dumps(orjson.dumps)


@asynccontextmanager
async def open_pool(url: str, *, most: int = 5) -> AsyncIterator[Pool]:
    """A pool of at most `most` connections, each in autocommit mode and ready for the batch writer.

    Raises:
        DatabaseUnavailable: no connection within `CONNECT_TIMEOUT` seconds, or nothing can be written there.
    """
    pool = Pool(
        url,
        min_size=1,
        max_size=most,
        open=False,
        timeout=CONNECT_TIMEOUT,
        kwargs=PARAMETERS | {"autocommit": True},
        configure=partial(_configure, url),
        check=Pool.check_connection,
    )
    async with await connect_async(url) as first:  # a pool tries on, and does not say why
        await _make_staging(url, first)
    try:
        await pool.open(wait=True, timeout=CONNECT_TIMEOUT)
    except PoolTimeout as error:
        await pool.close()
        raise DatabaseUnavailable(f"no answer from PostgreSQL at {shown(url)}") from error
    async with pool:
        yield pool


async def retried(pool: Pool, work: Callable[[AsyncConnection], Awaitable[_T]]) -> _T:
    """Do `work` on a connection, again after each of `RETRY_DELAYS` while the database is away.

    Work must be whole or nothing, so that doing it again is safe.

    Raises:
        psycopg.OperationalError: the database did not come back.
    """
    for delay in (*RETRY_DELAYS, None):
        try:
            async with pool.connection() as connection:
                _stop_if_cancelled()
                done = await work(connection)
            is_back(pool)
            return done
        except psycopg.OperationalError:  # connection lost, server restarting, deadlock
            if delay is None or is_given_up(pool):
                raise
            await asyncio.sleep(delay)
    raise AssertionError("the last try returns or raises")


def is_given_up(pool: Pool) -> bool:
    """Whether the database has been away for `AWAY_SECONDS`, so that tasks need not wait one after another."""
    now = time.monotonic()
    return now - _away_since.setdefault(pool, now) > AWAY_SECONDS


def is_back(pool: Pool) -> None:
    """Note that the database has answered."""
    _away_since.pop(pool, None)


_away_since: WeakKeyDictionary[Pool, float] = WeakKeyDictionary()


def _stop_if_cancelled() -> None:
    """Raise the cancellation that waiting for a connection may have swallowed.

    The pool waits by `asyncio.wait_for`, which before Python 3.12 returns, as if nothing had happened, where the
    cancellation comes together with the connection. The task would go on for as long as it has work.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _configure(url: str, connection: AsyncConnection) -> None:
    await begin(url, connection)
    await _make_staging(url, connection)


async def _make_staging(url: str, connection: AsyncConnection) -> None:
    try:
        await connection.execute(query("make_staging"), prepare=False)
    except psycopg.Error as error:
        raise unavailable(error, shown(url)) from error
