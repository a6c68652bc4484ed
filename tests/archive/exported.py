"""An archive with hand-made days, and what a data set says of it."""

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
from psycopg.types.json import Jsonb

from bigbrotr_dagster.archive.export import ExportedDay, export
from bigbrotr_dagster.archive.registry import register_relays
from bigbrotr_dagster.nostr.filter import Filter
from tests.sync.helpers import config

DAYS = ("2025-03-01", "2025-03-02", "2025-03-03")
FIRST = 1_740_787_200
"""First second of the first of them."""
DAY = 86_400
ALL = Filter().hash()

Row = tuple[Any, ...]


def put_events(database: str, events: Iterable[tuple[int, str, list[list[str | None]]]]) -> list[bytes]:
    """Store events of these times, contents and tags; returns their ids."""
    ids = []
    with psycopg.connect(database) as connection:
        for created_at, content, tags in events:
            ids.append(secrets.token_bytes(32))
            row = [
                ids[-1],
                secrets.token_bytes(32),
                created_at,
                1,
                Jsonb(tags),
                [],
                content,
                secrets.token_bytes(64),
            ]
            connection.execute(
                "INSERT INTO event (id, pubkey, created_at, kind, tags, tagvalues, content, sig)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                row,
            )
    return ids


def see(database: str, ids: Iterable[bytes], relay: str, seen_at: int) -> None:
    """Store that a relay was seen with these events."""
    with psycopg.connect(database) as connection:
        for id in ids:
            connection.execute("INSERT INTO event_relay VALUES (%s, %s, %s)", [id, relay, seen_at])


def cover(database: str, relay: str, since: int, until: int) -> None:
    """Register a relay, and let it prove the seconds from `since` on and before `until`."""
    register_relays(database, [relay])
    with psycopg.connect(database) as connection:
        connection.execute(
            "INSERT INTO sync_coverage (relay_url, filter_hash, filter, covered) VALUES (%s, %s, '{}', %s)"
            " ON CONFLICT (relay_url, filter_hash) DO UPDATE SET covered = excluded.covered",
            [relay, ALL, f"{{[{since},{until})}}"],
        )


def name_gap(database: str, relay: str, since: int, until: int, reason: str) -> None:
    """Put a gap into the ledger: `since` and `until` are both inside."""
    with psycopg.connect(database) as connection:
        connection.execute(
            "INSERT INTO sync_gap (relay_url, filter_hash, since, until, reason) VALUES (%s, %s, %s, %s, %s)",
            [relay, ALL, since, until, reason],
        )


def exported(database: str, folder: Path | str, days: Sequence[str] = (), **options: Any) -> list[ExportedDay]:
    """Export with these options; returns what was written."""
    return list(export(database, config(**options), folder, days))


def stored(database: str) -> tuple[dict[str, list[Row]], dict[str, list[Row]]]:
    """All events and observations of the database, by day, as a data set should have them, in its order."""
    events: dict[str, list[Row]] = {}
    seen: dict[str, list[Row]] = {}
    with psycopg.connect(database) as connection:
        for day, *row in connection.execute(
            "SELECT to_char(to_timestamp(created_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD'),"
            " id, pubkey, created_at, to_timestamp(created_at), kind, tags, content, sig"
            " FROM event ORDER BY created_at, id"
        ):
            events.setdefault(day, []).append(tuple(row))
        for day, *row in connection.execute(
            "SELECT to_char(to_timestamp(created_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD'), id, relay_url, seen_at"
            " FROM event JOIN event_relay ON event_id = id ORDER BY created_at, id, relay_url"
        ):
            seen.setdefault(day, []).append(tuple(row))
    return events, seen


def read(folder: Path) -> tuple[dict[str, list[Row]], dict[str, list[Row]]]:
    """What the Parquet files hold, by day."""
    found: list[dict[str, list[Row]]] = []
    for name in ("event", "observation"):
        tables: dict[str, list[Row]] = {}
        for path in sorted(folder.glob(f"{name}/date=*/*.parquet")):
            rows = pq.ParquetFile(path).read().to_pylist()
            if rows:
                tables.setdefault(path.parent.name.removeprefix("date="), []).extend(
                    tuple(row.values()) for row in rows
                )
        found.append(tables)
    return found[0], found[1]


def manifest(folder: Path, day: str) -> Mapping[str, Any]:
    """A day's manifest, whose files are what it says they are."""
    document: dict[str, Any] = json.loads((folder / "manifest" / f"date={day}.json").read_bytes())
    for file in document["files"]:
        data = (folder / file["path"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file["bytes"], file["sha256"]), file["path"]
    return document


Content = dict[str, list[tuple[bytes, str, list[list[str | None]]]]]


def read_by_duckdb(folder: Path) -> Content:
    """Ids, contents and tags by day, in the order of their ids, as DuckDB finds them in the documented layout."""
    import duckdb

    found: Content = {}
    select = "SELECT date, id, content, tags FROM read_parquet(?, hive_types = {'date': VARCHAR}) ORDER BY id"
    for date, *row in duckdb.execute(select, [f"{folder}/event/date=*/*.parquet"]).fetchall():
        found.setdefault(date, []).append(tuple(row))
    return found


def held(database: str) -> Content:
    """The same, as PostgreSQL holds it."""
    found: Content = {}
    with psycopg.connect(database) as connection:
        for day, *row in connection.execute(
            "SELECT to_char(to_timestamp(created_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD'), id, content, tags"
            " FROM event ORDER BY id"
        ):
            found.setdefault(day, []).append(tuple(row))
    return found
