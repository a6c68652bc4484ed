"""BigBrotr's database is taken over step by step: what it comes to, what stands in the way, and the way back."""

import itertools
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import TupleRow
from psycopg.sql import Identifier

from bigbrotr_dagster.storage import embedded
from bigbrotr_dagster.storage.databases import AdoptionRefused, adopt, ensure_database, ensure_readable, undo
from bigbrotr_dagster.storage.databases.migrations import missing_migrations
from bigbrotr_dagster.storage.queries import composed, migration_statements, migrations, query
from tests.conftest import in_database
from tests.postgres15 import BIN
from tests.storage.bigbrotr_at_work import SCHEMA, VIEWS, pairs

BIGBROTR = (Path(__file__).parent / "bigbrotr.sql").read_bytes()
Connection = psycopg.Connection[TupleRow]

PLAIN = BIGBROTR.replace(b") PARTITION BY HASH (id);", b");").replace(b") PARTITION BY HASH (event_id);", b");")
PLAIN = b"\n".join(line for line in PLAIN.splitlines() if b"PARTITION OF" not in line)
"""As older releases of BigBrotr had it: without partitions."""

WHOLE = SCHEMA.replace(b" COMPRESSION lz4", b"") + VIEWS
"""All of BigBrotr's own names; the embedded server is built without lz4."""

SHAPES = {"partitioned": BIGBROTR, "plain": PLAIN, "sixteen parts": WHOLE}


@pytest.fixture(params=["embedded_server", "debian_server"])
def server(request: pytest.FixtureRequest) -> str:
    """URL of PostgreSQL 18 and then of 15."""
    return str(request.getfixturevalue(request.param))


def make(server: str, name: str, text: bytes) -> Iterator[str]:
    with psycopg.connect(in_database(server, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        with psycopg.connect(in_database(server, name), autocommit=True) as theirs:
            theirs.execute(text)
        yield in_database(server, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def bigbrotr(server: str) -> Iterator[str]:
    yield from make(server, "adoption_theirs", BIGBROTR)


@pytest.fixture
def connection(bigbrotr: str) -> Iterator[Connection]:
    with psycopg.connect(bigbrotr, autocommit=True) as opened:
        yield opened


def rows(connection: Connection, text: str, *values: object) -> list[TupleRow]:
    return connection.execute(text.encode(), values or None).fetchall()


def steps(url: str) -> list[str]:
    return [name for name, _ in itertools.groupby(progress.step for progress in adopt(url))]


def schema(url: str) -> list[str]:
    """All that pg_dump says of a database but its rows, in parts."""
    with psycopg.connect(url) as connection:
        is_fifteen = connection.info.server_version < 160_000
    programs = Path(BIN) if is_fifteen else embedded.binaries()
    said = subprocess.run(
        [programs / "pg_dump", "--schema-only", url], check=True, capture_output=True, text=True
    ).stdout
    lines = [line for line in said.splitlines() if "restrict" not in line]
    return sorted(part.strip() for part in "\n".join(lines).split("\n\n\n"))


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_the_schema_is_the_one_that_the_migrations_make(server: str, shape: str) -> None:
    for online in make(server, "adoption_online", SHAPES[shape]):
        for at_once in make(server, "adoption_at_once", SHAPES[shape]):
            assert steps(online)[-1] == "putting the view in the table's place"
            ensure_database(at_once)
            assert schema(online) == schema(at_once)
            with psycopg.connect(online) as connection:
                assert missing_migrations(connection) == []


def test_every_row_is_kept_and_the_views_are_filled(bigbrotr: str, connection: Connection) -> None:
    before = pairs(connection)
    assert steps(bigbrotr) == [
        "numbering events",
        "looking for events without a number",
        "numbering events",
        "indexing events",
        "mirroring writes",
        "copying observations",
        "counting what was copied",
        "making the views that read event_relay",
        "putting the view in the table's place",
    ]
    assert pairs(connection) == before
    assert rows(connection, "SELECT count(*), count(DISTINCT seq), min(seq), max(seq) FROM event") == [
        (10, 10, 1, 10)
    ]
    stats = [("wss://a", 10, 10), ("wss://b", 1, 3), ("wss://c", 0, None)]
    assert rows(connection, "SELECT * FROM relay_stats ORDER BY 1") == stats
    assert rows(connection, "SELECT obj_description('relay_stats'::regclass, 'pg_class')") == [
        ("events by relay",)
    ]
    connection.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY relay_stats")
    assert steps(bigbrotr) == []


def test_left_off_after_any_step_it_goes_on(bigbrotr: str, connection: Connection) -> None:
    before = pairs(connection)
    for count in itertools.count(1):
        one = adopt(bigbrotr, batch_rows=1)
        if len(list(itertools.islice(one, count))) < count:
            break
        one.close()
        assert pairs(connection) == before
    assert rows(connection, "SELECT relkind FROM pg_class WHERE oid = 'event_relay'::regclass") == [("v",)]
    assert count > 8
    assert missing_migrations(connection) == []


def test_meanwhile_nothing_else_of_ours_runs(bigbrotr: str) -> None:
    one = adopt(bigbrotr)
    next(one)
    for work in (ensure_database, ensure_readable):
        with pytest.raises(
            AdoptionRefused, match=r"is being taken over from BigBrotr: 0%; `bigbrotr-dagster db adopt`"
        ):
            work(bigbrotr)
    one.close()


def copied(url: str) -> None:
    """As far as writes are mirrored and old rows are copied."""
    next(progress for progress in adopt(url) if progress.step == "counting what was copied")


def held(connection: Connection) -> list[TupleRow]:
    return rows(
        connection,
        "SELECT event.id, url, seen_at FROM observation JOIN event ON seq = event_seq"
        " JOIN relay_key ON relay_key.id = relay_id ORDER BY 1, 2",
    )


def test_what_is_written_meanwhile_is_mirrored(bigbrotr: str, connection: Connection) -> None:
    copied(bigbrotr)

    def is_mirrored() -> bool:
        return held(connection) == rows(connection, "SELECT * FROM event_relay ORDER BY 1, 2")

    assert is_mirrored()
    [known] = next(iter(rows(connection, "SELECT id FROM event WHERE created_at = 4")))
    connection.execute("INSERT INTO relay VALUES ('wss://new', 'clearnet', 1)")
    assert rows(connection, "SELECT event_insert(%s, %s)", [known, b"another"], [b"a", b"a"]) == [(1,)]
    call = "SELECT event_relay_insert(%s, %s, %s)"
    urls = ["wss://b", "wss://a", "wss://new"]
    assert rows(connection, call, [known, known, b"another"], urls, [300, 300, 301]) == [(2,)]
    assert is_mirrored()
    for statement in (
        "UPDATE event_relay SET seen_at = 7 WHERE relay_url = 'wss://b'",
        "DELETE FROM event_relay WHERE seen_at = 101",
        "DELETE FROM event WHERE created_at = 2",
        "DELETE FROM relay WHERE url = 'wss://b'",
        "DELETE FROM event_0 WHERE created_at < 9",
        "TRUNCATE event_relay",
    ):
        count = len(held(connection))
        connection.execute(statement.encode())
        assert is_mirrored(), statement
        assert len(held(connection)) < count or "UPDATE" in statement, statement


def test_a_copy_that_is_not_the_same_is_thrown_away_and_made_anew(bigbrotr: str, connection: Connection) -> None:
    before = pairs(connection)
    copied(bigbrotr)
    connection.execute("DELETE FROM observation WHERE seen_at = 105")
    with pytest.raises(AdoptionRefused, match=r"of 1 relays is not like event_relay \(wss://a: 9 of 10 rows\)"):
        list(adopt(bigbrotr))
    assert list(adopt(bigbrotr))
    assert pairs(connection) == before


def test_a_table_that_is_written_anew_meanwhile_is_gone_through_again(
    bigbrotr: str, connection: Connection
) -> None:
    before = pairs(connection)
    one = adopt(bigbrotr, batch_rows=1)
    next(progress for progress in one if progress.step == "copying observations")
    one.close()
    connection.execute("DELETE FROM event_relay WHERE seen_at = 101")
    for table in ("event", "event_relay"):
        connection.execute(f"VACUUM FULL {table}".encode())
    assert list(adopt(bigbrotr))
    assert pairs(connection) == {pair: seen for pair, seen in before.items() if seen != 101}


def test_an_event_that_somebody_has_locked_is_numbered_later(bigbrotr: str, connection: Connection) -> None:
    with psycopg.connect(bigbrotr) as holder:
        one = adopt(bigbrotr)
        next(one)
        holder.execute("SELECT FROM event WHERE created_at = 5 FOR UPDATE")
        while (progress := next(one)).done != 1:
            pass
        assert progress.rows == 9
        holder.rollback()
        assert "numbering events" in {progress.step for progress in one}
    assert rows(connection, "SELECT count(seq) FROM event") == [(10,)]


@pytest.mark.slow
def test_a_long_reader_is_waited_for_and_nobody_waits_behind(bigbrotr: str, connection: Connection) -> None:
    with psycopg.connect(bigbrotr) as reader:
        reader.execute("SELECT count(*) FROM event")
        one = adopt(bigbrotr)
        waiting = next(one)
        assert waiting.detail.startswith(f"waiting for session {reader.info.backend_pid}, ")
        connection.execute("SET lock_timeout = '100ms'")
        assert rows(connection, "SELECT count(*) FROM event") == [(10,)]
        reader.rollback()
        assert next(one).held > 0
        one.close()


def mirrored(url: str) -> None:
    """As far as writes are mirrored, and no old row is copied."""
    next(progress for progress in adopt(url) if progress.step == "mirroring writes")


def test_no_batch_is_copied_while_somebody_deletes(bigbrotr: str, connection: Connection) -> None:
    mirrored(bigbrotr)
    with psycopg.connect(bigbrotr) as deleter:
        deleter.execute("DELETE FROM event_relay WHERE seen_at = 103")
        one = adopt(bigbrotr)
        assert next(one).detail == "waiting for somebody who deletes"
        assert held(connection) == []
        deleter.commit()
        next(progress for progress in one if progress.step == "counting what was copied")
        one.close()
    assert held(connection) == rows(connection, "SELECT * FROM event_relay ORDER BY 1, 2")
    assert len(held(connection)) == 10


@pytest.mark.parametrize("what", ["event_relay WHERE seen_at = 103", "event WHERE created_at = 3", "relay"])
def test_who_deletes_while_a_batch_is_copied_takes_along_what_it_brings(
    bigbrotr: str, connection: Connection, what: str
) -> None:
    mirrored(bigbrotr)
    with psycopg.connect(bigbrotr) as copying, ThreadPoolExecutor() as threads:
        assert copying.execute(query("try_to_copy")).fetchone() == (True,)
        order = composed("adopt_observations", leaf=Identifier("event_relay"))
        assert copying.execute(order, {"first": "(0,0)", "end": "(1000,0)"}).rowcount == 11
        deleting = threads.submit(connection.execute, f"DELETE FROM {what}".encode())
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        with psycopg.connect(bigbrotr, autocommit=True) as watcher:
            while rows(watcher, waiting) == [(0,)]:
                assert not deleting.done()
                time.sleep(0.01)
        copying.commit()
        deleting.result(timeout=10)
    left = held(connection)
    assert left == rows(connection, "SELECT * FROM event_relay ORDER BY 1, 2")
    assert len(left) == {"event_relay": 10, "event": 9, "relay": 0}[what.split()[0]]


def test_the_way_back_leaves_what_bigbrotr_had(bigbrotr: str, connection: Connection) -> None:
    before = pairs(connection)
    copied(bigbrotr)
    connection.execute("DELETE FROM event_relay WHERE seen_at = 101")
    assert [progress.step for progress in undo(bigbrotr)] == ["undoing"]
    assert pairs(connection) == {pair: seen for pair, seen in before.items() if seen != 101}
    assert rows(
        connection, "SELECT to_regclass('observation'), to_regclass('relay_key'), to_regclass('event_seq')"
    ) == [(None, None, None)]
    connection.execute("DELETE FROM relay")
    assert rows(connection, "SELECT orphan_event_delete()") == [(10,)]
    with pytest.raises(AdoptionRefused, match="is not being taken over"):
        list(undo(bigbrotr))
    assert list(adopt(bigbrotr))


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("ALTER TABLE event_relay DROP CONSTRAINT event_relay_event_id_fkey", "no foreign key to event"),
        (
            "CREATE SCHEMA other; CREATE VIEW other.one AS SELECT seen_at FROM event_relay",
            "other.one reads event_relay",
        ),
        ("ALTER TABLE event ADD COLUMN seq text", "event has a column seq that is not ours"),
        (
            "CREATE TABLE theirs (id bytea, url text, FOREIGN KEY (id, url) REFERENCES event_relay)",
            "theirs refers to",
        ),
        (
            "CREATE FUNCTION f(event_relay) RETURNS bigint LANGUAGE sql AS 'SELECT 1'",
            r"f\(event_relay\) depends on",
        ),
        ("CREATE VIEW grouped AS SELECT id, kind FROM event GROUP BY id", "grouped groups by a key alone"),
        ("DROP TABLE event_relay CASCADE", "is none of BigBrotr's: `bigbrotr-dagster db migrate`"),
    ],
)
def test_what_stands_in_the_way_is_said_at_once(
    bigbrotr: str, connection: Connection, statement: str, words: str
) -> None:
    connection.execute(statement.encode())
    with pytest.raises(AdoptionRefused, match=words):
        list(adopt(bigbrotr))
    assert rows(connection, "SELECT to_regnamespace('bigbrotr_adoption')") == [(None,)]


def test_who_owns_the_database_need_not_be_a_superuser(server: str) -> None:
    with psycopg.connect(in_database(server, "postgres"), autocommit=True) as connection:
        connection.execute("CREATE ROLE keeper LOGIN; CREATE ROLE reader")
        connection.execute("CREATE DATABASE adoption_kept OWNER keeper")
        url = in_database(server, "adoption_kept").replace("postgres@", "keeper@")
        try:
            with psycopg.connect(url, autocommit=True) as theirs:
                theirs.execute(BIGBROTR + b"GRANT SELECT ON relay_stats TO reader;")
                before = pairs(theirs)
            assert list(adopt(url))
            with psycopg.connect(url, autocommit=True) as theirs:
                assert pairs(theirs) == before
                may = "SELECT has_table_privilege('reader', 'relay_stats', 'SELECT')"
                assert rows(theirs, may) == [(True,)]
                owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
                assert rows(theirs, owners) == [("keeper",)]
        finally:
            connection.execute("DROP DATABASE adoption_kept WITH (FORCE)")
            connection.execute("DROP ROLE keeper; DROP ROLE reader")


def test_an_event_that_others_refer_to_keeps_its_key(bigbrotr: str, connection: Connection) -> None:
    connection.execute("CREATE TABLE theirs (id bytea REFERENCES event (id))")
    connection.execute("INSERT INTO theirs SELECT id FROM event")
    assert list(adopt(bigbrotr))
    keys = rows(connection, "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'event_pkey'")
    assert keys == [("PRIMARY KEY (id)",)]


def test_an_archive_of_ours_is_migrated(bigbrotr: str, connection: Connection) -> None:
    connection.execute("CREATE TABLE schema_migration (version integer, name text)")
    connection.execute("INSERT INTO schema_migration VALUES (1, 'archive')")
    with pytest.raises(AdoptionRefused, match="is none of BigBrotr's"):
        list(adopt(bigbrotr))


@pytest.mark.slow
def test_one_process_at_a_time(bigbrotr: str) -> None:
    one = adopt(bigbrotr)
    next(one)
    with pytest.raises(AdoptionRefused, match="another process is taking over"):
        next(adopt(bigbrotr))
    one.close()


def test_procedures_that_are_put_back_are_mended(bigbrotr: str, connection: Connection) -> None:
    body = next(part for part in BIGBROTR.split(b"\n\n") if b"FUNCTION event_relay_insert(" in part)
    theirs = body.partition(b"CREATE FUNCTION event_insert")[0].replace(b"CREATE F", b"CREATE OR REPLACE F")
    assert list(adopt(bigbrotr))
    connection.execute(theirs)
    [(known,)] = rows(connection, "SELECT id FROM event WHERE created_at = 4")
    call = "SELECT event_relay_insert(%s, %s, %s)"
    with pytest.raises(psycopg.errors.InvalidColumnReference):
        rows(connection, call, [known], ["wss://b"], [300])
    ensure_database(bigbrotr)
    assert rows(connection, call, [known], ["wss://b"], [300]) == [(1,)]
    assert rows(connection, "SELECT orphan_event_delete()") == [(0,)]


def test_what_is_taken_of_a_migration_is_one_thing_of_it() -> None:
    text = next(text for version, _, text in migrations() if version == 6).decode()
    code = "".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    whole = b"".join(migration_statements(6)).decode()
    assert "".join(whole.split()) == "".join(code.split())
    [view] = migration_statements(6, "VIEW event_relay")
    assert view.startswith(b"CREATE VIEW event_relay AS\nSELECT")
    assert view.count(b";") == 1
