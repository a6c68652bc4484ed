"""Brings a database's schema up to date: every migration once, in order, by one process at a time."""

from contextlib import suppress

import psycopg
from psycopg.rows import TupleRow

from bigbrotr_dagster.storage.databases.bigbrotr import refuse_what_is_adopted_online
from bigbrotr_dagster.storage.queries import migrations, query

LOCK = 0x6269676272  # "bigbr": the advisory lock that migrating processes wait for


def migrate(connection: psycopg.Connection[TupleRow]) -> list[str]:
    """Apply what is missing, all of it in one transaction; returns the names of what was applied.

    Where nothing is, nothing is written: a role that may not create anything can use the archive. But a procedure
    of BigBrotr's that somebody has put back, and that cannot write into the view, is mended.

    Raises:
        AdoptionRefused: it is a large database of BigBrotr's, or is being taken over.
        psycopg.Error: a migration failed; the schema is as it was.
    """
    missing = missing_migrations(connection)
    if not missing:
        with suppress(psycopg.errors.InsufficientPrivilege):
            connection.execute(query("pass_over_what_is_there"))
        return []
    refuse_what_is_adopted_online(connection, is_migrated=missing[0][0] > 1)
    applied = []
    with connection.transaction():
        connection.execute(query("wait_to_migrate"), {"key": LOCK})
        refuse_what_is_adopted_online(connection, is_migrated=missing[0][0] > 1)  # now, too
        connection.execute(query("make_migration_ledger"))
        for version, name, text in missing_migrations(connection):
            connection.execute(text)
            note_migration(connection, version, name)
            applied.append(f"{version:04}_{name}")
    return applied


def note_migration(connection: psycopg.Connection[TupleRow], version: int, name: str) -> None:
    """The database has had this one, too.

    Raises:
        psycopg.Error: it was noted before.
    """
    connection.execute(query("note_migration"), {"version": version, "name": name})


def missing_migrations(connection: psycopg.Connection[TupleRow]) -> list[tuple[int, str, bytes]]:
    """The migrations that the database has not had, in order.

    Raises:
        psycopg.Error: the database did not answer.
    """
    row = connection.execute(query("has_migration_ledger")).fetchone()
    done: set[int] = set()
    if row and row[0]:
        done = {version for (version,) in connection.execute(query("migrations_done"))}
    return [migration for migration in migrations() if migration[0] not in done]
