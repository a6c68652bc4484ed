"""How much the archive holds; its cost does not grow with the archive.

Each function takes the database's URL and raises DatabaseUnavailable when it does not answer. Statements end after
`PATIENCE` seconds: a sensor's tick must not hang on a database that is busy.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg.sql import Identifier, Literal

from bigbrotr_dagster.storage.queries import composed, query
from bigbrotr_dagster.storage.sessions import BlockingConnection, connect

PATIENCE = 15

SAMPLED_EVENTS = 100_000
"""Events that counts by kind and by day are drawn from; an archive that is no larger is counted."""

FOLLOWED_EVENTS = 10_000
"""Of those, the ones whose observations are counted."""

KIND_NAMES = {
    0: "profile",
    1: "note",
    3: "follows",
    4: "direct message",
    5: "deletion",
    6: "repost",
    7: "reaction",
    1059: "gift wrap",
    9735: "zap",
    10002: "relay list",
    30023: "article",
}
"""What the most common kinds are, in a word or two."""

COUNTED_BYTES = 16 * 2**20
"""Tables that are no larger are counted."""


MARKED_TABLES = ("event", "event_relay", "sync_coverage", "sync_gap")

DRAWN_FROM = {"event_relay": "observation"}
"""Views, and the table whose rows they show."""


@dataclass(frozen=True, slots=True)
class TableSize:
    """`rows` is exact for small tables, an estimate for large ones; `bytes` includes indexes."""

    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class NetworkEvents:
    """Events that relays of one network hold, and how often they were seen there (an event counts per relay)."""

    network: str
    events: int
    observations: int


@dataclass(frozen=True, slots=True)
class ArchiveStats:
    """The archive in numbers. `sampled_share` of the events were counted; the counts are scaled to all of them.

    `days` are days since 1970 (UTC), newest first.
    """

    tables: dict[str, TableSize]
    sampled_share: float
    kinds: list[tuple[int, int]]
    days: list[tuple[int, int]]
    networks: list[NetworkEvents]
    relays_per_event: float


@contextmanager
def looking(database_url: str, patience: int | None = PATIENCE) -> Iterator[BlockingConnection]:
    """A transaction whose statements end after `patience` seconds (None: whenever they end)."""
    with connect(database_url) as connection, connection.transaction():
        if patience is not None:
            connection.execute(query("end_statements_after"), {"milliseconds": str(1000 * patience)})
        yield connection


def archive_stats(database_url: str, *, kinds: int = 20, days: int = 30) -> ArchiveStats:
    """Sizes of the tables, and counts by network, of the most common kinds and of the newest days."""
    with looking(database_url) as connection:
        tables = table_sizes(connection)
        events = tables["event"].rows
        sampled, scale = draw_events(connection, events)
        by_kind = connection.execute(query("sampled_by_kind"), {"most": kinds}).fetchall()
        by_day = connection.execute(query("sampled_by_day"), {"most": days}).fetchall()
        (_, few, seen), *by_network = connection.execute(
            query("sampled_by_network"), {"most": FOLLOWED_EVENTS}
        ).fetchall()
        followed = scale * sampled / few if few else 1.0
        return ArchiveStats(
            tables=tables,
            sampled_share=1 / scale,
            kinds=[(kind, round(count * scale)) for kind, count in by_kind],
            days=[(day, round(count * scale)) for day, count in by_day],
            networks=[
                NetworkEvents(network, round(held * followed), round(count * followed))
                for network, held, count in by_network
            ],
            relays_per_event=seen / few if few else 0.0,
        )


def draw_events(connection: BlockingConnection, events: int) -> tuple[int, float]:
    """Draw from so many events into the table `sampled_event`, which the transaction has to its end.

    Returns how many were drawn, and how many of all events each stands for; 1 where all of them were.
    """
    percent = min(100.0, 100 * SAMPLED_EVENTS / max(1, events))
    connection.execute(query("sample_events"), {"percent": percent})
    sampled = _number(connection, "sampled_events")
    return sampled, max(1.0, events / sampled) if sampled and percent < 100 else 1.0


def table_marks(database_url: str) -> dict[str, str]:
    """By table a text that changes whenever rows come to it; it costs the same at any size.

    That of `event` is the newest one's number. That of `sync_coverage` changes whenever anything is synced.
    """
    with looking(database_url) as connection:
        row = connection.execute(query("table_marks")).fetchone()
        return dict(zip(MARKED_TABLES, map(str, row or ()), strict=True))


def sizes_of_tables(database_url: str) -> dict[str, TableSize]:
    """Rows and bytes of every table of the archive."""
    with looking(database_url) as connection:
        return table_sizes(connection)


def table_sizes(connection: BlockingConnection) -> dict[str, TableSize]:
    """Rows and bytes of every table of the archive."""
    sizes = {}
    for table, total, own, rows in connection.execute(query("table_sizes")).fetchall():
        if rows is None:
            rows = _counted(connection, table, own)
        sizes[table] = TableSize(int(rows), total)
    return sizes


def _counted(connection: BlockingConnection, table: str, own_bytes: int) -> int:
    """The rows of a table without statistics; where it is large, those of so many pages, scaled."""
    percent = min(100.0, 100 * COUNTED_BYTES / max(1, own_bytes))
    counting = composed("count_sampled", table=Identifier(table), percent=Literal(percent))
    row = connection.execute(counting).fetchone()
    return round(row[0] * 100 / percent) if row else 0


def _number(connection: BlockingConnection, name: str) -> int:
    row = connection.execute(query(name)).fetchone()
    return int(row[0]) if row else 0
