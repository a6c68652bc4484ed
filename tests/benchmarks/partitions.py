"""`observation` as one table and in 16 partitions: what the same batches and questions cost the server process.

    python -m tests.benchmarks.partitions [--events 1000000]

4.7 observations an event of 1,000 relays, of which few have most; made in SQL, in PostgreSQL 15 without fsync.
All of it should fit into the memory. CPU is that of the server's process, which others do not disturb.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random

import psutil
import psycopg

from tests.conftest import in_database
from tests.postgres15 import postgres15

OPTIONS = "-c shared_buffers=1GB -c max_wal_size=8GB -c checkpoint_timeout=30min -c autovacuum=off -c jit=off"
PARTITIONS = 16
RELAYS = 1000
BATCH = 1000
BATCHES = 30
FIRST_SECOND = 1_700_000_000
EVENTS_A_SECOND = 1000
CHUNK = 500_000

Observation = tuple[int, int, int]

INDEXES = """
    CREATE INDEX ON observation (relay_id, seen_at); CREATE INDEX ON observation USING brin (seen_at);"""
STAGED = "CREATE TEMP TABLE staged (event_seq bigint, seen_at bigint, relay_id integer)"
FILL = """
    INSERT INTO observation
    SELECT event, %(first)s + event / %(a_second)s, floor(%(relays)s * power(random(), 3))::integer
    FROM generate_series(%(low)s::bigint, %(high)s::bigint) AS event, generate_series(1, 5) AS copy
    WHERE copy < 5 OR event %% 10 < 7
    ON CONFLICT DO NOTHING"""
INSERT = "INSERT INTO observation SELECT * FROM staged ORDER BY event_seq, relay_id ON CONFLICT DO NOTHING"
SIZE = """
    SELECT sum(pg_total_relation_size(relid))::float8 / (SELECT count(*) FROM observation)
    FROM (SELECT 'observation'::regclass AS relid UNION SELECT relid FROM pg_partition_tree('observation')) AS t"""
NEWEST = "SELECT event_seq FROM observation WHERE relay_id = %s AND seen_at >= %s"
RELAYS_OF = "SELECT relay_id FROM observation WHERE event_seq = %s"


def layouts(events: int) -> dict[str, tuple[str, Callable[[int], str]]]:
    """By name: how the table is partitioned, and the bounds of the partition of a number."""
    step = max(events * 3 // 2, events + BATCHES * BATCH) // PARTITIONS + 1

    def remainder(number: int) -> str:
        return f"WITH (MODULUS {PARTITIONS}, REMAINDER {number})"

    def stretch(number: int) -> str:
        return f"FROM ({number * step}) TO ({(number + 1) * step})"

    return {
        "one table": ("", remainder),
        "hash of event_seq": ("PARTITION BY HASH (event_seq)", remainder),
        "hash of relay_id": ("PARTITION BY HASH (relay_id)", remainder),
        "ranges of event_seq": ("PARTITION BY RANGE (event_seq)", stretch),
    }


def schema(partitioned: str, bounds: Callable[[int], str]) -> str:
    parts = (
        f"CREATE TABLE part_{number} PARTITION OF observation FOR VALUES {bounds(number)};"
        for number in range(PARTITIONS if partitioned else 0)
    )
    return (
        "CREATE TABLE observation (event_seq bigint NOT NULL, seen_at bigint NOT NULL, relay_id integer NOT NULL,"
        f" PRIMARY KEY (event_seq, relay_id)) {partitioned}; {''.join(parts)} {INDEXES}"
    )


class Asked:
    """A session, and the CPU of its server process."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True)
        self.connection.execute(STAGED)
        self._process = psutil.Process(self.connection.info.backend_pid)

    def ask(self, statement: str, *values: object) -> list[tuple[int, ...]]:
        return self.connection.execute(statement.encode(), values).fetchall()

    def cpu(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    def insert(self, batches: Iterable[list[Observation]]) -> float:
        """The CPU of inserting a batch that is staged, in ms on the average."""
        taken = count = 0.0
        for batch in batches:
            self.connection.execute("TRUNCATE staged")
            with self.connection.cursor().copy("COPY staged FROM STDIN") as copy:
                for row in batch:
                    copy.write_row(row)
            before = self.cpu()
            self.connection.execute(INSERT)
            taken, count = taken + self.cpu() - before, count + 1
        return 1000 * taken / count

    def answers(self, statement: str, questions: list[tuple[int, ...]]) -> float:
        """The CPU of an answer, in ms on the average."""
        before = self.cpu()
        for values in questions:
            self.ask(statement, *values)
        return 1000 * (self.cpu() - before) / len(questions)


def fill(connection: psycopg.Connection, events: int) -> None:
    for low in range(0, events, CHUNK):
        values = {"low": low, "high": min(low + CHUNK, events) - 1}
        connection.execute(FILL, values | {"first": FIRST_SECOND, "a_second": EVENTS_A_SECOND, "relays": RELAYS})
    started = time.monotonic()
    connection.execute("VACUUM (FREEZE, ANALYZE) observation")
    print(f"  frozen and analyzed in {time.monotonic() - started:.1f} s")
    connection.execute("CHECKPOINT")


def measure(url: str, events: int) -> dict[str, float]:
    """Fill the table of a database, and ask; ms of CPU by what is asked."""
    random = Random(1)
    asked = Asked(url)
    fill(asked.connection, events)
    now, rounds = FIRST_SECOND * 2, range(BATCHES)
    newest = FIRST_SECOND + events // EVENTS_A_SECOND - 30
    size = asked.connection.execute(SIZE).fetchone()
    assert size is not None
    new = ([(events + n * BATCH + row, now + n, 7) for row in range(BATCH)] for n in rounds)
    over = (
        [(seq, now + n, 2 * RELAYS + n) for seq in sorted(random.sample(range(events), BATCH))] for n in rounds
    )
    found = {
        "bytes each": size[0],
        "of new events": asked.insert(new),
        "new, of events all over": asked.insert(over),
    }
    held = "SELECT event_seq, seen_at, relay_id FROM observation WHERE relay_id = %s"
    known = ([(row[0], row[1], row[2]) for row in asked.ask(held, 2 * RELAYS + n)] for n in rounds)
    found["known pairs"] = asked.insert(known)
    found["newest of a relay"] = asked.answers(NEWEST, [(random.randrange(1, RELAYS), newest) for _ in range(200)])
    found["relays of an event"] = asked.answers(RELAYS_OF, [(random.randrange(events),) for _ in range(500)])
    asked.connection.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    events = parser.parse_args().events
    with tempfile.TemporaryDirectory() as folder, postgres15(Path(folder), options=OPTIONS) as server:
        for number, (name, layout) in enumerate(layouts(events).items()):
            print(f"{name}:", flush=True)
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE layout_{number}".encode())
            url = in_database(server.url, f"layout_{number}")
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(schema(*layout).encode())
            for what, value in measure(url, events).items():
                print(f"  {what}: {value:.2f}", flush=True)
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE layout_{number}".encode())


if __name__ == "__main__":
    main()
