"""How a session with PostgreSQL begins: in UTF-8, with settings of ours, and with a backend of its own.

What is stored and read back must not hang on what an environment (PGCLIENTENCODING, PGOPTIONS), a URL,
`ALTER DATABASE` or `ALTER ROLE ... SET` say. Every connection of this program begins here (Dagster's: `settings`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import psycopg
from psycopg.rows import TupleRow

from bigbrotr_dagster.storage.address import CONNECT_TIMEOUT, SESSION_NAME, shown
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions.pooler import shares_backends
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable, unavailable

OLDEST_SERVER = 14
"""The release that brought multiranges."""

BlockingConnection = psycopg.Connection[TupleRow]

PARAMETERS: dict[str, int | str] = {
    "application_name": SESSION_NAME,
    "client_encoding": "UTF8",
    "connect_timeout": CONNECT_TIMEOUT,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
"""libpq's, of every connection: they go before what a URL or an environment says. The last four let a server that
has vanished be noticed within 30 seconds; `begin_session` asks the server for the same."""


def settings() -> bytes:
    """The statements that a session begins with, for drivers other than psycopg 3."""
    return query("begin_session")


@contextmanager
def connect(url: str, **parameters: int | str) -> Iterator[BlockingConnection]:
    """A connection in autocommit mode, for short work; `parameters` are libpq's, before those of the URL.

    Raises:
        DatabaseUnavailable: the server does not answer, refuses what is asked, or goes away meanwhile.
    """
    try:
        with psycopg.connect(url, autocommit=True, **(PARAMETERS | parameters)) as connection:  # type: ignore[arg-type]
            _check_server(connection.info, url)
            asked = connection.execute(query("which_backend"))
            _check_backend(connection.info, asked.nextset() and asked.fetchone(), url)
            connection.execute(settings())
            yield connection
    except psycopg.Error as error:
        raise unavailable(error, shown(url)) from error


async def connect_async(url: str, **parameters: int | str) -> psycopg.AsyncConnection[TupleRow]:
    """A connection as `connect` makes one; whoever asked for it closes it.

    Raises:
        DatabaseUnavailable: the server does not answer, or refuses.
    """
    try:
        connection = await psycopg.AsyncConnection.connect(
            url, autocommit=True, prepare_threshold=None, **(PARAMETERS | parameters)  # type: ignore[arg-type]
        )  # fmt: skip
        try:
            await begin(url, connection)
        except BaseException:
            await connection.close()
            raise
    except psycopg.Error as error:
        raise unavailable(error, shown(url)) from error
    return connection


async def begin(url: str, connection: psycopg.AsyncConnection[TupleRow]) -> None:
    """Make a new session ours. It is in autocommit mode.

    Raises:
        DatabaseUnavailable: the database is not in UTF-8, or a pooler shares the session with others.
        psycopg.Error: the server went away.
    """
    _check_server(connection.info, url)
    asked = await connection.execute(query("which_backend"))
    _check_backend(connection.info, asked.nextset() and await asked.fetchone(), url)
    await connection.execute(settings())


def _check_server(info: psycopg.ConnectionInfo, url: str) -> None:
    if info.server_version < 10_000 * OLDEST_SERVER:
        release = info.parameter_status("server_version")
        raise DatabaseUnavailable(f"PostgreSQL at {shown(url)} is {release}; {OLDEST_SERVER} or later is needed")
    encoding = info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise DatabaseUnavailable(
            f"PostgreSQL at {shown(url)}: the database is encoded in {encoding}, which cannot hold every text;"
            " make another by CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )


def _check_backend(info: psycopg.ConnectionInfo, row: TupleRow | Literal[False] | None, url: str) -> None:
    """A pooler tells its clients another pid than the backend's; then look whether it shares backends."""
    if (not row or row[0] != info.backend_pid) and shares_backends(url):
        raise DatabaseUnavailable(
            f"a pooler at {shown(url)} gives every transaction another session, so that locks would not hold:"
            " set its pool_mode to session, or name the server itself"
        )
