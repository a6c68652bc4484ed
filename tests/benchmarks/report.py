"""What a report costs: seconds, its process's CPU and memory, and its bytes, with few relays and with 10,000.

    python -m tests.benchmarks.report --events 400000

An archive of 2,000 days on the embedded server, some six observations an event; then 10,000 relays more, each
covered but for its end. Three reports of each by the command, its start included; PostgreSQL works beside it.
"""

import argparse
import tempfile
import time
from pathlib import Path

import psycopg

from bigbrotr_dagster.storage import embedded
from bigbrotr_dagster.storage.databases import ensure_database
from tests.archive.reported import ALL, fill, register_many
from tests.conftest import in_database
from tests.e2e.program import run

DAYS, RELAYS, REPEAT = 2_000, 10_000, 3


def cover_all(database: str) -> None:
    """Let every relay that proves nothing yet prove all but its newest days."""
    with psycopg.connect(database) as connection:
        connection.execute(
            "INSERT INTO sync_coverage (relay_url, filter_hash, filter, covered)"
            " SELECT url, %s, '{}', int8multirange(int8range(1600000000, 1790000000 + length(url))) FROM relay"
            " ON CONFLICT DO NOTHING",
            [ALL],
        )


def report(home: Path, database: str, name: str) -> None:
    for _ in range(REPEAT):
        started = time.monotonic()
        result = run(home, "report", "--to", "archive.html", BIGBROTR_DATABASE_URL=database)
        if result.code:
            raise RuntimeError(result.stderr)
        size, peak = (home / "archive.html").stat().st_size, result.max_rss / 1e6
        print(f"{name}: {time.monotonic() - started:.1f} s, {size:,} bytes, peak {peak:.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.report")
    parser.add_argument("--events", type=int, default=400_000)
    events = parser.parse_args().events
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        database = in_database(embedded.start(home / "server"), "bigbrotr")
        try:
            ensure_database(database)
            fill(database, events, DAYS)
            with psycopg.connect(database, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")
            report(home, database, "43 relays")
            register_many(database, RELAYS)
            cover_all(database)
            report(home, database, f"{RELAYS + 43:,} relays")
        finally:
            embedded.leave(home / "server")


if __name__ == "__main__":
    main()
