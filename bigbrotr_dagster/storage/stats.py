"""What the archive holds, and whether it is sound. Blocking; its cost does not grow with the archive."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.storage.queries import query

SAMPLED_EVENTS = 100_000
"""Events that counts by kind and by day are drawn from; an archive that is no larger is counted."""

FOLLOWED_EVENTS = 10_000
"""Of those, the ones whose observations are counted."""

COUNTED_BYTES = 16 * 2**20
"""Tables that are no larger are counted."""

DRAWS = 25
"""Places in a table from which a check draws."""

_Connection = psycopg.Connection[TupleRow]


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


@dataclass(frozen=True, slots=True)
class NetworkLag:
    """Seconds that the cursors of a network are behind; None where no relay has one. `without`: have none."""

    network: str
    relays: int
    without: int
    median: float | None
    slowest: float | None


def table_sizes(connection: _Connection) -> dict[str, TableSize]:
    """Rows and bytes of every table of the archive."""
    sizes = {}
    for table, total, own, rows in connection.execute(query("table_sizes")).fetchall():
        if rows is None:
            rows = _counted(connection, table, own)
        sizes[table] = TableSize(int(rows), total)
    return sizes


def archive_stats(connection: _Connection, *, kinds: int = 20, days: int = 30) -> ArchiveStats:
    """The counts, of the most common kinds and the newest days. In a transaction."""
    tables = table_sizes(connection)
    events = tables["event"].rows
    percent = min(100.0, 100 * SAMPLED_EVENTS / max(1, events))
    connection.execute(query("sample_events"), {"percent": percent})
    sampled = _number(connection, "sampled_events")
    scale = max(1.0, events / sampled) if sampled and percent < 100 else 1.0
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


def lag_by_network(connection: _Connection, networks: Sequence[str]) -> list[NetworkLag]:
    """How far behind the relays are whose last sync succeeded."""
    rows = connection.execute(query("lag_by_network"), {"networks": list(networks)})
    return [NetworkLag(*row) for row in rows]


def rejections(connection: _Connection, attempts: int = 20_000) -> tuple[int, dict[str, int]]:
    """Events that the last attempts received, and the rejected ones by reason."""
    (_, received), *reasons = connection.execute(query("rejections"), {"attempts": attempts}).fetchall()
    return received, dict(reasons)


def draw_events(connection: _Connection, count: int) -> list[Event]:
    """About `count` stored events at random; all, where there are no more than a few."""
    values = {"ids": _places(), "each": -(-count // DRAWS)}
    return [
        Event(id.hex(), pubkey.hex(), created_at, kind, tags, content, sig.hex())
        for id, pubkey, created_at, kind, tags, content, sig in connection.execute(query("draw_events"), values)
    ]


def orphans(connection: _Connection, count: int | None) -> tuple[int, list[str]]:
    """About `count` observations at random (None: all): how many were looked at, and those without their event."""
    if count is None:
        row = connection.execute(query("all_orphans"), {"everywhere": True}).fetchone()
    else:
        places = [int.from_bytes(start[:4]) / 2**32 for start in _places()]
        values = {"places": places, "each": -(-count // DRAWS)}
        row = connection.execute(query("draw_orphans"), values).fetchone()
    return (row[0], row[1] or []) if row else (0, [])


def _places() -> list[bytes]:
    """The first id, and ids at random: an id is a hash, so all are as likely."""
    return [bytes(32), *(secrets.token_bytes(32) for _ in range(DRAWS - 1))]


def _counted(connection: _Connection, table: str, own_bytes: int) -> int:
    """The rows of a table without statistics; where it is large, those of so many pages, scaled."""
    percent = min(100.0, 100 * COUNTED_BYTES / max(1, own_bytes))
    statement = psycopg.sql.SQL("SELECT count(*) FROM {} TABLESAMPLE SYSTEM ({})")
    filled = statement.format(psycopg.sql.Identifier(table), psycopg.sql.Literal(percent))
    row = connection.execute(filled).fetchone()
    return round(row[0] * 100 / percent) if row else 0


def _number(connection: _Connection, name: str) -> int:
    row = connection.execute(query(name)).fetchone()
    return int(row[0]) if row else 0
