"""What an export costs: its rate by CPU and by the clock, its memory, and its bytes beside PostgreSQL's.

    python -m tests.benchmarks.export --events 200000

An archive of 30 days with as many events each, three tags of three elements on average and at times a hundred,
texts of some 250 bytes, 2 observations each by 500 relays; on Debian's PostgreSQL 15. The command exports
it, in a process of its own. Its CPU is the client's, `user` and `system`, its start included; PostgreSQL works
beside it.
"""

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from bigbrotr_dagster.storage.databases import ensure_database
from tests.archive.exported import DAY, FIRST, cover
from tests.conftest import in_database
from tests.e2e.program import run
from tests.postgres15 import postgres15

DAYS, RELAYS, AUTHORS = 30, 500, 5_000
KINDS = (*[1] * 6, *[7] * 3, 3)


def rows(events: int) -> Iterator[tuple[object, ...]]:
    """Rows of `event`, ascending in time, the same on every machine."""
    draw = random.Random(1)
    words = [f"{draw.getrandbits(24):x}" for _ in range(4_000)]
    authors = [draw.randbytes(32) for _ in range(AUTHORS)]
    for number in range(events):
        size = 100 if number % 200 == 0 else draw.choice((0, 2, 4, 6))
        tags = [["e", draw.randbytes(32).hex(), "wss://relay.example.com"] for _ in range(size // 2)]
        tags += [["p", draw.choice(authors).hex(), ""] for _ in range(size // 2)]
        at = FIRST + number * DAYS * DAY // events
        indexed = [f"{tag[0]}:{tag[1]}" for tag in tags]
        content = " ".join(draw.choices(words, k=min(2_000, int(draw.expovariate(1 / 40)))))
        id, pubkey, sig = draw.randbytes(32), draw.choice(authors), draw.randbytes(64)
        yield id, pubkey, at, draw.choice(KINDS), json.dumps(tags), indexed, content, sig


def fill(database: str, events: int) -> int:
    """Fill an archive; returns the bytes of its events and observations, indexes and all."""
    with psycopg.connect(database, autocommit=True) as connection:
        copy = "COPY event (id, pubkey, created_at, kind, tags, tagvalues, content, sig) FROM STDIN"
        with connection.cursor() as cursor, cursor.copy(copy) as into:
            for row in rows(events):
                into.write_row(row)
        connection.execute(
            "INSERT INTO relay_key (url)"
            f" SELECT 'wss://' || n || '.example.com' FROM generate_series(1, {RELAYS}) AS n"
        )
        connection.execute(
            "INSERT INTO observation (event_seq, seen_at, relay_id)"
            f" SELECT seq, created_at + 60 * n, 1 + (seq * 7 + n * 13) % {RELAYS}"
            " FROM event, generate_series(0, 1) AS n"
        )
        connection.execute("VACUUM ANALYZE")
        sizes = "SELECT (pg_total_relation_size('event') + pg_total_relation_size('observation'))::bigint"
        [(held,)] = connection.execute(sizes).fetchall()
    cover(database, "wss://1.example.com", 0, FIRST + DAYS * DAY)
    return int(held)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.export")
    parser.add_argument("--events", type=int, default=200_000)
    events = parser.parse_args().events
    with tempfile.TemporaryDirectory() as folder, postgres15(Path(folder) / "server") as server:
        database = in_database(server.url, "bigbrotr")
        ensure_database(database)
        held = fill(database, events)
        for what in ("export", "nothing due"):
            before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            result = run(Path(folder), "export", "--to", "data", "--json", BIGBROTR_DATABASE_URL=database)
            seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
            if result.code:
                raise RuntimeError(result.stderr)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            size = sum(day["bytes"] for day in result.report["days"])
            print(f"{what}: {len(result.report['days'])} days in {seconds:.1f} s, {cpu:.1f} s of CPU", flush=True)
            if size:
                rates = f"{events / cpu:,.0f} events/s of CPU, {events / seconds:,.0f} by the clock"
                print(f"    {rates}; peak {result.max_rss / 1e6:.0f} MB", flush=True)
                print(f"    {size:,} bytes, {size / held:.1%} of PostgreSQL's {held:,}", flush=True)


if __name__ == "__main__":
    main()
