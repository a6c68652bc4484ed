"""Databases that are made where they are missing, and looked at where they are only read."""

import psycopg
from psycopg.rows import TupleRow

from bigbrotr_dagster.storage.address import database_name, parameters, shown
from bigbrotr_dagster.storage.migrations import migrate, missing_migrations
from bigbrotr_dagster.storage.session import PARAMETERS, connect, settings
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable, unavailable

MAINTENANCE_DATABASES = ("postgres", "template1")
"""Where to ask which databases there are; one or the other is on every server."""

NEW = "CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0"
PLAIN_LOCALE = " LC_COLLATE 'C' LC_CTYPE 'C'"
"""Where the server's own locale does not go with UTF-8."""


def ensure_database(url: str) -> None:
    """Create the archive's database if it is missing, and bring its schema up to date.

    Raises:
        DatabaseUnavailable: the server does not answer, or refuses.
    """
    try:
        with connect(url) as connection:
            migrate(connection)
    except DatabaseUnavailable:
        if not create_database(url, database_name(url)):
            raise
        with connect(url) as connection:
            migrate(connection)


def ensure_readable(url: str) -> None:
    """See that there is an archive whose schema this program knows; nothing is made or changed.

    Raises:
        DatabaseUnavailable: the server does not answer, or has no such archive.
    """
    with connect(url) as connection:
        missing = missing_migrations(connection)
        if missing:
            what = "holds no archive yet" if missing[0][0] == 1 else "has an older schema than this program"
            raise DatabaseUnavailable(
                f"PostgreSQL at {shown(url)} {what}: `bigbrotr-dagster db migrate` sees to it"
            )


def create_database(url: str, name: str) -> bool:
    """Make a database on the server of `url`; False where it has one of that name, or does not say.

    Raises:
        DatabaseUnavailable: the server refuses to make it.
    """
    connection = _maintenance_connection(url)
    if connection is None:
        return False
    with connection:
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).rowcount:
            return False
        try:
            _create(connection, name)
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            pass  # another process was faster
        except psycopg.errors.InsufficientPrivilege as error:
            order = _order(name, NEW).as_string(connection)
            why = error.diag.message_primary
            raise DatabaseUnavailable(
                f"PostgreSQL at {shown(url)}: {why}; let an administrator do it: {order} OWNER"
                f" {psycopg.sql.Identifier(connection.info.user).as_string(connection)}"
            ) from error
        except psycopg.Error as error:
            raise unavailable(error, shown(url)) from error
    return True


def _create(connection: psycopg.Connection[TupleRow], name: str) -> None:
    try:
        connection.execute(_order(name, NEW))
    except psycopg.errors.InvalidParameterValue:
        connection.execute(_order(name, NEW + PLAIN_LOCALE))


def _order(name: str, words: str) -> psycopg.sql.Composed:
    return psycopg.sql.SQL(words).format(psycopg.sql.Identifier(name))


def _maintenance_connection(url: str) -> psycopg.Connection[TupleRow] | None:
    """Not one of our sessions: the database it is in may be of any encoding."""
    parameters(url)
    for name in MAINTENANCE_DATABASES:
        try:
            connection = psycopg.connect(url, autocommit=True, **(PARAMETERS | {"dbname": name}))  # type: ignore[arg-type]
            connection.execute(settings())
            return connection
        except psycopg.Error:
            continue
    return None
