"""Dagster's own database: one for each archive, since a graph's partitions are the relays of one registry.

It is `<archive>_dagster` on the archive's server, or what `BIGBROTR_DAGSTER_DATABASE` names. Releases before this
rule had `dagster` for all archives of a server: one that holds the relays of this archive is kept. Whose it is, a
note in it says, which the first archive leaves there (`OWNER_KEY` among Dagster's own values).
"""

import os
from hashlib import sha256

import psycopg
from psycopg.rows import TupleRow

from bigbrotr_dagster.storage.address import database_name, shown, sqlalchemy_url
from bigbrotr_dagster.storage.databases.create import create_database, databases, ensure_database
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import connect
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable

DAGSTER_VARIABLE = "BIGBROTR_DAGSTER_DATABASE"
SHARED_NAME = "dagster"
"""The database of all archives of a server, before each had its own."""

OWNER_KEY = "bigbrotr/archive"
NAME_BYTES = 63
"""Of a name in PostgreSQL."""


def archive_identity(url: str) -> str:
    """What the archive at `url` is known by; it is made if it is not there.

    Raises:
        DatabaseUnavailable: the server does not answer, or refuses.
    """
    try:
        return _identity(url)
    except DatabaseUnavailable:
        ensure_database(url)
        return _identity(url)


def _identity(url: str) -> str:
    with connect(url) as connection:
        row = connection.execute(query("archive_identity")).fetchone()
    if row is None:
        raise DatabaseUnavailable(f"database {shown(url)} has an empty table archive_identity: fill it")
    return str(row[0])


def dagster_database_url(url: str, server: str | None = None) -> str:
    """SQLAlchemy's URL of the Dagster database of the archive at `url`, made if it is missing.

    `server`: the URL of any database on the server that has it, where that is not the archive's.

    Raises:
        DatabaseUnavailable: a server does not answer, or refuses.
    """
    server, given = server or url, os.environ.get(DAGSTER_VARIABLE)
    own = dagster_database_name(url)
    there = databases(server, [own, SHARED_NAME])
    name = own
    if there is not None and own not in there:
        if given is None and SHARED_NAME in there and _is_ours(url, server):
            name = SHARED_NAME
        else:
            create_database(server, own)
    with connect(server, dbname=name):
        pass  # it is there, in UTF-8
    return sqlalchemy_url(server, name)


def dagster_database_name(url: str) -> str:
    """What the Dagster database of the archive at `url` is called, unless it is one of before that rule."""
    return os.environ.get(DAGSTER_VARIABLE) or _own_name(database_name(url))


def _own_name(archive: str) -> str:
    name = f"{archive}_{SHARED_NAME}"
    if len(name.encode()) <= NAME_BYTES:
        return name
    start = archive.encode()[: NAME_BYTES - 18].decode(errors="ignore")
    return f"{start}_{sha256(archive.encode()).hexdigest()[:8]}_{SHARED_NAME}"


def _is_ours(url: str, server: str) -> bool:
    """Whether the shared database says so, or else holds the relays of this archive: most of its partitions."""
    try:
        with connect(server, dbname=SHARED_NAME) as shared:
            owner = shared.execute(query("dagster_owner"), {"key": OWNER_KEY}).fetchone()
            partitions = [key for (key,) in shared.execute(query("dagster_partitions"))]
    except DatabaseUnavailable:
        return False  # no tables of Dagster's, or not for our eyes
    if owner is not None:
        return bool(owner[0] == archive_identity(url))
    with connect(url) as connection:
        return 2 * _registered(connection, partitions) > len(partitions)


def _registered(connection: psycopg.Connection[TupleRow], urls: list[str]) -> int:
    row = connection.execute(query("registered_among"), {"urls": urls}).fetchone()
    return int(row[0]) if row else 0
