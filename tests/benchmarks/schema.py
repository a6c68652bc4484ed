"""Which schema: bytes on disk and rows a second at depth, the same rows in each, on a PostgreSQL 15 of its own.

    python -m tests.benchmarks.schema --events 1000000 [--variants bigbrotr "event and relay key"] [--batches 20]

Every variant is filled in the order of arrival with its B-trees in place, so that they are as full as they would
be in life. Then batches go in as the writer sends them: the known ids are asked for, new events and observations
copied into staging, and inserted in order of their key. Client time is left out: the bytes are made before.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from tests.benchmarks import schema_source as source
from tests.benchmarks.schema_variants import VARIANTS, Variant
from tests.postgres15 import postgres15

Connection = psycopg.Connection[Any]

SETTINGS = {
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "maintenance_work_mem": "512MB",
    "work_mem": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_parallel_workers_per_gather": "0",
    "autovacuum": "off",
}

PROCEDURE = """
CREATE FUNCTION event_relay_insert_cascade(
    bytea[], bytea[], bigint[], integer[], jsonb[], text[], text[], bytea[], text[], text[], bigint[], bigint[]
) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE inserted integer;
BEGIN
    INSERT INTO relay SELECT * FROM unnest($9, $10, $11) ON CONFLICT (url) DO NOTHING;
    INSERT INTO event (id, pubkey, created_at, kind, tags, tagvalues, content, sig)
    SELECT id, pubkey, created_at, kind, tags, string_to_array(tagvalues, ' '), content, sig
    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) AS t (id, pubkey, created_at, kind, tags, tagvalues, content, sig)
    ON CONFLICT (id) DO NOTHING;
    INSERT INTO event_relay (event_id, relay_url, seen_at)
    SELECT DISTINCT ON (event_id, relay_url) event_id, relay_url, seen_at
    FROM unnest($1, $9, $12) AS t (event_id, relay_url, seen_at)
    ON CONFLICT (event_id, relay_url) DO NOTHING;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    RETURN inserted;
END $$;
"""
CALL = """
SELECT event_relay_insert_cascade(
    array_agg(id), array_agg(pubkey), array_agg(created_at), array_agg(kind), array_agg(tags),
    array_agg(array_to_string(tagvalues, ' ')), array_agg(content), array_agg(sig), array_agg(relay_url),
    array_agg('clearnet'::text), array_agg(1::bigint), array_agg(seen_at))
FROM (SELECT *, row_number() OVER () / 1000 AS part FROM staged_all) AS part GROUP BY part
"""


def make_source(connection: Connection, events: int, batches: int) -> None:
    connection.execute("SET work_mem = '1GB'")
    connection.execute("SELECT setseed(0.5)")
    for step in (source.SETUP, source.OBSERVATIONS, source.EVENTS, source.BATCHES):
        started = time.monotonic()
        psycopg.ClientCursor(connection).execute(step.encode(), {"events": events, "batches": batches})
        print(f"  source: {time.monotonic() - started:.0f} s", flush=True)


def fill(connection: Connection, variant: Variant, events: int) -> None:
    """All rows of the source, in the order of arrival."""
    columns = "id, pubkey, created_at, kind, tags, tagvalues, content, sig" + (", seq" if variant.has_seq else "")
    with connection.transaction():
        connection.execute(variant.tables.encode())
        connection.execute("INSERT INTO relay SELECT url, 'clearnet', 1 FROM source.relay")
        select = f"SELECT {columns} FROM source.event WHERE event <= {events} ORDER BY seq"
        connection.execute(f"INSERT INTO event ({columns}) {select}".encode())
        connection.execute(
            f"""INSERT INTO event_relay ({variant.event_key}, {variant.relay_key}, seen_at)
                SELECT {"seq" if variant.has_seq else "event.id"},
                       {"url" if variant.relay_key == "relay_url" else "relay.id"}, seen_at
                FROM source.observation JOIN source.event USING (event) JOIN source.relay ON relay.id = relay
                ORDER BY seen_at, relay, event""".encode()
        )
        connection.execute(variant.late_indexes.encode())
    connection.execute("VACUUM (FREEZE, ANALYZE) event, event_relay")
    connection.execute("CHECKPOINT")


def sizes(connection: Connection, table: str) -> dict[str, int]:
    """Bytes of a table with its partitions: the rows (with TOAST), and each index by its columns."""
    rows = connection.execute(
        """WITH part AS (SELECT %(table)s::regclass AS oid
                         UNION SELECT relid FROM pg_partition_tree(%(table)s::regclass))
           SELECT 'rows', sum(pg_table_size(oid)) FROM part
           UNION ALL
           SELECT substring(pg_get_indexdef(indexrelid) FROM 'USING (.*)$'), sum(pg_relation_size(indexrelid))
           FROM part JOIN pg_index ON indrelid = oid GROUP BY 1 ORDER BY 2 DESC""",
        {"table": table},
    )
    return {name: int(size) for name, size in rows}


class Batch:
    """What one batch sends, made beforehand."""

    def __init__(self, connection: Connection, variant: Variant, number: int, events: int) -> None:
        rows = "source.batch JOIN source.event USING (event) JOIN source.relay ON relay.id = relay"
        rows += f" WHERE batch = {number}"
        columns = "event.id, pubkey, created_at, kind, tags, tagvalues, content, sig"
        relay = "url" if variant.relay_key == "relay_url" else "relay.id"
        seq = ", seq" if variant.has_seq else ""
        if variant.by_procedure:
            self.all = self._binary(connection, f"SELECT {columns}, url, seen_at FROM {rows}")
            return
        ids = connection.execute(f"SELECT event.id, created_at FROM {rows}".encode()).fetchall()
        self.ids, self.times = [row[0] for row in ids], [row[1] for row in ids]
        self.events = self._binary(connection, f"SELECT {columns}{seq} FROM {rows} AND event > {events}")
        event = "seq" if seq else "event.id"
        seen_at = "seen_at::integer" if variant.observation == "pair_int4" else "seen_at"
        self.observations = self._binary(connection, f"SELECT {event}, {relay}, {seen_at} FROM {rows}")

    @staticmethod
    def _binary(connection: Connection, select: str) -> bytes:
        with connection.cursor().copy(f"COPY ({select}) TO STDOUT (FORMAT binary)".encode()) as copy:
            return b"".join(copy)


def store(connection: Connection, variant: Variant, batch: Batch) -> None:
    """As the writer does it, but for the coverage."""
    with connection.transaction():
        connection.execute("SET LOCAL synchronous_commit = off")
        if variant.by_procedure:
            _copy(connection, "staged_all", batch.all)
            connection.execute(CALL.encode())
            return
        if variant.event.endswith("range"):
            known = """SELECT id FROM unnest(%s::bytea[], %s::bigint[]) AS asked (id, created_at)
                       JOIN event USING (id, created_at)"""
            connection.execute(known, [batch.ids, batch.times], binary=True).fetchall()
        else:
            columns = "id, seq" if variant.has_seq else "id"
            known = f"SELECT {columns} FROM event WHERE id = ANY(%s)"
            connection.execute(known.encode(), [batch.ids], binary=True).fetchall()
        _copy(connection, "staged_event", batch.events)
        insert = "INSERT INTO event SELECT * FROM staged_event ORDER BY id ON CONFLICT DO NOTHING RETURNING id"
        connection.execute(insert).fetchall()
        _copy(connection, "staged_observation", batch.observations)
        keys = f"{variant.event_key}, {variant.relay_key}"
        connection.execute(
            f"INSERT INTO event_relay ({keys}, seen_at) SELECT {keys}, seen_at FROM staged_observation"
            f" ORDER BY {keys} ON CONFLICT DO NOTHING".encode()
        )


def _copy(connection: Connection, table: str, rows: bytes) -> None:
    with connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT binary)".encode()) as copy:
        copy.write(rows)


def make_staging(connection: Connection, variant: Variant) -> None:
    keys = f"{variant.event_key}, {variant.relay_key}"
    connection.execute("CREATE TEMP TABLE staged_event (LIKE event) ON COMMIT DELETE ROWS")
    connection.execute(
        f"CREATE TEMP TABLE staged_observation ON COMMIT DELETE ROWS AS SELECT {keys},"
        " seen_at FROM event_relay LIMIT 0".encode()
    )
    if variant.by_procedure:
        connection.execute(
            "CREATE TEMP TABLE staged_all (LIKE event, relay_url text, seen_at bigint) ON COMMIT DELETE ROWS"
        )
        connection.execute(PROCEDURE.encode())


class Filled:
    """A variant with all its rows, and what was measured of it."""

    def __init__(self, url: str, name: str, schema: str, events: int) -> None:
        self.variant = VARIANTS[name]
        self.events = events
        self.took: list[tuple[float, float]] = []
        self.again: list[tuple[float, float]] = []
        self.connection = psycopg.connect(url, autocommit=True)
        self.connection.execute(f"CREATE SCHEMA {schema}".encode())
        self.connection.execute(f"SET search_path = {schema}, public".encode())
        started = time.monotonic()
        fill(self.connection, self.variant, events)
        print(f"  {name}: filled in {time.monotonic() - started:.0f} s", flush=True)
        make_staging(self.connection, self.variant)
        self.sizes = {table: sizes(self.connection, table) for table in ("event", "event_relay")}
        self.before = self.filled = self._counts()

    def _counts(self) -> tuple[int, int]:
        count = "SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM event_relay)"
        return self.connection.execute(count).fetchone() or (0, 0)

    def end_warming(self) -> None:
        """What was stored so far brought the pages that are used all the time into memory, and counts no more."""
        self.took, self.again = [], []
        self.tidy()
        self.before = self._counts()

    def tidy(self) -> float:
        """Seconds to merge what GIN has put off, which is due sooner or later."""
        started = time.monotonic()
        self.connection.execute(
            """SELECT gin_clean_pending_list(indexrelid) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
               WHERE relkind = 'i' AND relam = (SELECT oid FROM pg_am WHERE amname = 'gin')
                 AND relnamespace = current_schema()::regnamespace"""
        )
        return time.monotonic() - started

    def store(self, number: int) -> None:
        """A batch, and the same batch again, of which all is known."""
        batch = Batch(self.connection, self.variant, number, self.events)
        for laps in (self.took, self.again):
            started, cpu = time.monotonic(), _cpu_seconds(self.connection)
            store(self.connection, self.variant, batch)
            laps.append((time.monotonic() - started, _cpu_seconds(self.connection) - cpu))

    def result(self) -> dict[str, Any]:
        rows = sum(self._counts()) - sum(self.before)
        seconds = sum(lap for lap, _ in self.took) + self.tidy()
        observations = self.filled[1]
        return {
            "observations": observations,
            "bytes per observation": sum(self.sizes["event_relay"].values()) / observations,
            "bytes per event": sum(sum(parts.values()) for parts in self.sizes.values()) / self.filled[0],
            "rows/s": rows / seconds,
            "rows/s of the median batch": rows / len(self.took) / _median(self.took, 0),
            "CPU ms a batch": _median(self.took, 1) * 1000,
            "ms a batch": _median(self.took, 0) * 1000,
            "ms again": _median(self.again, 0) * 1000,
            "CPU ms again": _median(self.again, 1) * 1000,
            "sizes": self.sizes,
        }


def _median(laps: list[tuple[float, float]], clock: int) -> float:
    return statistics.median(lap[clock] for lap in laps)


def _cpu_seconds(connection: Connection) -> float:
    """What the server process of this connection has used, other programs' load apart."""
    fields = Path(f"/proc/{connection.info.backend_pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def show(name: str, result: dict[str, Any]) -> None:
    figures = ", ".join(f"{key} {value:,.1f}" for key, value in result.items() if key != "sizes")
    print(f"{name}: {figures}")
    for table, parts in result["sizes"].items():
        shown = ", ".join(f"{part} {size / 1e6:,.0f} MB" for part, size in parts.items())
        print(f"    {table}: {shown}", flush=True)


def run(events: int, batches: int, warming: int, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Measure the named variants on a server of their own; returns the figures by variant."""
    results = {}
    with tempfile.TemporaryDirectory() as folder, postgres15(Path(folder)) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            for option, value in SETTINGS.items():
                connection.execute(f"ALTER SYSTEM SET {option} = '{value}'".encode())
        server.restart()
        with psycopg.connect(server.url, autocommit=True) as connection:
            make_source(connection, events, batches + warming)
        filled = {name: Filled(server.url, name, f"v{number}", events) for number, name in enumerate(names)}
        for number in range(
            1, batches + warming + 1
        ):  # in turns: what else the machine does disturbs all of them alike
            for variant in filled.values():
                if number == warming + 1:
                    variant.end_warming()
                variant.store(number)
        for name, variant in filled.items():
            results[name] = variant.result()
            show(name, results[name])
            variant.connection.close()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--warming", type=int, default=20, help="batches that are not counted")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    given = parser.parse_args()
    run(given.events, given.batches, given.warming, given.variants)


if __name__ == "__main__":
    main()
