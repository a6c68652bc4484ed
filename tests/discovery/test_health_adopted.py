"""Health in an adopted BigBrotr database, with its Monitor's own statements beside ours."""

import psycopg
from psycopg.rows import TupleRow

from bigbrotr_dagster.archive.registry import register_relays
from bigbrotr_dagster.discovery.health import check_relays
from tests.discovery.documented import documented
from tests.sync.helpers import config


def rows(connection: psycopg.Connection[TupleRow], text: str, *values: object) -> list[TupleRow]:
    return connection.execute(text.encode(), values or None).fetchall()


async def test_both_monitors_write_and_read_the_same_tables(adopted: str) -> None:
    body = b'{"software": "strfry", "version": "1", "supported_nips": [1, 99999999999]}'
    async with documented(body=body) as one:
        register_relays(adopted, [one.url])
        report = await check_relays(adopted, config(), [one.url])
    assert report.alive == 1
    with psycopg.connect(adopted, autocommit=True) as theirs:
        assert rows(theirs, "SELECT relkind FROM pg_class WHERE relname = 'relay_metadata_latest'") == [("m",)]
        theirs.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY relay_metadata_latest")
        theirs.execute("REFRESH MATERIALIZED VIEW relay_software_counts")
        theirs.execute("REFRESH MATERIALIZED VIEW supported_nip_counts")
        counts = rows(theirs, "SELECT software, version, relay_count FROM relay_software_counts ORDER BY 1")
        assert counts == [("old", "unknown", 1), ("strfry", "1", 1)]
        assert rows(theirs, "SELECT nip, relay_count FROM supported_nip_counts") == [(1, 1)]
        [(id, data)] = rows(
            theirs, "SELECT id, data::text FROM metadata WHERE type = 'nip11_info' AND id <> 'their id'::bytea"
        )
        again = ([one.url], ["local"], [1], [id], ["nip11_info"], [data], [report.relays[0].checked_at + 1])
        cascade = "SELECT relay_metadata_insert_cascade(%s, %s, %s, %s, %s, %s::jsonb[], %s)"
        assert rows(theirs, cascade, *again) == [(1,)]
        assert rows(theirs, cascade, *again) == [(0,)], "what is there is passed over"
        assert rows(theirs, "SELECT count(*) FROM metadata WHERE type = 'nip11_info'") == [(2,)]
        read = (
            "SELECT data -> 'data' ->> 'rtt_open' IS NOT NULL FROM relay_metadata_latest WHERE metadata_type = %s"
        )
        assert rows(theirs, read, "nip66_rtt") == [(True,)]
        theirs.execute("DELETE FROM relay_metadata WHERE metadata_type = 'nip66_rtt'")
        assert rows(theirs, "SELECT orphan_metadata_delete(10000)") == [(1,)]
        theirs.execute("DELETE FROM relay")
        left = "SELECT (SELECT count(*) FROM relay_metadata), (SELECT count(*) FROM relay_health)"
        assert rows(theirs, left) == [(0, 0)]


async def test_the_adoption_keeps_what_their_monitor_wrote_and_adds_no_index(adopted: str) -> None:
    with psycopg.connect(adopted, autocommit=True) as theirs:
        assert rows(theirs, "SELECT relay_url, generated_at FROM relay_metadata") == [("wss://a", 7)]
        indexes = rows(theirs, "SELECT indexname FROM pg_indexes WHERE tablename = 'relay_metadata' ORDER BY 1")
    assert [name for (name,) in indexes] == [
        "relay_metadata_pkey",
        "theirs_generated_at",
        "theirs_metadata",
        "theirs_newest",
    ]
