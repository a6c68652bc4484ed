"""BigBrotr's database with rows in it, and BigBrotr at work on it: it writes, deletes and reads by its statements.

What is written is remembered here too, so that the table can be compared with it, pair by pair.
"""

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import psycopg
from psycopg.rows import TupleRow

Connection = psycopg.Connection[TupleRow]
Pairs = dict[tuple[bytes, str], int]
"""When an event was first seen at a relay."""

SCHEMA = (Path(__file__).parents[1] / "benchmarks" / "bigbrotr_schema.sql").read_bytes()
VIEWS = b"""
CREATE MATERIALIZED VIEW relay_stats AS
SELECT relay.url AS relay_url, count(seen.event_id) AS event_count
FROM relay LEFT JOIN event_relay AS seen ON relay.url = seen.relay_url GROUP BY relay.url;
CREATE UNIQUE INDEX idx_relay_stats_relay_url ON relay_stats (relay_url);
CREATE VIEW busy_relay AS SELECT relay_url FROM relay_stats WHERE event_count > 1;
"""
FILL = """
INSERT INTO relay
SELECT 'wss://r' || number || '.example.com', 'clearnet', 1 FROM generate_series(0, {relays} - 1) AS number;
INSERT INTO event (id, pubkey, created_at, kind, tags, tagvalues, content, sig)
SELECT sha256(int8send(number)), sha256(int8send(number % 5000)), 1600000000 + number, 1,
       jsonb_build_array(jsonb_build_array('e', md5(number::text)), jsonb_build_array('t', number % 1000)),
       ARRAY['e:' || md5(number::text), 't:' || number % 1000], repeat(md5(number::text), 8),
       sha256(int8send(-number)) || sha256(int8send(number + 1))
FROM generate_series(1, {events}) AS number;
INSERT INTO event_relay (event_id, relay_url, seen_at)
SELECT DISTINCT ON (event, relay)
       sha256(int8send(event)), 'wss://r' || relay || '.example.com', 1700000000 + event / 500 + relay
FROM (SELECT event, (event * (7 + place) + place * place * 13) % {relays} AS relay
      FROM generate_series(1, {events}) AS event, generate_series(1, 4 + {events} % 2) AS place) AS pair
ORDER BY event, relay;
ANALYZE event; ANALYZE event_relay; ANALYZE relay;
REFRESH MATERIALIZED VIEW relay_stats;
"""
CASCADE = "SELECT event_relay_insert_cascade(%s, %s, %s, %s, %s::jsonb[], %s, %s, %s, %s, %s, %s)"


def fill(url: str, events: int, relays: int = 50) -> None:
    """BigBrotr's schema, with some four to five observations an event."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA + VIEWS)
        connection.execute(FILL.format(events=events, relays=relays).encode())


def pairs(connection: Connection) -> Pairs:
    return {(id, url): seen for id, url, seen in connection.execute("SELECT * FROM event_relay")}


class AtWork:
    """Threads that write and read until the end of a `with`. `longest`: seconds that each waited at most."""

    def __init__(self, url: str, seed: int = 0) -> None:
        self._url = url
        self._random = random.Random(seed)
        self._is_over = threading.Event()
        self._trouble: list[BaseException] = []
        self.longest = {"writer": 0.0, "deleter": 0.0, "reader": 0.0}
        self.steps = dict.fromkeys(self.longest, 0)
        with psycopg.connect(url) as connection:
            self._relays = [url for (url,) in connection.execute("SELECT url FROM relay ORDER BY url")]
            self._seen: dict[str, dict[bytes, int]] = {url: {} for url in self._relays}
            for (id, relay), seen in pairs(connection).items():
                self._seen[relay][id] = seen
        self._ids = list({id for seen in self._seen.values() for id in seen})
        self._still = self._relays[0]  # nobody writes there, or deletes its events
        self._kept = set(self._seen[self._still])
        self._number = 10_000_000

    @property
    def pairs(self) -> Pairs:
        """What `event_relay` has to hold."""
        return {(id, url): seen for url, events in self._seen.items() for id, seen in events.items()}

    def __enter__(self) -> "AtWork":
        self._threads = [threading.Thread(target=self._run, args=(work,)) for work in (self._change, self._read)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        if self._trouble and error is None:
            raise self._trouble[0]

    def _run(self, work: Callable[[Connection], None]) -> None:
        try:
            with psycopg.connect(self._url, autocommit=True) as connection:
                while not self._is_over.is_set():
                    work(connection)
                    time.sleep(0.005)
        except BaseException as trouble:
            self._trouble.append(trouble)

    @contextmanager
    def _timed(self, who: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.longest[who] = max(self.longest[who], time.monotonic() - began)
        self.steps[who] += 1

    def _change(self, connection: Connection) -> None:
        self._insert(connection)
        choice = self._random.randrange(60)
        if choice < 12:
            self._delete_event(connection)
        elif choice < 24:
            self._delete_pair(connection)
        elif choice == 24:
            self._delete_relay(connection)

    def _insert(self, connection: Connection) -> None:
        """New events on two relays each, and known ones on another; some of them are there already."""
        rows: list[tuple[bytes, str]] = []
        for _ in range(10):
            self._number += 1
            id = hashlib.sha256(str(self._number).encode()).digest()
            self._ids.append(id)
            rows += [(id, url) for url in self._random.sample(self._relays[1:], 2)]
        rows += [(self._random.choice(self._ids), self._random.choice(self._relays[1:])) for _ in range(20)]
        rows = list(dict.fromkeys(rows))
        seen, count = 1_800_000_000 + self._number, len(rows)
        values = (
            [id for id, _ in rows], [b"author"] * count, [1_800_000_000] * count, [1] * count,
            ['[["e", "x"]]'] * count, ["new"] * count, [b"sig"] * count, [url for _, url in rows],
            ["clearnet"] * count, [1] * count, [seen] * count,
        )  # fmt: skip
        with self._timed("writer"):
            given = connection.execute(CASCADE, values).fetchone()
        new = [(id, url) for id, url in rows if id not in self._seen[url]]
        assert given == (len(new),), (given, len(new))
        for id, url in new:
            self._seen[url][id] = seen

    def _delete_event(self, connection: Connection) -> None:
        id = self._random.choice(self._ids)
        if id in self._kept:
            return
        with self._timed("deleter"):
            connection.execute("DELETE FROM event WHERE id = %s", [id])
        for seen in self._seen.values():
            seen.pop(id, None)

    def _delete_pair(self, connection: Connection) -> None:
        id, url = self._random.choice(self._ids), self._random.choice(self._relays[1:])
        order = "DELETE FROM event_relay WHERE event_id = %s AND relay_url = %s"
        with self._timed("deleter"):
            gone = connection.execute(order, [id, url]).rowcount
        assert gone == (self._seen[url].pop(id, None) is not None)

    def _delete_relay(self, connection: Connection) -> None:
        """Its rows go with it while they refer to it; once `event_relay` is the view, they stay."""
        url = self._random.choice(self._relays[1:])
        with self._timed("deleter"), connection.transaction():
            connection.execute("LOCK TABLE relay IN ROW EXCLUSIVE MODE")
            kind = connection.execute("SELECT relkind FROM pg_class WHERE relname = 'event_relay'").fetchone()
            connection.execute("DELETE FROM relay WHERE url = %s", [url])
        if kind != ("v",):
            self._seen[url].clear()

    def _read(self, connection: Connection) -> None:
        count = "SELECT count(*) FROM event_relay WHERE relay_url = %s"
        joined = "SELECT count(*) FROM event JOIN event_relay ON event_id = id WHERE id = %s AND relay_url = %s"
        some = next(iter(self._kept))
        with self._timed("reader"):
            assert connection.execute(count, [self._still]).fetchone() == (len(self._kept),)
            assert connection.execute(joined, [some, self._still]).fetchone() == (1,)
            assert connection.execute("SELECT count(*) > 0 FROM busy_relay").fetchone() == (True,)
