"""Databases that are made where they are missing, and looked at where they are only read."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress

import psycopg
from psycopg.rows import TupleRow

from bigbrotr_dagster.storage.address import database_name, shown
from bigbrotr_dagster.storage.databases.bigbrotr import refuse_what_is_adopted_online
from bigbrotr_dagster.storage.databases.migrations import migrate, missing_migrations
from bigbrotr_dagster.storage.queries import composed, query
from bigbrotr_dagster.storage.sessions import PARAMETERS, connect, settings
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable, unavailable

MAINTENANCE_DATABASES = ("postgres", "template1")
"""Where to ask which databases there are; one or the other is on every server."""

NEW_TIMEOUT = 20
"""Seconds to connect to a database that was missing a moment ago: PgBouncer remembers that for 15."""


def ensure_database(url: str) -> None:
    """Create the archive's database if it is missing, and bring its schema up to date.

    Raises:
        DatabaseUnavailable: the server does not answer, or refuses.
        AdoptionRefused: it is a large database of BigBrotr's, or is being taken over.
    """
    try:
        with connect(url) as connection:
            migrate(connection)
    except DatabaseUnavailable:
        if not create_database(url, database_name(url)):
            raise
        with connect(url, connect_timeout=NEW_TIMEOUT) as connection:
            migrate(connection)


def ensure_readable(url: str) -> None:
    """See that there is an archive whose schema this program knows; nothing is made or changed.

    Raises:
        DatabaseUnavailable: the server does not answer, or has no such archive.
        AdoptionRefused: it is a large database of BigBrotr's, or is being taken over.
    """
    try:
        with connect(url) as connection:
            missing = missing_migrations(connection)
            if missing:
                refuse_what_is_adopted_online(connection, is_migrated=missing[0][0] > 1)
    except DatabaseUnavailable:
        with _maintenance(url) as asked:
            if asked is None or _exists(asked, database_name(url)):
                raise
        problem = "does not exist"
    else:
        if not missing:
            return
        problem = "holds no archive yet" if missing[0][0] == 1 else "has an older schema than this program"
    raise DatabaseUnavailable(f"database {shown(url)} {problem}: `bigbrotr-dagster db migrate` sees to it")


def databases(url: str, names: Sequence[str]) -> set[str] | None:
    """Those of the names that the server of `url` has a database of; None where it does not say.

    Whoever has asked need not try: a pooler remembers for 15 s that a database was missing.
    """
    with _maintenance(url) as connection:
        if connection is None:
            return None
        return {name for (name,) in connection.execute(query("databases"), {"names": list(names)})}


def create_database(url: str, name: str) -> bool:
    """Make a database on the server of `url`; False where it has one of that name, or does not say.

    Raises:
        DatabaseUnavailable: the server refuses to make it.
    """
    with _maintenance(url) as connection:
        if connection is None or _exists(connection, name):
            return False
        try:
            _create(connection, name)
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            pass  # another process was faster
        except psycopg.errors.InsufficientPrivilege as error:
            owner = psycopg.sql.Identifier(connection.info.user).as_string(connection)
            order = f"{_order('create_database', name).as_string(connection)} OWNER {owner}"
            said = f"PostgreSQL at {shown(url)}: {error.diag.message_primary}"
            raise DatabaseUnavailable(f"{said}; let an administrator do it: {order}") from error
        return True


def _create(connection: psycopg.Connection[TupleRow], name: str) -> None:
    try:
        connection.execute(_order("create_database", name))
    except psycopg.errors.InvalidParameterValue:
        connection.execute(_order("create_database_in_c_locale", name))


def _order(order: str, name: str) -> psycopg.sql.Composed:
    return composed(order, name=psycopg.sql.Identifier(name))


def _exists(connection: psycopg.Connection[TupleRow], name: str) -> bool:
    return connection.execute(query("databases"), {"names": [name]}).rowcount == 1


@contextmanager
def _maintenance(url: str) -> Iterator[psycopg.Connection[TupleRow] | None]:
    """A connection to a database that is always there; None where this role gets none.

    It is not one of our sessions, for that database may be of any encoding.
    """
    with ExitStack() as stack:
        found = None
        for name in MAINTENANCE_DATABASES:
            with suppress(psycopg.Error):
                given = PARAMETERS | {"dbname": name}
                one = stack.enter_context(closing(psycopg.connect(url, autocommit=True, **given)))  # type: ignore[arg-type]
                one.execute(settings())
                found = one
                break
        try:
            yield found
        except psycopg.Error as error:
            raise unavailable(error, shown(url)) from error
