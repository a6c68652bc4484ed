"""What an export costs: its rate by CPU and by the clock, its memory, and its bytes beside PostgreSQL's.

    python -m tests.benchmarks.export --events 200000 [--days 30] [--s3]

An archive of some days with as many events each, three tags of three elements on average and at times a hundred,
texts of some 250 bytes, 2 observations each by 500 relays; on Debian's PostgreSQL 15. The command exports it, in a
process of its own, to a folder or to moto's S3. Its CPU is the client's, `user` and `system`, its start included;
PostgreSQL works beside it.
"""

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg

from bigbrotr_dagster.storage.databases import ensure_database
from tests.archive.exported import DAY, FIRST, cover
from tests.conftest import in_database
from tests.e2e.program import run
from tests.postgres15 import postgres15
from tests.s3 import BUCKET, s3_server

RELAYS, AUTHORS = 500, 5_000
KINDS = (*[1] * 6, *[7] * 3, 3)


def rows(events: int, days: int) -> Iterator[tuple[object, ...]]:
    """Rows of `event`, ascending in time, the same on every machine."""
    draw = random.Random(1)
    words = [f"{draw.getrandbits(24):x}" for _ in range(4_000)]
    authors = [draw.randbytes(32) for _ in range(AUTHORS)]
    for number in range(events):
        size = 100 if number % 200 == 0 else draw.choice((0, 2, 4, 6))
        tags = [["e", draw.randbytes(32).hex(), "wss://relay.example.com"] for _ in range(size // 2)]
        tags += [["p", draw.choice(authors).hex(), ""] for _ in range(size // 2)]
        at = FIRST + number * days * DAY // events
        indexed = [f"{tag[0]}:{tag[1]}" for tag in tags]
        content = " ".join(draw.choices(words, k=min(2_000, int(draw.expovariate(1 / 40)))))
        id, pubkey, sig = draw.randbytes(32), draw.choice(authors), draw.randbytes(64)
        yield id, pubkey, at, draw.choice(KINDS), json.dumps(tags), indexed, content, sig


def fill(database: str, events: int, days: int) -> int:
    """Fill an archive; returns the bytes of its events and observations, indexes and all."""
    with psycopg.connect(database, autocommit=True) as connection:
        copy = "COPY event (id, pubkey, created_at, kind, tags, tagvalues, content, sig) FROM STDIN"
        with connection.cursor() as cursor, cursor.copy(copy) as into:
            for row in rows(events, days):
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
    cover(database, "wss://1.example.com", 0, FIRST + days * DAY)
    return int(held)


def s3_server_in(stack: ExitStack, folder: Path) -> dict[str, str]:
    """Start one until the end; returns the variables by which it is used."""
    return dict(stack.enter_context(s3_server(folder)).variables)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.export")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--s3", action="store_true")
    given = parser.parse_args()
    events = given.events
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = stack.enter_context(postgres15(Path(folder) / "server"))
        database = in_database(server.url, "bigbrotr")
        ensure_database(database)
        held = fill(database, events, given.days)
        place, variables = "data", {"BIGBROTR_DATABASE_URL": database}
        if given.s3:
            place, variables = f"s3://{BUCKET}/data", variables | s3_server_in(stack, Path(folder))
        for what in ("export", "nothing due"):
            before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            result = run(Path(folder), "export", "--to", place, "--json", timeout=900, **variables)
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
