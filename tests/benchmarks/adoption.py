"""What it takes to take over a BigBrotr database that is in use: time by step, waits, bytes on the disk.

    python -m tests.benchmarks.adoption --events 430000 [--at-once]

Debian's PostgreSQL 15 without fsync, 512 MB of shared buffers; BigBrotr's schema with 16 partitions, 1,000 relays,
4 observations an event. Meanwhile its own procedure inserts 40 rows at a time, events, pairs and relays are
deleted, and others read. `--at-once` adopts a second such database by the migrations, in one transaction, with
nobody beside it.
"""

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bigbrotr_dagster.storage.databases import Progress, adopt
from bigbrotr_dagster.storage.queries import migrations
from tests.conftest import in_database
from tests.postgres15 import postgres15
from tests.storage.bigbrotr_at_work import CASCADE, AtWork, fill, pairs

OPTIONS = "-c shared_buffers=512MB -c maintenance_work_mem=256MB -c max_wal_size=4GB -c random_page_cost=1.1"
BILLION = 1_000_000_000
SIZE_EVERY = 1.0
CALLS = 30


class Steps:
    """Seconds, rows and the longest waits by step, and the largest size of the database."""

    def __init__(self, url: str) -> None:
        self.seconds: dict[str, float] = {}
        self.rows: dict[str, int] = {}
        self.waits: dict[str, dict[str, float]] = {}
        self.held = 0.0
        self._url = url
        self.at_first = self.size()
        self.at_most = self.at_first

    def size(self) -> int:
        with psycopg.connect(self._url) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row is not None
        return int(row[0])

    def watch(self, steps: Iterator[Progress], work: AtWork) -> None:
        last = sized = time.monotonic()
        announced = ""
        for progress in steps:
            now = time.monotonic()
            is_begun = progress.done is None and not progress.held
            step = announced if is_begun and announced else progress.step
            announced = progress.step
            self.seconds[step] = self.seconds.get(step, 0.0) + now - last
            self.rows[step] = max(progress.rows, self.rows.get(step, 0))
            self.held = max(self.held, progress.held)
            self._note_waits(step, work)
            last = now
            if now - sized > SIZE_EVERY:
                self.at_most, sized = max(self.at_most, self.size()), now
        self.at_most = max(self.at_most, self.size())
        time.sleep(1)  # whoever waited for the last step comes back after it
        self._note_waits(progress.step, work)

    def _note_waits(self, step: str, work: AtWork) -> None:
        longest = self.waits.setdefault(step, dict.fromkeys(work.longest, 0.0))
        for who, seconds in work.longest.items():
            longest[who] = max(longest[who], seconds)
            work.longest[who] = 0.0

    def show(self) -> None:
        for step, seconds in self.seconds.items():
            waits = ", ".join(f"{who} {wait:.2f}" for who, wait in self.waits[step].items())
            rate = f", {self.rows[step]:,} rows, {self.rows[step] / seconds:,.0f}/s" if self.rows[step] else ""
            print(f"  {step}: {seconds:.1f} s{rate}; longest waits in s: {waits}")
        print(f"  locks asked for and held for {self.held:.2f} s at most")
        sizes = (self.at_first, self.at_most, self.size())
        print("  bytes before, at most, after: " + ", ".join(f"{size / 1e6:,.0f} MB" for size in sizes))


@contextmanager
def filled(server: str, name: str, events: int) -> Iterator[str]:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = in_database(server, name)
    started = time.monotonic()
    fill(url, events, relays=1_000)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")
    print(f"{name}: filled in {time.monotonic() - started:.0f} s", flush=True)
    yield url


def online(url: str) -> None:
    steps = Steps(url)
    with AtWork(url) as work:
        time.sleep(5)
        print("  alone, longest waits in s: " + ", ".join(f"{who} {s:.2f}" for who, s in work.longest.items()))
        steps.watch(adopt(url), work)
        seconds = sum(steps.seconds.values())
    steps.show()
    count = len(work.pairs)
    print(f"  {count:,} observations in {seconds:.0f} s: {count / seconds:,.0f}/s", end="")
    print(f"; a billion in {BILLION / count * seconds / 3600:.1f} h at that rate")
    with psycopg.connect(url) as connection:
        print(f"  the same pairs as were written: {pairs(connection) == work.pairs}; steps: {work.steps}")


def procedure(url: str, first: int) -> float:
    """Milliseconds of the median call of BigBrotr's procedure, with 1,000 rows of 250 new events."""
    laps = []
    with psycopg.connect(url, autocommit=True) as connection:
        for call in range(first, first + CALLS):
            ids = [hashlib.sha256(f"{call}-{row // 4}".encode()).digest() for row in range(1_000)]
            relays = [f"wss://r{(row * 7 + call) % 50}.example.com" for row in range(1_000)]
            alike = ([b"author"], [1_800_000_000], [1], ['[["e", "x"]]'], ["new"], [b"sig"])
            others = (["clearnet"], [1], [1])
            values = (ids, *(one * 1_000 for one in alike), relays, *(one * 1_000 for one in others))
            started = time.perf_counter()
            connection.execute(CASCADE, values)
            laps.append(time.perf_counter() - started)
    return statistics.median(laps) * 1_000


def procedure_costs(url: str) -> None:
    """Of a small database: before, while its writes are mirrored, and once it is taken over."""
    before = procedure(url, 0)
    steps = adopt(url)
    next(progress for progress in steps if progress.step == "counting what was copied")
    steps.close()
    meanwhile = procedure(url, CALLS)
    list(adopt(url))
    after = procedure(url, 2 * CALLS)
    print(f"1,000 rows by the procedure: {before:.0f} ms, mirrored {meanwhile:.0f}, afterwards {after:.0f}")


def at_once(url: str) -> None:
    """As `db migrate` would, which refuses databases of this size."""
    started = time.monotonic()
    with psycopg.connect(url, autocommit=True) as connection, connection.transaction():
        for _, _, text in migrations():
            connection.execute(text)
    print(f"  at once: {time.monotonic() - started:.0f} s under a lock")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=430_000)
    parser.add_argument("--at-once", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, postgres15(Path(folder), options=OPTIONS) as server:
        with filled(server.url, "small", 5_000) as url:
            procedure_costs(url)
        with filled(server.url, "online", given.events) as url:
            online(url)
        if given.at_once:
            with filled(server.url, "at_once", given.events) as url:
                at_once(url)


if __name__ == "__main__":
    main()
