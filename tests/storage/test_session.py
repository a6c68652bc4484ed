"""Whatever a database, a role, an environment or a URL set: the same bytes are stored, and come back."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import dagster as dg
import psycopg
import pytest

from bigbrotr_dagster.archive import soundness
from bigbrotr_dagster.archive.proof import cursors_beyond_coverage, relay_states
from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.storage.databases import ensure_database
from bigbrotr_dagster.storage.locks import lock_keeper
from bigbrotr_dagster.storage.sessions import connect, open_pool
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable
from bigbrotr_dagster.sync import sync_relays
from tests.conftest import in_database
from tests.postgres15 import postgres15
from tests.relays.scripted import scripted
from tests.sync.helpers import ask, config

ROOT = Path(__file__).parents[2]

END_SESSIONS = "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE usename = %s"

HOSTILE = {
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
    "bytea_output": "escape",
    "DateStyle": "German",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kathmandu",
    "search_path": "nowhere",
    "statement_timeout": "50ms",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1ms",
    "idle_session_timeout": "1s",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "extra_float_digits": "-15",
    "quote_all_identifiers": "on",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "client_min_messages": "debug5",
    "backslash_quote": "off",
    "lc_time": "POSIX",
    "xmlbinary": "hex",
    "check_function_bodies": "off",
    "default_toast_compression": "pglz",
    "work_mem": "64kB",
    "enable_indexscan": "off",
    "enable_hashagg": "off",
    "session_replication_role": "replica",
}
"""Settings that a user may change, each with a value that can do harm."""

OURS = {
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "bytea_output": "hex",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "search_path": "public",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "extra_float_digits": "1",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "session_replication_role": "origin",
}

SOURCES = ["database", "role", "role in database", "PGOPTIONS", "URL"]


@contextmanager
def hostile(database: str, source: str, settings: dict[str, str], patch: pytest.MonkeyPatch) -> Iterator[str]:
    """The database's URL, under settings that come from `source`."""
    given = {name: value for name, value in settings.items() if name not in _unknown(database)}
    options = " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in given.items())
    if source == "PGOPTIONS":
        patch.setenv("PGOPTIONS", options)
        patch.setenv("PGCLIENTENCODING", "LATIN1")
        patch.setenv("PGDATESTYLE", "German")
        patch.setenv("PGTZ", "Asia/Kathmandu")
        yield database
    elif source == "URL":
        yield f"{database}&client_encoding=LATIN1&options={quote(options, safe='')}"
    else:
        with psycopg.connect(database, autocommit=True) as owner:
            name = owner.info.dbname
            role = f"hostile_{name}"  # one that could not be dropped is in nobody's way
            owner.execute(f"CREATE ROLE {role} SUPERUSER LOGIN".encode())
            whom = {"database": f"DATABASE {name}", "role": f"ROLE {role}"}.get(
                source, f"ROLE {role} IN DATABASE {name}"
            )
            for setting, value in given.items():
                quoted = value if setting in ("search_path", "DateStyle") else f"'{value}'"
                owner.execute(f"ALTER {whom} SET {setting} = {quoted}".encode())
        try:
            yield database.replace("postgres@", f"{role}@")
        finally:
            with psycopg.connect(database, autocommit=True, options="-c statement_timeout=0") as owner:
                owner.execute(f"ALTER {whom} RESET ALL".encode())
                while owner.execute(END_SESSIONS, [role]).fetchall():  # their temporary tables go with them
                    time.sleep(0.1)
                owner.execute(
                    f"REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}; DROP ROLE {role}".encode()
                )


def _unknown(database: str) -> set[str]:
    """Settings that this server does not have."""
    known = {name.lower() for (name,) in ask(database, "SELECT name FROM pg_settings")}
    return {name for name in HOSTILE if name.lower() not in known}


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
async def test_real_events_are_stored_and_read_back_byte_for_byte(
    any_database: str, source: str, real_events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    with hostile(any_database, source, HOSTILE, monkeypatch) as url, connect(url) as session:
        async with scripted(real_events) as relay:
            [report] = (await sync_relays(url, config(), [relay.url])).relays
        assert (report.ok, report.events_new) == (True, len(real_events)), report.error
        read = {event.id: event for event in soundness.draw_events(session, 10 * len(real_events))}
        assert cursors_beyond_coverage(url, config(), [relay.url]) == []
        assert relay_states(url) == []
    monkeypatch.undo()
    content = dict(ask(any_database, "SELECT encode(id, 'hex'), convert_to(content, 'UTF8') FROM event"))
    tags = dict(ask(any_database, "SELECT encode(id, 'hex'), tags FROM event"))
    assert len(content) == len(real_events)
    for event in real_events:
        assert content[event.id] == event.content.encode()
        assert tags[event.id] == event.tags
    assert read
    assert all(event.to_json() == read[event.id].to_json() for event in real_events if event.id in read)
    [(counted,)] = ask(any_database, "SELECT value FROM sync_total WHERE name = 'events_new'")
    assert counted == len(real_events)


@pytest.mark.parametrize("source", SOURCES)
async def test_every_session_has_our_settings(
    any_database: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short connection, the pool's, the locks' one and Dagster's."""
    wanted = {name: value for name, value in OURS.items() if name not in _unknown(any_database)}
    question = "SELECT " + ", ".join(f"current_setting('{name}')" for name in wanted)
    with hostile(any_database, source, HOSTILE, monkeypatch) as url:
        with connect(url) as session:
            found = [session.execute(question.encode()).fetchone()]
        async with open_pool(url) as pool, pool.connection() as pooled, lock_keeper(url) as keeper:
            found.append(await (await pooled.execute(question.encode())).fetchone())
            found.append(await (await keeper._connection.execute(question.encode())).fetchone())
        for row in found:
            assert row is not None
            assert dict(zip(wanted, row, strict=True)) == wanted


async def test_a_role_that_cannot_have_triggers_back_is_refused(database: str) -> None:
    """Without them the totals would stand still in silence."""
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("CREATE ROLE without_triggers LOGIN")
        owner.execute("ALTER ROLE without_triggers SET session_replication_role = replica")
    with (
        pytest.raises(DatabaseUnavailable, match="session_replication_role"),
        connect(database.replace("postgres@", "without_triggers@")),
    ):
        pass


async def test_an_archive_in_a_schema_of_its_own_is_found_by_every_role(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("ALTER SCHEMA public RENAME TO archive")
        owner.execute("CREATE SCHEMA public")
        owner.execute("ALTER ROLE postgres SET search_path = public")
    ensure_database(database)
    assert ask(database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    with connect(database) as session:
        assert session.execute("SELECT count(*) FROM event").fetchone() == (0,)
        session.execute("ALTER ROLE postgres RESET search_path")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "WIN1252", "EUC_JP"])
def test_a_cluster_of_another_encoding_gets_a_database_in_utf8(
    encoding: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with postgres15(tmp_path_factory.mktemp(encoding), encoding=encoding) as server:
        url = in_database(server.url, "archive")
        ensure_database(url)
        assert ask(url, "SHOW server_encoding") == [("UTF8",)]
        with pytest.raises(DatabaseUnavailable, match=f"encoded in {encoding}.*ENCODING 'UTF8'") as refused:
            ensure_database(in_database(server.url, "postgres"))
        assert "\n" not in str(refused.value)
        tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        assert ask(server.url, tables) == [(0,)]


def test_dagsters_sessions_have_our_settings_too(
    database: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its times are CURRENT_TIMESTAMP without a zone, and its events text."""
    monkeypatch.setenv("BIGBROTR_DATABASE_URL", database)
    monkeypatch.setenv("PGOPTIONS", "-c TimeZone=Asia/Kathmandu -c statement_timeout=50ms -c search_path=nowhere")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with dg.DagsterInstance.from_config(str(ROOT)) as instance:
        instance.optimize_for_webserver(statement_timeout=60_000, pool_recycle=600, max_overflow=5)
        word = "Ünïcödé 漢字 🌐"
        instance.report_runless_asset_event(dg.AssetMaterialization("relays", description=word))
        [record] = instance.fetch_materializations(dg.AssetKey("relays"), limit=1).records
        assert record.asset_materialization is not None
        assert record.asset_materialization.description == word
        with instance.event_log_storage._connect() as connection:
            zone = connection.exec_driver_sql("SHOW TimeZone").scalar()
        assert zone == "UTC"
