"""Indexes on `event` that are made beside its writers: partition by partition, and joined in the end."""

import re
from collections.abc import Iterator

from psycopg.sql import SQL, Identifier

from bigbrotr_dagster.storage.databases.adoption.short import shortly
from bigbrotr_dagster.storage.databases.adoption.walks import Progress
from bigbrotr_dagster.storage.queries import composed, migration_statements, query
from bigbrotr_dagster.storage.sessions import BlockingConnection

INDEXING = "indexing events"
KEY = "btree (id) INCLUDE (seq)"
"""What migration 8 makes the primary key of, as PostgreSQL writes it."""

_WANTED = re.compile(rb"INDEX IF NOT EXISTS (\w+) ON event (.+);", re.DOTALL)


def make_indexes(connection: BlockingConnection) -> Iterator[Progress]:
    """All that migrations 1, 6 and 8 index of `event`, where it is missing, unless that waits for the end.

    Raises:
        psycopg.Error: one could not be made; those before it are there.
    """
    is_partitioned, is_referred_to = connection.execute(query("is_partitioned")).fetchone() or (False, False)
    wanted = [(name.decode(), text.decode()) for name, text in _wanted_by_the_first()]
    for name, content in (*wanted, ("idx_event_seq", "btree (seq)")):
        if is_partitioned:
            yield from _partitioned(connection, name, content)
        else:
            yield from _whole(connection, name, content, is_unique=name == "idx_event_seq")
    if not is_referred_to:
        for schema, leaf in leaves(connection, "event"):
            yield from _on_leaf(connection, (schema, leaf), KEY, is_unique=True)


def leaves(connection: BlockingConnection, table: str) -> list[tuple[str, str]]:
    """Schema and name of the partitions of a table, or of itself.

    Raises:
        psycopg.Error: the database did not answer.
    """
    return [(schema, name) for schema, name in connection.execute(query("leaves"), {"table": table})]


def _wanted_by_the_first() -> Iterator[tuple[bytes, bytes]]:
    for statement in migration_statements(1):
        if found := _WANTED.search(statement):
            name, content = found.groups()
            yield name, content.removeprefix(b"USING ") if content.startswith(b"USING") else b"btree " + content


def _whole(connection: BlockingConnection, name: str, content: str, *, is_unique: bool) -> Iterator[Progress]:
    found = connection.execute(query("index_named"), {"name": name}).fetchone()
    if found and found[1]:
        return
    if found:
        connection.execute(composed("drop_index", index=Identifier(name)))
    yield Progress(INDEXING, name)
    _create(connection, Identifier("event"), content, is_unique=is_unique, name=name)


def _partitioned(connection: BlockingConnection, name: str, content: str) -> Iterator[Progress]:
    found = connection.execute(query("index_named"), {"name": name}).fetchone()
    if not found:
        order = composed("index_without_parts", name=Identifier(name), content=SQL(content))
        work = lambda: connection.execute(order)  # noqa: E731
        yield from shortly(connection, INDEXING, "lock_events_for_an_index", work)
        found = connection.execute(query("index_named"), {"name": name}).fetchone()
    if found is None or found[1]:
        return
    for schema, leaf in leaves(connection, "event"):
        place = {"name": name, "schema": schema, "leaf": leaf}
        if (connection.execute(query("has_part_on"), place).fetchone() or (False,))[0]:
            continue
        yield from _on_leaf(connection, (schema, leaf), found[0], is_unique=False)
        part = _of_leaf(connection, (schema, leaf), found[0], is_unique=False)
        if part is not None:
            joining = composed("join_index", name=Identifier(name), part=Identifier(*part[:2]))
            joined = lambda order=joining: connection.execute(order)  # noqa: E731
            yield from shortly(connection, INDEXING, "lock_events_for_an_index", joined)


def _on_leaf(
    connection: BlockingConnection, leaf: tuple[str, str], content: str, *, is_unique: bool
) -> Iterator[Progress]:
    found = _of_leaf(connection, leaf, content, is_unique=is_unique)
    if found is not None and found[2]:
        return
    if found is not None:
        connection.execute(composed("drop_index", index=Identifier(*found[:2])))
    yield Progress(INDEXING, f"{leaf[1]} {content}")
    _create(connection, Identifier(*leaf), content, is_unique=is_unique)


def _of_leaf(
    connection: BlockingConnection, leaf: tuple[str, str], content: str, *, is_unique: bool
) -> tuple[str, str, bool] | None:
    values = {"schema": leaf[0], "leaf": leaf[1], "content": content, "is_unique": is_unique}
    row = connection.execute(query("index_of_leaf"), values).fetchone()
    return None if row is None else (row[0], row[1], row[2])


def _create(
    connection: BlockingConnection, leaf: Identifier, content: str, *, is_unique: bool, name: str = ""
) -> None:
    parts = {
        "unique": SQL("UNIQUE" if is_unique else ""),
        "name": Identifier(name) if name else SQL(""),
        "leaf": leaf,
        "content": SQL(content),
    }
    connection.execute(composed("index_concurrently", **parts))
