"""Data sets hold what the archive holds, and say what of it is proved."""

import threading
import time
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigbrotr_dagster.archive.export import ExportRefused
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable
from tests.archive.exported import (
    DAY,
    DAYS,
    FIRST,
    cover,
    exported,
    held,
    manifest,
    name_gap,
    put_events,
    read,
    read_by_duckdb,
    see,
    stored,
)
from tests.sync.helpers import tell

ONE, OTHER = "wss://one.example.com", "wss://other.example.com"


def three_days(database: str) -> None:
    """Events and observations at the edges of three days, and in them; one relay proves all three."""
    times = [FIRST + n * DAY + offset for n in range(3) for offset in (0, 0, 40_000, DAY - 1)]
    ids = put_events(database, [(at, f"note at {at}", [["t", "a"], []]) for at in times])
    see(database, ids, ONE, FIRST + 4 * DAY)
    see(database, ids[::2], OTHER, FIRST + 5 * DAY)
    cover(database, ONE, FIRST, FIRST + 3 * DAY)


def test_three_days_are_read_back_as_they_are_stored_and_late_events_come_with_the_next_export(
    any_database: str, tmp_path: Path
) -> None:
    three_days(any_database)
    first = exported(any_database, tmp_path)
    assert [(day.date, day.why, day.events, day.observations) for day in first] == [
        (date, "new", 4, 6) for date in DAYS
    ]
    assert read(tmp_path) == stored(any_database)
    assert read_by_duckdb(tmp_path) == held(any_database)
    assert exported(any_database, tmp_path) == []

    late = put_events(any_database, [(FIRST + DAY + 5, "late 🤙 \n", [["e", "f" * 64, "", "reply"], []])])
    see(any_database, late, ONE, FIRST + 9 * DAY)
    tell(any_database, f"DELETE FROM event WHERE created_at = {FIRST + 2 * DAY + 40_000}")
    again = exported(any_database, tmp_path)
    assert [(day.date, day.why, day.events) for day in again] == [(DAYS[1], "changed", 5), (DAYS[2], "changed", 3)]
    assert read(tmp_path) == stored(any_database)
    assert read_by_duckdb(tmp_path) == held(any_database)


@pytest.mark.slow
def test_a_reader_finds_a_whole_day_while_it_is_replaced(database: str, tmp_path: Path) -> None:
    three_days(database)
    exported(database, tmp_path)
    counts: list[int] = []
    ended = threading.Event()

    def keep_reading() -> None:
        while not ended.is_set():
            [path] = tmp_path.glob(f"event/date={DAYS[0]}/*.parquet")
            counts.append(len(pq.ParquetFile(path).read()))

    reader = threading.Thread(target=keep_reading)
    reader.start()
    try:
        for _ in range(5):
            put_events(database, [(FIRST, "late", [])])
            assert [day.date for day in exported(database, tmp_path)] == [DAYS[0]]
    finally:
        ended.set()
        reader.join()
    assert set(counts) <= set(range(4, 10))
    assert counts == sorted(counts)  # a reader that fails ends its thread, and pytest tells of that
    assert len(counts) > 5


def test_an_observation_alone_makes_its_day_due(database: str, tmp_path: Path) -> None:
    three_days(database)
    exported(database, tmp_path)
    id = read(tmp_path)[0][DAYS[0]][0][0]
    see(database, [id], "wss://third.example.com", FIRST + 1)
    assert [(day.date, day.observations) for day in exported(database, tmp_path)] == [(DAYS[0], 7)]
    assert read(tmp_path) == stored(database)


def test_columns_have_their_types(database: str, tmp_path: Path) -> None:
    three_days(database)
    exported(database, tmp_path, [DAYS[0]])
    events = pq.read_schema(tmp_path / f"event/date={DAYS[0]}/event.parquet")
    assert dict(zip(events.names, events.types, strict=True)) == {
        "id": pa.binary(32),
        "pubkey": pa.binary(32),
        "created_at": pa.int64(),
        "created_at_time": pa.timestamp("ms", "UTC"),  # Parquet knows no seconds
        "kind": pa.int32(),
        "tags": pa.list_(pa.list_(pa.string())),
        "content": pa.string(),
        "sig": pa.binary(64),
    }
    seen = pq.read_schema(tmp_path / f"observation/date={DAYS[0]}/observation.parquet")
    assert dict(zip(seen.names, seen.types, strict=True)) == {
        "id": pa.binary(32),
        "relay_url": pa.dictionary(pa.int32(), pa.string()),
        "seen_at": pa.int64(),
    }


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")) | st.sampled_from(
    ["", "'", '"', "\\", "\\u0000", "\n\r\t", "{}", "[[]]", "null", "\\N", "🤙🏽", "\u202e", "\ufeff", "x" * 5_000]
)
"""PostgreSQL's text can hold no NUL, and UTF-8 no lone surrogate."""

TAGS = st.lists(st.lists(TEXTS, max_size=5) | st.just(["p", "a", None]), max_size=6) | st.just([["t"] * 3_000])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(st.tuples(st.integers(FIRST, FIRST + DAY - 1), TEXTS, TAGS), min_size=1, max_size=20))
@pytest.mark.slow
def test_whatever_text_and_tags_an_event_has_they_are_read_back(
    events: list[tuple[int, str, list[list[str | None]]]], database: str, tmp_path: Path
) -> None:
    tell(database, "DELETE FROM event")
    see(database, put_events(database, events), ONE, FIRST)
    exported(database, tmp_path, [DAYS[0]])
    assert read(tmp_path) == stored(database)


def test_only_days_that_enough_relays_prove_are_written(database: str, tmp_path: Path) -> None:
    put_events(database, [(FIRST + n * DAY, "", []) for n in range(3)])
    cover(database, ONE, FIRST, FIRST + 3 * DAY)
    cover(database, OTHER, FIRST, FIRST + 2 * DAY - 1)
    assert [day.date for day in exported(database, tmp_path)] == [DAYS[0]]  # a second of the next one lacks
    assert [(day.date, day.share) for day in exported(database, tmp_path, export={"share": 0.5})] == [
        (DAYS[1], 0.5),
        (DAYS[2], 0.5),
    ]


def test_days_without_events_and_days_that_have_not_ended_are_written_only_if_asked_for(
    database: str, tmp_path: Path
) -> None:
    now = int(time.time())
    put_events(database, [(FIRST, "", []), (now, "", []), (now + 9 * DAY, "", [])])
    cover(database, ONE, 0, now + 99 * DAY)
    assert [day.date for day in exported(database, tmp_path, export={"share": 0.0})] == [DAYS[0]]
    today = time.strftime("%Y-%m-%d", time.gmtime(now))
    written = exported(database, tmp_path, [today, DAYS[1]])
    assert [(day.date, day.why, day.events) for day in written] == [(DAYS[1], "asked", 0), (today, "asked", 1)]
    assert read(tmp_path) == ({day: rows for day, rows in stored(database)[0].items() if day <= today}, {})


def test_the_manifest_says_what_is_there_and_who_proves_it(any_database: str, tmp_path: Path) -> None:
    three_days(any_database)
    cover(any_database, OTHER, FIRST, FIRST + 100)
    name_gap(any_database, OTHER, FIRST + 90, FIRST + 199, "refused: no")
    name_gap(any_database, OTHER, FIRST + DAY - 10, FIRST + DAY + 10, "refused: still no")
    name_gap(any_database, OTHER, FIRST + 150, FIRST + 249, "saturated")
    name_gap(any_database, OTHER, FIRST - 10, FIRST - 1, "truncated")
    cover(any_database, "wss://never.example.com", 0, 1)
    cover(any_database, "ws://" + "a" * 56 + ".onion", 0, FIRST + 9 * DAY)  # its network is not enabled
    [day] = exported(any_database, tmp_path, [DAYS[0]])
    said = manifest(tmp_path, DAYS[0])
    with psycopg.connect(any_database) as connection:
        row = connection.execute("SELECT id::text FROM archive_identity").fetchone()
    assert row is not None
    assert said["archive"] == row[0]
    assert (said["format"], said["date"], said["since"], said["until"]) == (1, DAYS[0], FIRST, FIRST + DAY)
    assert (said["totals"]["events"], said["totals"]["observations"]) == (4, 6)
    assert sum(file["bytes"] for file in said["files"]) == day.bytes
    assert said["coverage"] == {
        "filter": {},
        "share": 1 / 3,
        "covered": [ONE],
        "not_covered": [
            {"url": "wss://never.example.com", "pending_seconds": DAY, "gap_seconds": {}},
            {
                "url": OTHER,
                "pending_seconds": DAY - 250 - 10,
                "gap_seconds": {"refused": 100 + 10, "saturated": 100},
            },
        ],
        "not_asked": ["ws://" + "a" * 56 + ".onion"],
    }


@pytest.mark.parametrize(
    "tags", ['[["t", 5]]', '["t"]', '{"t": []}', "5", "null", "[null]", '[["t", ["a"]]]', f"[[{10**400}]]"]
)
def test_an_event_that_others_wrote_in_a_form_of_their_own_is_named(
    database: str, tmp_path: Path, tags: str
) -> None:
    three_days(database)
    exported(database, tmp_path)
    before = read(tmp_path)
    [_, id] = put_events(database, [(FIRST, "", []), (FIRST, "", [])])
    tell(database, f"UPDATE event SET tags = '{tags}' WHERE id = '\\x{id.hex()}'")
    with pytest.raises(ExportRefused, match=id.hex()):
        exported(database, tmp_path)
    assert read(tmp_path) == before
    assert list((tmp_path / ".bigbrotr-export").glob("2*")) == []


def test_a_folder_belongs_to_one_archive(database: str, tmp_path: Path) -> None:
    three_days(database)
    exported(database, tmp_path)
    tell(database, "UPDATE archive_identity SET id = gen_random_uuid()")
    with pytest.raises(ExportRefused, match="another archive"):
        exported(database, tmp_path, [DAYS[0]])


def test_what_is_no_manifest_is_named(database: str, tmp_path: Path) -> None:
    three_days(database)
    exported(database, tmp_path)
    (tmp_path / f"manifest/date={DAYS[0]}.json").write_text("[]")
    with pytest.raises(ExportRefused, match="no manifest"):
        exported(database, tmp_path)


def test_a_server_that_is_away_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable):
        exported("postgresql://nobody@127.0.0.1:1/nothing", tmp_path)
