"""An archive of each earlier version becomes one of today's with all its rows, and its syncs go on."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from bigbrotr_dagster.archive.proof import cursors_beyond_coverage
from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.storage.databases import ensure_database
from bigbrotr_dagster.storage.databases.migrations import missing_migrations
from bigbrotr_dagster.storage.queries import migrations, query
from bigbrotr_dagster.sync import sync_relays
from tests.conftest import in_database
from tests.nostr.helpers import signed
from tests.relays.scripted import scripted
from tests.sync.helpers import ask, config, stored_ids

pytestmark = pytest.mark.slow

Connection = psycopg.Connection[TupleRow]
VERSIONS = [version for version, _, _ in migrations()]
EVENTS = [signed(1_000 + number, tags=[["t", "tag"], ["long", "x"]]) for number in range(20)]
HELD = 12
"""Events, the oldest ones, that the archive has when it is an earlier version's."""

OTHER = "wss://gone.example"
"""A relay that is not there any more: what is written of it stays as it is."""

ROWS = {
    (2, 99): """
        INSERT INTO sync_coverage (relay_url, filter_hash, filter, covered)
        VALUES (%(url)s, %(hash)s, '{}', %(covered)s::int8multirange),
               ('wss://gone.example', 'h', '{}', '{[5,9)}');
        INSERT INTO sync_gap (relay_url, filter_hash, since, until, reason, held)
        VALUES ('wss://gone.example', 'h', 3, 4, 'saturated', 7);
        INSERT INTO sync_attempt (relay_url, run_id, requests, events_received, events_rejected)
        VALUES (%(url)s, 'one', 5, 12, '{"bad_id": 2}'), ('wss://gone.example', 'one', 3, 0, '{}');
        UPDATE sync_attempt SET finished_at = now(), ok = true;
        INSERT INTO sync_attempt (relay_url, run_id) VALUES ('wss://gone.example', 'died');
        INSERT INTO relay_limits (relay_url, attempted_at, succeeded_at) VALUES (%(url)s, now(), now());
        INSERT INTO relay_limits (relay_url, largest_answer, cut_at, answer_order, failures)
        VALUES ('wss://gone.example', 500, 100, 'oldest-first', 3);
        INSERT INTO event_quarantine (relay_url, digest, reason, event_id, raw)
        VALUES ('wss://gone.example', '\\x01', 'bad_id', 'ab', '\\x7b7d');
    """,
    (3, 99): """
        UPDATE relay_limits SET cut_pages = 2, hides = true, rung = 1, request_limit = 50, pause = 0.5,
                                retry_at = now() + interval '1 hour'
        WHERE relay_url = 'wss://gone.example';
    """,
    (4, 22): "UPDATE sync_coverage SET audited_from = 6, audit_seconds = 2 WHERE filter_hash = 'h';",
    (4, 99): "UPDATE sync_attempt SET late_events = 4 WHERE relay_url = %(url)s;",
    (5, 99): "UPDATE sync_gap SET missing = 9;",
    (11, 99): "INSERT INTO relay_partition (key) VALUES (%(url)s), ('wss://gone.example');",
    (20, 99): "UPDATE relay_limits SET eose_grace = 1.5 WHERE relay_url = 'wss://gone.example';",
    (21, 99): "UPDATE relay_limits SET restricted_kinds = 'refused' WHERE relay_url = 'wss://gone.example';",
    (23, 99): "UPDATE sync_coverage SET read_at_ages = ARRAY['{[5,9)}'::int8multirange] WHERE filter_hash = 'h';",
    (24, 99): """
        UPDATE relay_limits SET negentropy = 'distrusted', negentropy_at = now() WHERE relay_url = 'wss://gone.example';
        UPDATE sync_coverage SET reconciled_from = 7 WHERE filter_hash = 'h';
        INSERT INTO gone_event (relay_id, event_seq)
        SELECT relay_id, event_seq FROM observation ORDER BY event_seq LIMIT 1;
        INSERT INTO withheld_event (relay_url, filter_hash, event_id, since, until, is_refused)
        VALUES ('wss://gone.example', 'h', '\\x02', 5, 8, false);
    """,
    (25, 99): """
        INSERT INTO relay_candidate (url, network, host, source, mentions, named_by, failures, reason)
        VALUES ('wss://named.example.com', 'clearnet', 'named.example.com', 'event', 3, '{1,2}', 1, 'silent');
    """,
    (26, 99): """
        INSERT INTO metadata (id, type, data) VALUES ('\\x03', 'nip11_info', '{"name": "other"}');
        INSERT INTO relay_metadata VALUES ('wss://gone.example', 100, 'nip11_info', '\\x03');
        INSERT INTO relay_health (relay_url, checked_at, alive, alive_at)
        VALUES ('wss://gone.example', 100, true, 100);
    """,
    (30, 99): """
        INSERT INTO sync_cycle (run_id, relays) VALUES ('one', 2);
        UPDATE sync_cycle_total SET ok = 3, buckets[1] = 2;
    """,
}
"""What only these versions, from one to another, can hold; `(1, 99)` is `archived`."""

KEPT = {
    1: [
        "SELECT * FROM relay ORDER BY url",
        "SELECT id, pubkey, created_at, kind, tags::text, tagvalues, content, sig FROM event ORDER BY id",
        "SELECT event_id, relay_url, seen_at FROM event_relay ORDER BY 1, 2",
        "SELECT * FROM service_state ORDER BY 1, 2, 3",
    ],
    2: [
        "SELECT relay_url, filter_hash, filter::text, covered::text FROM sync_coverage ORDER BY 1, 2",
        "SELECT relay_url, filter_hash, since, until, reason, held, tries FROM sync_gap ORDER BY since",
        "SELECT id, relay_url, run_id, started_at, finished_at, ok, requests, events_received,"
        " events_rejected::text FROM sync_attempt ORDER BY id",
        "SELECT relay_url, cut_at, answer_order, failures, attempted_at, succeeded_at FROM relay_limits"
        " ORDER BY relay_url",
        "SELECT * FROM event_quarantine ORDER BY 1, 2",
    ],
    3: ["SELECT cut_pages, hides, rung, request_limit, pause, retry_at FROM relay_limits ORDER BY relay_url"],
    4: ["SELECT late_events FROM sync_attempt ORDER BY id"],
    5: ["SELECT missing FROM sync_gap"],
    7: ["SELECT * FROM sync_total ORDER BY 1, 2"],
    9: ["SELECT * FROM archive_identity"],
    11: ["SELECT * FROM relay_partition ORDER BY 1"],
    20: ["SELECT eose_grace FROM relay_limits ORDER BY relay_url"],
    21: ["SELECT restricted_kinds FROM relay_limits ORDER BY relay_url"],
    23: ["SELECT read_at_ages::text FROM sync_coverage ORDER BY 1"],
    24: [
        "SELECT reconciled_from FROM sync_coverage ORDER BY filter_hash",
        "SELECT negentropy, negentropy_at FROM relay_limits ORDER BY relay_url",
        "SELECT * FROM gone_event",
        "SELECT * FROM withheld_event",
    ],
    25: ["SELECT * FROM relay_candidate"],
    30: ["SELECT * FROM sync_cycle", "SELECT * FROM sync_cycle_total"],
    32: ["SELECT * FROM partition_stamp"],
    26: ["SELECT * FROM metadata", "SELECT * FROM relay_metadata", "SELECT * FROM relay_health"],
}
"""What each version brought that later ones have to keep. What a later one changes on purpose is not here:
`largest_answer` (22) is learned anew, `audited_from` and `audit_seconds` (4) are gone with 23."""


@pytest.fixture
def earlier(embedded_server: str) -> Iterator[str]:
    """URL of a database without any table."""
    with psycopg.connect(in_database(embedded_server, "postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE earlier")
        yield in_database(embedded_server, "earlier")
        connection.execute("DROP DATABASE earlier WITH (FORCE)")


def migrate_to(connection: Connection, version: int) -> None:
    """Make the schema what it was in that version."""
    connection.execute(query("make_migration_ledger"))
    for number, name, text in migrations():
        if number <= version:
            connection.execute(text)
            connection.execute(query("note_migration"), {"version": number, "name": name})
    connection.commit()


def archived(connection: Connection, url: str, events: list[Event]) -> None:
    """What every version can hold, as its writer left it."""
    connection.execute("INSERT INTO relay VALUES (%s, 'local', 1), (%s, 'clearnet', 2)", (url, OTHER))
    for event in events:
        keys = [f"{name}:{value}" for name, value, *_ in event.tags if len(name) == 1]
        connection.execute(
            "INSERT INTO event (id, pubkey, created_at, kind, tags, tagvalues, content, sig)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            (bytes.fromhex(event.id), bytes.fromhex(event.pubkey), event.created_at, event.kind,
             Jsonb(event.tags), keys, event.content, bytes.fromhex(event.sig)),
        )  # fmt: skip
        for relay in (url, OTHER):
            connection.execute(
                "INSERT INTO event_relay (event_id, relay_url, seen_at) VALUES (%s, %s, 5000)",
                (bytes.fromhex(event.id), relay),
            )
    last = events[-1]
    connection.execute(
        "INSERT INTO service_state VALUES ('synchronizer', 'cursor', %s, %s)",
        (url, Jsonb({"timestamp": last.created_at, "id": last.id})),
    )


def kept(connection: Connection, version: int) -> list[list[TupleRow]]:
    """What that version and those before it brought."""
    questions = [question for since, asked in KEPT.items() if since <= version for question in asked]
    return [connection.execute(question.encode()).fetchall() for question in questions]


@pytest.mark.parametrize("version", VERSIONS)
async def test_its_rows_are_kept_and_its_syncs_go_on(version: int, earlier: str) -> None:
    async with scripted(EVENTS) as relay:
        last = EVENTS[HELD - 1].created_at
        values = {
            "url": relay.url,
            "hash": Filter.from_dict({}).hash(),
            "covered": f"{{[0,{last + 1})}}",
        }
        with psycopg.connect(earlier) as connection:
            migrate_to(connection, version)
            archived(connection, relay.url, EVENTS[:HELD])
            for (since, until), text in ROWS.items():
                for statement in text.split(";\n") if since <= version <= until else []:
                    if statement.strip():
                        connection.execute(statement.encode(), values if "%(" in statement else None)
            connection.commit()
            before = kept(connection, version)
            connection.commit()
        assert all(before)
        ensure_database(earlier)
        with psycopg.connect(earlier) as connection:
            assert missing_migrations(connection) == []
            assert kept(connection, version) == before
            counted = "SELECT sum(value) FROM sync_total WHERE name = 'requests'"
            finished = "SELECT sum(requests) FROM sync_attempt WHERE finished_at IS NOT NULL"
            assert connection.execute(counted).fetchone() == connection.execute(finished).fetchone()
        [report] = (await sync_relays(earlier, config(), [relay.url])).relays
    assert (report.ok, report.events_new, report.pending_seconds) == (True, len(EVENTS) - HELD, 0)
    assert stored_ids(earlier, relay.url) == {event.id for event in EVENTS}
    if version >= 2:
        assert report.events_received <= len(EVENTS) - HELD + 3, "what was proved is not read again"
    assert cursors_beyond_coverage(earlier, config()) == []
    assert ask(earlier, "SELECT count(*) FROM event_relay") == [(len(EVENTS) + HELD,)]
