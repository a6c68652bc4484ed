"""Looking through the archive for relays that its events name: each event once, in the order of arrival.

Theory of operation. `event.seq` ascends in the order in which events were given their numbers, and not in that in
which they were committed: a transaction that is under way may hold lower numbers than what is seen already. So a
look goes no further than what had arrived when it began, and begins only when every transaction that was writing
events then is over. How far it has come is a row that changes in the same transaction as the candidates, and that
locks out whoever else looks: a killed look repeats at most a batch, and nothing is counted twice.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import orjson

from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.discovery.candidates import (
    MOST_NAMED_BY,
    Named,
    Refusals,
    candidate_url,
    note,
    take_bigbrotrs,
    trim,
)
from bigbrotr_dagster.discovery.lists import ask_lists
from bigbrotr_dagster.discovery.mentions import MONITORED, mentions
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import BlockingConnection, connect

__all__ = ["ScanReport", "has_unread", "scan"]

WRITERS_SECONDS = 10.0
"""Seconds to wait for transactions that write events; then the look is put off."""

POLL = 0.02
"""Seconds between two looks at them."""

MOST_NAMED = 20_000
"""Relays of one batch: it ends early where strangers name more."""

ROWS_AT_ONCE = 20
"""Events in memory: each may take a megabyte."""


@dataclass(slots=True)
class ScanReport:
    """What came of a look. `unread`: events that had arrived and were not looked at, for want of time."""

    scanned: int = 0
    candidates_new: int = 0
    refused: Refusals = field(default_factory=Refusals)
    forgotten: int = 0
    unread: int = 0
    seconds: float = 0.0


def scan(database_url: str, options: SynchronizerConfig) -> ScanReport:
    """Ask the lists that are due, and look at all events that have arrived since the last look.

    The latter takes `discovery.events.max_duration` seconds at most.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    report, started = ScanReport(), time.monotonic()
    report.candidates_new += ask_lists(database_url, options, report.refused)
    deadline = started + options.discovery.events.max_duration
    with connect(database_url) as connection:
        report.candidates_new += take_bigbrotrs(connection, options)
        if options.discovery.events.enabled:
            connection.execute(query("begin_scan"))
            until = _settled(connection)
            while until is not None and not _scan_batch(connection, until, options, report):
                if time.monotonic() > deadline:
                    report.unread = until - _scanned(connection)
                    break
        if report.candidates_new:
            report.forgotten = trim(connection, options.discovery)
    report.seconds = time.monotonic() - started
    return report


def has_unread(connection: BlockingConnection) -> bool:
    """Whether events have arrived since the last look.

    Raises:
        psycopg.Error: the database did not answer.
    """
    return _newest(connection) > _scanned(connection)


def _newest(connection: BlockingConnection) -> int:
    row = connection.execute(query("newest_seq")).fetchone()
    return row[0] if row else 0


def _scanned(connection: BlockingConnection) -> int:
    row = connection.execute(query("scanned_seq")).fetchone()
    return row[0] if row else 0


def _settled(connection: BlockingConnection) -> int | None:
    """The number below which no event can arrive any more; None where a writer takes its time."""
    newest = _newest(connection)
    writers = [name for (name,) in connection.execute(query("event_writers"))]
    deadline = time.monotonic() + WRITERS_SECONDS
    while writers:
        if time.monotonic() > deadline:
            return None
        time.sleep(POLL)
        rows = connection.execute(query("event_writers_among"), {"writers": writers})
        writers = [name for (name,) in rows]
    return newest


def _scan_batch(
    connection: BlockingConnection, until: int, options: SynchronizerConfig, report: ScanReport
) -> bool:
    """Look at the next events; returns whether there were none."""
    with connection.transaction():
        after = _scanned(connection)
        end, count = _next(connection, after, until, options.discovery.events.batch_size)
        if end is None:
            return True
        batch = _Batch(options)
        for seq in batch.read(connection, after, end):
            if len(batch.named) > MOST_NAMED:
                end, count = _next(connection, after, seq, options.discovery.events.batch_size)
                break
        new = note(connection, list(batch.named.values()), options.discovery)
        connection.execute(query("note_scanned"), {"seq": end})
    report.scanned += count
    report.candidates_new += new
    report.refused += batch.refused
    return False


def _next(connection: BlockingConnection, after: int, until: int, most: int) -> tuple[int | None, int]:
    row = connection.execute(query("next_events"), {"after": after, "until": until, "most": most}).fetchone()
    return row if row else (None, 0)


class _Batch:
    """What some events name."""

    def __init__(self, options: SynchronizerConfig) -> None:
        self.named: dict[str, Named] = {}
        self.refused = Refusals()
        self._options = options
        self._monitors = frozenset(options.discovery.nip66_monitors)

    def read(self, connection: BlockingConnection, after: int, until: int) -> Iterator[int]:
        """Read a stretch of events; yields the number of each that may name relays, after it was taken."""
        with connection.cursor("mentions") as rows:
            rows.itersize = ROWS_AT_ONCE
            rows.execute(query("events_with_mentions"), {"after": after, "until": until})
            for seq, id, pubkey, created_at, kind, tags, content in rows:
                self._take(id, pubkey, created_at, kind, orjson.loads(tags), content)
                yield seq

    def _take(
        self, id: bytes, pubkey: bytes, created_at: int, kind: int, tags: list[list[str]], content: str
    ) -> None:
        author = pubkey.hex()
        is_monitor = kind == MONITORED and author in self._monitors
        source = "monitor" if is_monitor else "event"
        vouched_for = _alive(tags) if is_monitor else None
        of_event: set[str] = set()  # the same relay in two spellings is one mention
        for text in mentions(kind, tags, content):
            relay = candidate_url(text, self._options, self.refused)
            if relay is None or relay.url in of_event:
                continue
            of_event.add(relay.url)
            named = self.named.get(relay.url)
            if named is None:
                named = self.named[relay.url] = Named(relay, source, id.hex(), author)
            named.mentions += 1
            if len(named.named_by) < MOST_NAMED_BY:
                named.named_by.add(int.from_bytes(pubkey[:8], signed=True))
            if text == vouched_for:
                named.vouched_at = max(min(created_at, int(time.time())), named.vouched_at or 0)


def _alive(tags: list[list[str]]) -> str | None:
    """The relay of which a monitor's event says that it answered (NIP-66): dead ones have no round trip."""
    values = {tag[0]: tag[1] for tag in reversed(tags) if len(tag) > 1}
    return values.get("d", "").strip() if {"rtt-open", "rtt-read"} & values.keys() else None
