"""The archive in numbers, and whether it is sound, for the graph.

Each function takes the database's URL and raises DatabaseUnavailable when it does not answer. Their statements end
after `PATIENCE` seconds: a sensor's tick must not hang on a database that is busy.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.rows import TupleRow

from bigbrotr_dagster.nostr.event import Event, verify_signature
from bigbrotr_dagster.storage import stats
from bigbrotr_dagster.storage.pool import connect
from bigbrotr_dagster.storage.stats import ArchiveStats, NetworkLag
from bigbrotr_dagster.sync.admin import reachable_networks
from bigbrotr_dagster.sync.config import SynchronizerConfig

PATIENCE = 15
DRAWN_EVENTS = 500
DRAWN_OBSERVATIONS = 2_000


@contextmanager
def _looking(database_url: str, patience: int | None = PATIENCE) -> Iterator[psycopg.Connection[TupleRow]]:
    with connect(database_url) as connection, connection.transaction():
        if patience is not None:
            connection.execute(f"SET LOCAL statement_timeout = '{patience}s'".encode())
        yield connection


def archive_stats(database_url: str) -> ArchiveStats:
    """Sizes of the tables, and counts by kind, day and network."""
    with _looking(database_url) as connection:
        return stats.archive_stats(connection)


def lag_by_network(database_url: str, config: SynchronizerConfig) -> list[NetworkLag]:
    """How far behind the relays are whose last sync succeeded."""
    with _looking(database_url) as connection:
        return stats.lag_by_network(connection, reachable_networks(config))


def rejections(database_url: str) -> tuple[int, dict[str, int]]:
    """Events that the last attempts received, and the rejected ones by reason."""
    with _looking(database_url) as connection:
        return stats.rejections(connection)


def unsound_events(database_url: str, count: int = DRAWN_EVENTS) -> tuple[int, dict[str, str]]:
    """Verify about `count` stored events again: how many were looked at, and what is wrong by id."""
    with _looking(database_url) as connection:
        drawn = stats.draw_events(connection, count)
    return len(drawn), {event.id: problem for event in drawn if (problem := _problem(event))}


def orphans(database_url: str, *, look_at_all: bool = False) -> tuple[int, list[str]]:
    """How many observations were looked at, and those of them whose event is not stored."""
    with _looking(database_url, None if look_at_all else PATIENCE) as connection:
        return stats.orphans(connection, None if look_at_all else DRAWN_OBSERVATIONS)


def _problem(event: Event) -> str | None:
    if hashlib.sha256(event.serialize()).hexdigest() != event.id:
        return "bad_id"
    return None if verify_signature(event) else "bad_signature"
