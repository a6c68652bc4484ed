"""Where the database is, and how to connect to it."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, parse_qs, urlsplit

import orjson
import psycopg
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_dumps
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from bigbrotr_dagster.storage import embedded
from bigbrotr_dagster.storage.migrations import migrate
from bigbrotr_dagster.storage.queries import query

CONNECT_TIMEOUT = 10
"""Seconds within which a server has to answer."""

RETRY_DELAYS = (0.2, 0.5, 1, 2, 4, 8, 15)
"""Seconds between tries while the database is away: half a minute, the time of a restart."""

Connection = psycopg.AsyncConnection[TupleRow]
Pool = AsyncConnectionPool[Connection]

_T = TypeVar("_T")

set_json_dumps(orjson.dumps)


class DatabaseUnavailable(Exception):
    """PostgreSQL cannot be reached, or refuses; the message is one line and holds no password."""


def data_dir() -> Path:
    """The folder of everything that this program keeps outside PostgreSQL (`BIGBROTR_DATA_DIR`)."""
    return Path(os.environ.get("BIGBROTR_DATA_DIR") or ".bigbrotr").expanduser().resolve()


def database_url() -> str:
    """The archive's URL: `BIGBROTR_DATABASE_URL`, else the embedded server's, which is started if need be.

    Raises:
        DatabaseUnavailable: the variable is not a PostgreSQL URL, or the embedded server cannot start.
    """
    given = os.environ.get("BIGBROTR_DATABASE_URL")
    if given:
        _parts(given)
        return given
    try:
        return embedded.start(data_dir())
    except embedded.EmbeddedUnavailable as error:
        raise DatabaseUnavailable(str(error)) from error


def dagster_database_url(url: str) -> str:
    """SQLAlchemy's URL of Dagster's own database, `dagster`, on the same server.

    The driver is named because SQLAlchemy 2.1 would take psycopg 3, with which Dagster cannot write events.
    """
    return _rebuilt(url, "dagster", scheme="postgresql+psycopg2")


def ensure_database(url: str, name: str | None = None) -> None:
    """Create the database of `url` (or `name` on its server) if it is missing; migrate it if it is ours.

    Raises:
        DatabaseUnavailable: the server does not answer, or refuses.
    """
    wanted = name or _parts(url).path.lstrip("/")
    try:
        psycopg.connect(_in_database(url, wanted), connect_timeout=CONNECT_TIMEOUT).close()
    except psycopg.OperationalError as error:
        if f'database "{wanted}" does not exist' not in str(error):
            raise DatabaseUnavailable(_one_line(url, error)) from error
        _create(url, wanted)
    if name is None:
        with connect(url) as connection:
            migrate(connection)


@contextmanager
def connect(
    url: str, *, connect_timeout: int = CONNECT_TIMEOUT, **parameters: int | str
) -> Iterator[psycopg.Connection[TupleRow]]:
    """A connection in autocommit mode, for short work; `parameters` are libpq's.

    Raises:
        DatabaseUnavailable: on connecting, or when the server goes away meanwhile.
    """
    try:
        parameters["connect_timeout"] = connect_timeout
        with psycopg.connect(url, autocommit=True, **parameters) as connection:  # type: ignore[arg-type]
            yield connection
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(_one_line(url, error)) from error


@asynccontextmanager
async def open_pool(url: str, *, most: int = 5) -> AsyncIterator[Pool]:
    """A pool of at most `most` connections, each in autocommit mode and ready for the batch writer.

    Raises:
        DatabaseUnavailable: no connection within `CONNECT_TIMEOUT` seconds.
    """
    pool = Pool(
        url,
        min_size=1,
        max_size=most,
        open=False,
        timeout=CONNECT_TIMEOUT,
        kwargs={"autocommit": True, "application_name": "bigbrotr-dagster"},
        configure=_configure,
        check=Pool.check_connection,
    )
    try:
        await pool.open(wait=True, timeout=CONNECT_TIMEOUT)
    except PoolTimeout as error:
        await pool.close()
        raise DatabaseUnavailable(f"no answer from PostgreSQL at {shown(url)}") from error
    async with pool:
        yield pool


async def retried(pool: Pool, work: Callable[[Connection], Awaitable[_T]]) -> _T:
    """Do `work` on a connection, again after each of `RETRY_DELAYS` while the database is away.

    Work must be whole or nothing, so that doing it again is safe.

    Raises:
        psycopg.OperationalError: the database did not come back.
    """
    for delay in RETRY_DELAYS:
        try:
            async with pool.connection() as connection:
                _stop_if_cancelled()
                return await work(connection)
        except psycopg.OperationalError:  # connection lost, server restarting, deadlock
            await asyncio.sleep(delay)
    async with pool.connection() as connection:
        return await work(connection)


def _stop_if_cancelled() -> None:
    """Raise the cancellation that waiting for a connection may have swallowed.

    The pool waits by `asyncio.wait_for`, which before Python 3.12 returns, as if nothing had happened, where the
    cancellation comes together with the connection. The task would go on for as long as it has work.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _configure(connection: Connection) -> None:
    await connection.execute("SET client_min_messages = warning")
    await connection.execute(query("make_staging"), prepare=False)


def _create(url: str, name: str) -> None:
    try:
        with psycopg.connect(
            _in_database(url, "postgres"), autocommit=True, connect_timeout=CONNECT_TIMEOUT
        ) as connection:
            identifier = psycopg.sql.Identifier(name)
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(identifier))
    except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
        return  # another process was faster
    except psycopg.Error as error:
        raise DatabaseUnavailable(_one_line(url, error)) from error


def _in_database(url: str, name: str) -> str:
    return _rebuilt(url, name)


def _rebuilt(url: str, name: str, scheme: str = "postgresql") -> str:
    parts = _parts(url)  # urlunsplit would drop the slashes of postgresql:///name?host=/folder
    return f"{scheme}://{parts.netloc}/{name}" + (f"?{parts.query}" if parts.query else "")


def _parts(url: str) -> SplitResult:
    parts = urlsplit(url)
    try:
        psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        parts = parts._replace(path="")
    if parts.scheme not in ("postgresql", "postgres") or len(parts.path) < 2:
        raise DatabaseUnavailable(
            "BIGBROTR_DATABASE_URL must look like postgresql://user:password@host:5432/bigbrotr"
        )
    return parts


def shown(url: str) -> str:
    """The URL without its password, for messages."""
    parts = urlsplit(url)
    host = parts.hostname or ",".join(parse_qs(parts.query).get("host", ["localhost"]))
    port = f":{parts.port}" if parts.port else ""
    return f"{host}{port}{parts.path}"


def _one_line(url: str, error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"PostgreSQL at {shown(url)}: {lines[0].strip()}"
