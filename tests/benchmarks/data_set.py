"""How fast a data set of many small days opens, and answers.

    python -m tests.benchmarks.data_set --days 2000

Each day has 20 events, 60 observations and a manifest that names 1,000 relays. Seconds by the clock, in a process
that has loaded DuckDB before: what the views take, then a query over all events, over one day's, and over every
manifest. Three times each.
"""

import argparse
import json
import secrets
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from bigbrotr_dagster.archive.export.day import SECONDS, Day
from bigbrotr_dagster.archive.export.tables import write_events, write_observations
from bigbrotr_dagster.cli.data_set import DataSet, opened
from tests.e2e.program import run

EVENTS, OBSERVATIONS, REPEAT = 20, 3, 3
FIRST = Day.parse("2020-01-01")
RELAYS = [f"wss://relay-{number}.example.com" for number in range(1_000)]
QUERIES = {
    "all by kind": "SELECT kind, count(*) FROM event GROUP BY kind",
    "one day": f"SELECT count(*) FROM event WHERE date = '{Day(FIRST.number + 9)}'",
    "manifests": "SELECT avg(coverage.share) FROM manifest",
}


def write_day(root: Path, day: Day) -> None:
    """A day as `export` writes it, of made-up events."""
    events, seen = (root / f"{name}/date={day}" for name in ("event", "observation"))
    for folder in (events, seen, root / "manifest"):
        folder.mkdir(parents=True, exist_ok=True)
    ids = [secrets.token_bytes(32) for _ in range(EVENTS)]
    rows: list[tuple[Any, ...]] = [
        (id, ids[0], day.since + number, number % 5, '[["t","a"]]', "hello " * 20, bytes(64))
        for number, id in enumerate(ids)
    ]
    write_events(events / "event.parquet", rows)
    pairs = [
        (id, RELAYS[(number + n) % 1_000], day.until) for number, id in enumerate(ids) for n in range(OBSERVATIONS)
    ]
    write_observations(seen / "observation.parquet", pairs)
    lacking = [{"url": url, "pending_seconds": SECONDS, "gap_seconds": {"refused": 9}} for url in RELAYS[900:]]
    coverage = {"filter": {}, "share": 0.9, "covered": RELAYS[:900], "not_covered": lacking, "not_asked": []}
    document = {"format": 1, "date": str(day), "since": day.since, "until": day.until, "coverage": coverage}
    (root / f"manifest/date={day}.json").write_text(json.dumps(document, indent=2))


def seconds(data_set: DataSet, query: str) -> float:
    """How long a query takes, with all its rows."""
    started = time.perf_counter()
    for answer in data_set.ask(query):
        list(answer.rows())
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.data_set")
    parser.add_argument("--days", type=int, default=2_000)
    days = parser.parse_args().days
    with tempfile.TemporaryDirectory() as home:
        root = Path(home) / "data"
        for number in range(days):
            write_day(root, Day(FIRST.number + number))
        print(f"{days} days; DuckDB {duckdb.__version__}, Arrow {pa.__version__}", flush=True)
        for _ in range(REPEAT):
            started = time.perf_counter()
            with opened(root) as data_set:
                took = {"open": time.perf_counter() - started}
                took |= {name: seconds(data_set, query) for name, query in QUERIES.items()}
            print(", ".join(f"{name} {each:.2f} s" for name, each in took.items()), flush=True)
        whole = run(Path(home), "sql", "--export", "data", QUERIES["manifests"])
        print(f"the command: peak {whole.max_rss / 1e6:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
