"""What it costs to read what is held of one relay in a window, and what sums per relay and day would cost.

    python -m tests.benchmarks.holdings --events 1000000

An archive that has followed its relays for ten days: as many events each day, 4.7 observations each, 1,000 relays
of which few have most; an event is seen within five minutes. Then the query by which a relay is reconciled
(`held_of_relay`), for relays of different size and windows of different age; and, beside a batch as the writer
stores it, what it takes to keep the sum of the ids modulo 2^256 and their count, by relay and day.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from bigbrotr_dagster.storage.databases import ensure_database
from bigbrotr_dagster.storage.queries import query
from tests.benchmarks.schema import SETTINGS
from tests.conftest import in_database
from tests.postgres15 import postgres15

Connection = psycopg.Connection[Any]

DAYS, DAY = 10, 86_400
NOW = 1_790_000_000
MOST = 100_000
REPEAT = 5
BATCH = 1_000

FILL = """
INSERT INTO relay_key (url) SELECT 'wss://' || number || '.example.com' FROM generate_series(1, 1000) AS number;
INSERT INTO event (id, pubkey, created_at, kind, tags, tagvalues, content, sig)
SELECT sha256(int8send(number)), sha256(int8send(number % 50000)),
       (1790000000 - 864000 + number * 864000.0 / {events})::bigint,
       1, '[]', '{{}}', repeat(md5(number::text), 10), sha256(int8send(-number)) || sha256(int8send(number + 1))
FROM generate_series(1, {events}) AS number;
INSERT INTO observation (event_seq, seen_at, relay_id)
SELECT DISTINCT ON (seq, relay) seq, created_at + relay % 300, relay
FROM (SELECT seq, created_at, 1 + floor(1000 * random() ^ 3)::integer AS relay
      FROM event, LATERAL generate_series(1, 1 + floor(-ln(1 - random()) * (4.4 + 0 * seq))::integer)) AS pair
ORDER BY seq;
"""

SUMS = """
CREATE TABLE relay_day (
    relay_id integer, day integer, events bigint NOT NULL, words numeric[] NOT NULL, PRIMARY KEY (relay_id, day)
)
"""
ADD_SUMS = """
INSERT INTO relay_day AS kept (relay_id, day, events, words)
SELECT relay_id, (created_at / 86400)::integer, count(*), ARRAY[{words}]
FROM observation JOIN event ON event.seq = observation.event_seq
WHERE event.seq > %(after)s AND event.seq <= %(after)s + %(batch)s GROUP BY 1, 2 ORDER BY 1, 2
ON CONFLICT (relay_id, day) DO UPDATE SET events = kept.events + excluded.events,
    words = ARRAY(SELECT one + other FROM unnest(kept.words, excluded.words) AS pair (one, other))
"""
WORD = "sum(('x' || substr(encode(event.id, 'hex'), {start}, 8))::bit(32)::bigint)"


def fill(connection: Connection, events: int) -> None:
    started = time.monotonic()
    connection.execute("SELECT setseed(0.5)")
    connection.execute(FILL.format(events=events).encode())
    connection.execute("VACUUM (ANALYZE) event, observation")
    print(f"filled in {time.monotonic() - started:.0f} s", flush=True)


def held(connection: Connection, relay_id: int, since: int, until: int) -> tuple[int, float]:
    """Rows, and the milliseconds of the median reading."""
    values = {"relay_id": relay_id, "since": since, "until": until, "kinds": None, "authors": None, "most": MOST}
    laps = []
    for _ in range(REPEAT):
        started = time.monotonic()
        rows = connection.execute(query("held_of_relay"), values, binary=True, prepare=False).fetchall()
        laps.append(time.monotonic() - started)
    return len(rows), statistics.median(laps) * 1000


def plan(connection: Connection, relay_id: int, since: int, until: int) -> str:
    """The scans that the query takes, in words."""
    values = {"relay_id": relay_id, "since": since, "until": until, "kinds": None, "authors": None, "most": MOST}
    rows = psycopg.ClientCursor(connection).execute(b"EXPLAIN (COSTS OFF) " + query("held_of_relay"), values)
    return ", ".join(line.strip(" ->") for (line,) in rows if " on " in line)


def sums(connection: Connection, events: int) -> float:
    """Milliseconds that keeping the sums takes for a batch of 1,000 new events and their observations."""
    connection.execute(SUMS.encode())
    words = ", ".join(WORD.format(start=1 + 8 * place) for place in range(8))
    laps = []
    for number in range(20):
        started = time.monotonic()
        after = events - (number + 1) * BATCH
        connection.execute(ADD_SUMS.format(words=words).encode(), {"after": after, "batch": BATCH})
        laps.append(time.monotonic() - started)
    return statistics.median(laps) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.holdings")
    parser.add_argument("--events", type=int, default=1_000_000)
    events = parser.parse_args().events
    options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
    with tempfile.TemporaryDirectory() as folder, postgres15(Path(folder), options=options) as server:
        url = in_database(server.url, "bigbrotr")
        ensure_database(url)
        with psycopg.connect(url, autocommit=True) as connection:
            fill(connection, events)
            for relay_id in (1, 30, 1_000):
                for name, since, until in (
                    ("last hour", NOW - 3_600, NOW),
                    ("last day", NOW - DAY, NOW),
                    ("five days ago, a day", NOW - 6 * DAY, NOW - 5 * DAY),
                    ("all", 0, NOW),
                ):
                    rows, took = held(connection, relay_id, since, until)
                    print(f"relay {relay_id}, {name}: {rows:,} rows in {took:.1f} ms", flush=True)
                    print(f"    {plan(connection, relay_id, since, until)}", flush=True)
            print(f"sums: {sums(connection, events):.1f} ms a batch of {BATCH:,} events", flush=True)


if __name__ == "__main__":
    main()
