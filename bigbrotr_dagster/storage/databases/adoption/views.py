"""The view that takes the place of `event_relay`, and the views of others that read it."""

from bigbrotr_dagster.storage.databases.migrations import note_migration
from bigbrotr_dagster.storage.queries import migration_statements, migrations, query
from bigbrotr_dagster.storage.sessions import BlockingConnection

HERE = (1, 6, 8)
"""The migrations that are done here in another way."""

VIEW = "VIEW event_relay"
DEPENDENT = "TEMPORARY TABLE dependent_view"


def prepare_views(connection: BlockingConnection) -> None:
    """Make the view, and what others made on the table once more on it, in a schema where nobody sees them.

    Raises:
        psycopg.Error: one could not be made; none is there.
    """
    with connection.transaction():
        connection.execute(query("forget_twins"))
        _execute(connection, 6, DEPENDENT)
        connection.execute(query("note_indexes_of_views"))
        connection.execute(query("look_in_the_adoption_first"))
        _execute(connection, 6, VIEW)
        connection.execute(query("make_twins"))


def put_in_place(connection: BlockingConnection) -> None:
    """In the transaction that is open: the table goes, the view comes, and so does the event's key.

    Raises:
        psycopg.Error: somebody else has changed what hangs on the table.
    """
    for words in ("FUNCTION pg_temp.grant_again(", DEPENDENT, "TEMPORARY TABLE replaced"):
        _execute(connection, 6, words)
    connection.execute(query("put_twins_in_place"))
    for words in ("event_relay_insert_row", "event_relay_delete_row", "event_delete_observations"):
        _execute(connection, 6, f"FUNCTION {words}(")
        _execute(connection, 6, f"TRIGGER {words} ")
    connection.execute(query("put_key_in_place"))
    _execute(connection, 6, "FUNCTION pg_temp.grant_again;")
    connection.execute(query("make_migration_ledger"))
    for version, name, _ in migrations():
        if version in HERE:
            note_migration(connection, version, name)
    connection.execute(query("end_adoption"))


def make_tables(connection: BlockingConnection) -> None:
    """In the transaction that is open: the empty tables that the old rows come to, and their indexes.

    Raises:
        psycopg.Error: there are tables of these names.
    """
    for words in ("TABLE relay_key", "TABLE observation", "INDEX idx_observation"):
        _execute(connection, 6, words)


def _execute(connection: BlockingConnection, migration: int, words: str) -> None:
    found = migration_statements(migration, words)
    if not found:
        raise ValueError(f"migration {migration} has nothing that goes on with {words!r}")
    for statement in found:
        connection.execute(statement)
