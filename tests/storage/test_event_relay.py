"""`event_relay` by BigBrotr's names: a view, read and written as the table was, also in an adopted database."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import TupleRow

from bigbrotr_dagster.archive.stats import table_sizes
from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.storage.databases import adopt, ensure_database
from bigbrotr_dagster.storage.databases.migrations import migrate
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import open_pool
from tests.conftest import in_database
from tests.storage.test_writer import delivery, store

BIGBROTR = (Path(__file__).parent / "bigbrotr.sql").read_bytes()
Connection = psycopg.Connection[TupleRow]


@pytest.fixture(params=["embedded_server", "debian_server"])
def bigbrotr(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a database of BigBrotr's, on PostgreSQL 18 and then on 15."""
    server = request.getfixturevalue(request.param)
    with psycopg.connect(in_database(server, "postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE bigbrotr")
        with psycopg.connect(in_database(server, "bigbrotr"), autocommit=True) as theirs:
            theirs.execute(BIGBROTR)
        yield in_database(server, "bigbrotr")
        connection.execute("DROP DATABASE bigbrotr WITH (FORCE)")


@pytest.fixture(params=[ensure_database, lambda url: list(adopt(url))], ids=["at once", "while in use"])
def adopted(request: pytest.FixtureRequest, bigbrotr: str) -> Iterator[Connection]:
    request.param(bigbrotr)
    with psycopg.connect(bigbrotr, autocommit=True) as connection:
        yield connection


def rows(connection: Connection, text: str, *values: object) -> list[TupleRow]:
    return connection.execute(text.encode(), values).fetchall()


SEEN = "SELECT encode(event_id, 'hex'), relay_url, seen_at FROM event_relay ORDER BY 1, 2"


def test_an_adopted_database_keeps_every_row(bigbrotr: str) -> None:
    with psycopg.connect(bigbrotr, autocommit=True) as connection:
        before = rows(connection, SEEN)
        migrate(connection)
        assert rows(connection, SEEN) == before
        assert rows(connection, "SELECT count(*), count(DISTINCT seq) FROM event") == [(10, 10)]
        sizes = table_sizes(connection)
    assert (sizes["event"].rows, sizes["observation"].rows, sizes["relay"].rows) == (10, 11, 3)
    assert sizes["event"].bytes > 0


def test_an_adoption_that_fails_leaves_all_as_it_was(bigbrotr: str) -> None:
    with psycopg.connect(bigbrotr, autocommit=True) as connection:
        connection.execute("CREATE VIEW observation AS SELECT 1")
        with pytest.raises(psycopg.errors.DuplicateTable):
            migrate(connection)
        assert rows(connection, "SELECT count(*) FROM event_relay JOIN event ON event.id = event_id") == [(11,)]
        assert rows(connection, "SELECT relkind FROM pg_class WHERE oid = 'event_relay'::regclass") == [("p",)]


def test_views_on_the_table_are_put_on_the_view(adopted: Connection) -> None:
    assert rows(adopted, "SELECT * FROM relay_stats ORDER BY 1") == [
        ("wss://a", 10, 10),
        ("wss://b", 1, 3),
        ("wss://c", 0, None),
    ]
    assert rows(adopted, "SELECT obj_description('relay_stats'::regclass, 'pg_class')") == [("events by relay",)]
    adopted.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY relay_stats")
    adopted.execute("CREATE ROLE reader")
    try:
        with adopted.transaction(force_rollback=True):
            adopted.execute("SET LOCAL ROLE reader")
            assert rows(adopted, "SELECT * FROM busy_relay") == [("wss://a",)]
            assert rows(adopted, "SELECT count(*) FROM event_relay") == [(11,)]
    finally:
        adopted.execute("DROP ROLE reader")


def test_bigbrotrs_procedures_go_on_working(adopted: Connection) -> None:
    [(new,), (known,)] = rows(adopted, "SELECT id FROM event WHERE created_at IN (4, 3) ORDER BY created_at DESC")
    assert rows(adopted, "SELECT event_insert(%s, %s)", [new, b"another"], [b"author", b"author"]) == [(1,)]
    call = "SELECT event_relay_insert(%s, %s, %s)"
    urls = ["wss://b", "wss://b", "wss://never.seen"]
    assert rows(adopted, call, [new, known, known], urls, [300, 300, 300]) == [(2,)]
    assert rows(adopted, "SELECT seen_at FROM event_relay WHERE event_id = %s ORDER BY relay_url", known) == [
        (103,),
        (200,),
        (300,),
    ]
    adopted.execute("DELETE FROM event_relay WHERE relay_url = 'wss://a' AND event_id <> %s", [known])
    assert rows(adopted, "SELECT orphan_event_delete()") == [(9,)]
    assert rows(adopted, "SELECT count(*) FROM observation") == [(4,)]


def test_a_removed_relay_leaves_what_was_seen_with_it(adopted: Connection) -> None:
    assert adopted.execute(query("remove_relays"), {"urls": ["wss://b"]}).rowcount == 1
    assert rows(adopted, "SELECT seen_at FROM event_relay WHERE relay_url = 'wss://b'") == [(200,)]


def test_an_observation_of_no_event_is_refused(adopted: Connection) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        adopted.execute("INSERT INTO event_relay VALUES ('\\xabcd', 'wss://a', 1)")


def test_an_event_takes_its_observations_along(adopted: Connection) -> None:
    adopted.execute("DELETE FROM event WHERE created_at <= 3")
    assert rows(adopted, "SELECT count(*) FROM observation") == [(7,)]


async def test_the_writer_goes_on_where_bigbrotr_stopped(bigbrotr: str, real_events: list[Event]) -> None:
    ensure_database(bigbrotr)
    async with open_pool(bigbrotr) as pool:
        given = delivery(*real_events[:100], relay="wss://a")
        await store(pool, given)
        assert (given.tally.events_new, given.tally.observations_new) == (100, 100)
        async with pool.connection() as connection:
            found = await connection.execute("SELECT count(*) FROM event_relay WHERE relay_url = 'wss://a'")
            assert await found.fetchone() == (110,)


def test_the_number_of_an_event_comes_from_the_index_alone(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        plan = "\n".join(
            row[0] for row in rows(connection, "EXPLAIN SELECT id, seq FROM event WHERE id = '\\xab'")
        )
    assert "Index Only Scan" in plan, plan


def test_an_event_that_others_refer_to_keeps_its_key(bigbrotr: str) -> None:
    with psycopg.connect(bigbrotr, autocommit=True) as connection:
        connection.execute("CREATE TABLE theirs (id bytea REFERENCES event (id))")
        migrate(connection)
        assert rows(connection, "SELECT count(*) FROM event_relay") == [(11,)]


def test_a_query_that_needs_no_event_reads_none(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        asked = "SELECT relay_url, count(*) FROM event_relay WHERE seen_at > 5 GROUP BY 1"
        plan = "\n".join(row[0] for row in rows(connection, f"EXPLAIN {asked}"))
    assert " on event" not in plan, plan


@pytest.mark.parametrize("by", ["event_id = '\\xab'", "relay_url = 'wss://a'"])
def test_the_view_is_read_by_index(database: str, by: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = "\n".join(row[0] for row in rows(connection, f"EXPLAIN SELECT * FROM event_relay WHERE {by}"))
    assert "Seq Scan" not in plan, plan
