"""Dagster's own storage, in a database of its own on the server that holds the archive.

dagster.yaml names this class instead of a `postgres_url`, because a URL there needs an environment variable to be
set, and the embedded server's URL is known only once it runs. Every process of Dagster comes through here, so each
holds its share of the embedded server and keeps it up.
"""

import os
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

import dagster as dg
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import create_pg_engine
from sqlalchemy import event, func, select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from bigbrotr_dagster.defs.instance.event_log import ArchiveEventLog
from bigbrotr_dagster.defs.instance.private_parts import share_engine
from bigbrotr_dagster.storage.address import CONNECT_TIMEOUT, SESSION_NAME, database_url, shown
from bigbrotr_dagster.storage.databases import DAGSTER_VARIABLE, OWNER_KEY, archive_identity, dagster_database_url
from bigbrotr_dagster.storage.sessions import settings
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable


class Values(Protocol):
    """The part of Dagster's storages that keeps a few values of a program's own."""

    def get_cursor_values(self, keys: set[str]) -> Mapping[str, str]:
        """The values that are kept under `keys`; a key that was never set is left out."""
        ...

    def set_cursor_values(self, pairs: Mapping[str, str]) -> None:
        """Keep each value under its key, in place of what was there."""
        ...


class ArchiveStorage(DagsterPostgresStorage):
    """DagsterPostgresStorage at BIGBROTR_DATABASE_URL, or on the embedded server where that is not set."""

    def __init__(self, archive_url: str, **options: Any) -> None:
        super().__init__(**options)
        self._events = ArchiveEventLog(self.postgres_url, self.should_autocreate_tables)
        self._events.archive_url = archive_url

    @property
    def event_log_storage(self) -> ArchiveEventLog:
        """The one that lets nobody break a backfill."""
        return self._events

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """Options in dagster.yaml: `database_url`, of any database on the server that is to hold Dagster's own."""
        return {"database_url": dg.Field(dg.StringSource, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> "ArchiveStorage":
        """Called by Dagster in each of its processes; the archive and Dagster's database are made as needed.

        Raises:
            DatabaseUnavailable: the server does not answer, or the database belongs to another archive.
        """
        url, server = database_url(), config_value.get("database_url")
        key = url, server, os.environ.get(DAGSTER_VARIABLE)
        where = _found.get(key, "")
        is_known = bool(where) and _holds_tables(where)  # it may have been dropped meanwhile
        if not is_known:
            where = dagster_database_url(url, server)
        is_prepared = is_known or _holds_tables(where)
        storage = cls(url, postgres_url=where, should_autocreate_tables=not is_prepared, inst_data=inst_data)
        _keep_connections(storage)
        if not is_known:
            require_own(storage.run_storage, url)
            _found[key] = where
        return storage


_found: dict[tuple[str, str | None, str | None], str] = {}
"""SQLAlchemy's URLs of the databases that this process knows to be the archives' own."""


def require_own(values: Values, archive_url: str) -> None:
    """Note whose instance this is, where nobody has; `values` is its `daemon_cursor_storage`.

    Raises:
        DatabaseUnavailable: it belongs to another archive, whose partitions it would lose to this one.
    """
    identity = archive_identity(archive_url)
    if OWNER_KEY not in values.get_cursor_values({OWNER_KEY}):
        values.set_cursor_values({OWNER_KEY: identity})
    if values.get_cursor_values({OWNER_KEY})[OWNER_KEY] != identity:
        raise DatabaseUnavailable(
            f"this Dagster instance belongs to another archive than {shown(archive_url)}: give each its own"
            f" DAGSTER_HOME, and its own database by {DAGSTER_VARIABLE}"
        )


@event.listens_for(Engine, "connect")
def _begin_session(connection: Any, _: object) -> None:
    """Give every session of Dagster's our settings: its times are in UTC only where the session is."""
    if (
        getattr(connection, "info", None) is None
        or connection.info.dsn_parameters.get("application_name") != SESSION_NAME
    ):
        return  # another database of this process
    before, connection.autocommit = connection.autocommit, True
    with connection.cursor() as cursor:
        cursor.execute(settings())
    connection.autocommit = before


def _holds_tables(url: str) -> bool:
    """Whether Dagster's tables are there: its storages would open a session each to look for them."""
    tables = "event_logs", "instance_info", "jobs"
    try:
        with _shared_engine(url).connect() as connection:
            return all(connection.scalar(select(func.to_regclass(table))) for table in tables)
    except OperationalError:
        return False


def _keep_connections(storage: DagsterPostgresStorage) -> None:
    """Give the storages a pool: without one each statement opens a session, 5 ms of PostgreSQL's CPU."""
    for part in (storage.event_log_storage, storage.run_storage, storage.schedule_storage):
        share_engine(part, _shared_engine(storage.postgres_url))


@cache
def _shared_engine(url: str) -> Engine:
    """One pool a process: a code server opens an instance for every tick, and Dagster never disposes of engines.

    A connection is tried before it is used again, so a restarted server costs a reconnection, not a run.
    """
    return create_pg_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=2,
        max_overflow=20,
        pool_recycle=600,
        pool_pre_ping=True,
        connect_args={"connect_timeout": CONNECT_TIMEOUT},
    )
