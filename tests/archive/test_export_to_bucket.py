"""Data sets in S3-compatible storage: whole days for whoever reads what manifests name, whatever is killed."""

import itertools
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bigbrotr_dagster.archive.export import ExportRefused, PlaceInUse, look
from bigbrotr_dagster.storage.locks import lock_key
from tests.archive.exported import DAYS, FIRST, exported, put_events, read, see, stored
from tests.archive.test_export import three_days
from tests.archive.test_export_command import observations_locked
from tests.e2e.program import run, start
from tests.s3 import BUCKET, Storage, s3_server
from tests.sync.helpers import config, tell

ONE = "wss://one.example.com"

pytestmark = pytest.mark.slow

_numbers = itertools.count()


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server, pytest.MonkeyPatch.context() as environment:
        for name, value in server.variables.items():
            environment.setenv(name, value)
        yield server


@pytest.fixture
def place() -> str:
    return f"s3://{BUCKET}/sets/{next(_numbers)}"


def add_late(database: str, days: int = 1) -> None:
    """An event of each of the first days that was not there before."""
    see(database, put_events(database, [(FIRST + n * 86_400 + 5, "late", []) for n in range(days)]), ONE, FIRST)


def test_three_days_are_read_back_and_late_events_replace_a_day(
    database: str, storage: Storage, place: str, tmp_path: Path
) -> None:
    three_days(database)
    assert [(day.date, day.why) for day in exported(database, place)] == [(date, "new") for date in DAYS]
    assert read(storage.fetch(place, tmp_path / "first")) == stored(database)
    before = set(storage.names(place))
    assert exported(database, f"{place}/") == []

    add_late(database)
    tell(database, f"DELETE FROM event WHERE created_at = {FIRST + 2 * 86_400 + 40_000}")
    assert [(day.date, day.why) for day in exported(database, place)] == [
        (DAYS[0], "changed"),
        (DAYS[2], "changed"),
    ]
    assert read(storage.fetch(place, tmp_path / "second")) == stored(database)
    after = set(storage.names(place))
    assert len(after) == len(before) == 9, "what no manifest names any more is removed"
    assert {name for name in before & after if name.startswith("event/")} == {
        name for name in before if name.startswith(f"event/date={DAYS[1]}/")
    }


def test_a_look_knows_what_it_has_read_and_sees_what_was_replaced(
    database: str, storage: Storage, place: str
) -> None:
    three_days(database)
    exported(database, place)
    assert look(database, config(), place).days == {}
    time.sleep(1.1)  # the storage tells times in seconds
    add_late(database)
    assert look(database, config(), place).days == {DAYS[0]: "changed"}
    assert look(database, config(), place, seen_since=FIRST + 99 * 86_400).days == {}, "it came before that"
    exported(database, place)
    found = look(database, config(), place)
    assert found.days == {}
    assert found.written[DAYS[0]].totals["events"] == 5


def test_a_day_that_is_asked_for_again_keeps_its_files(database: str, storage: Storage, place: str) -> None:
    three_days(database)
    exported(database, place)
    before = storage.names(place)
    exported(database, place, [DAYS[0]])
    assert storage.names(place) == before


def test_a_reader_of_manifests_finds_whole_days_while_they_are_replaced(
    database: str, storage: Storage, place: str
) -> None:
    three_days(database)
    exported(database, place)
    sizes: list[int] = []
    ended = threading.Event()

    def keep_reading() -> None:
        while not ended.is_set():
            sizes.append(len(storage.day(place, DAYS[0])))  # it compares every file with the manifest

    reader = threading.Thread(target=keep_reading)
    reader.start()
    try:
        for _ in range(3):
            add_late(database)
            assert [day.date for day in exported(database, place)] == [DAYS[0]]
    finally:
        ended.set()
        reader.join()
    assert len(sizes) > 3
    assert set(sizes) == {3}  # a reader that fails ends its thread, and pytest tells of that


def in_order(name: str) -> int:
    """When an export puts it there."""
    return ["event", "observation", "manifest"].index(name.partition("/")[0])


@pytest.mark.parametrize("come", [1, 2, 3])
def test_killed_after_an_upload_the_next_export_removes_what_no_manifest_names(
    database: str, storage: Storage, place: str, tmp_path: Path, come: int
) -> None:
    """Killed after one upload, after both, and after the manifest: before the older files were removed."""
    three_days(database)
    exported(database, place)
    old, before = read(storage.fetch(place, tmp_path / "old")), storage.names(place)
    exported(database, f"{place}-new", DAYS)
    add_late(database)
    exported(database, f"{place}-new")
    new = storage.day(f"{place}-new", DAYS[0])
    for name in sorted(new, key=in_order)[:come]:
        storage.put(place, name, new[name])
    found = read(storage.fetch(place, tmp_path / "killed"))
    assert found == (stored(database) if come == 3 else old)
    left = exported(database, place)
    assert [day.date for day in left] == ([] if come == 3 else [DAYS[0]])
    assert read(storage.fetch(place, tmp_path / "mended")) == stored(database)
    assert len(storage.names(place)) == len(before)


def test_killed_at_any_moment_it_leaves_old_days_or_new_ones(
    database: str, storage: Storage, place: str, tmp_path: Path
) -> None:
    three_days(database)
    exported(database, place)
    old = read(storage.fetch(place, tmp_path / "old"))
    add_late(database, 3)
    new = stored(database)
    began = time.monotonic()
    whole = run(tmp_path, "export", "--to", f"{place}-other", BIGBROTR_DATABASE_URL=database)
    assert whole.code == 0, whole.stderr
    seconds = time.monotonic() - began
    moments = random.Random(1)
    for number in range(4):
        process = start(tmp_path, "export", "--to", place, BIGBROTR_DATABASE_URL=database)
        time.sleep(seconds * moments.uniform(0.5, 1.0))
        process.kill()
        process.communicate()
        found = read(storage.fetch(place, tmp_path / str(number)))
        for day in DAYS:
            for table in (0, 1):
                assert found[table][day] in (old[table][day], new[table][day])
    lock_is_free(database)
    exported(database, place)
    assert read(storage.fetch(place, tmp_path / "new")) == new
    assert len(storage.names(place)) == 9


def lock_is_free(database: str) -> None:
    """PostgreSQL notices within moments that a killed process holds its lock no more."""
    with psycopg.connect(database, autocommit=True) as connection:
        while connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() != (0,):
            time.sleep(0.05)


def test_killed_while_it_reads_the_archive_it_leaves_the_old_day(
    database: str, storage: Storage, place: str, tmp_path: Path
) -> None:
    three_days(database)
    exported(database, place)
    before = {name: storage.read(place, name) for name in storage.names(place)}
    add_late(database)
    with observations_locked(database):
        process = start(tmp_path, "export", "--to", place, BIGBROTR_DATABASE_URL=database)
        with psycopg.connect(database, autocommit=True) as connection:
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while connection.execute(waiting).fetchone() == (0,):
                assert process.poll() is None
                time.sleep(0.05)
        process.kill()
        process.communicate()
    assert {name: storage.read(place, name) for name in storage.names(place)} == before


def test_two_exports_do_not_write_to_one_place(database: str, storage: Storage, place: str) -> None:
    three_days(database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [lock_key("export", place)])
        with pytest.raises(PlaceInUse, match="another export writes to"):
            exported(database, f"{place}/")


def test_what_is_not_ours_stays(database: str, storage: Storage, place: str) -> None:
    three_days(database)
    theirs = [f"event/date={DAYS[0]}/part-0.parquet", "event/readme", f"event/date={DAYS[0]}.parquet"]
    for name in theirs:
        storage.put(place, name, b"somebody's")
    exported(database, place)
    exported(database, place, DAYS)
    assert set(theirs) < set(storage.names(place))


def test_a_place_belongs_to_one_archive(database: str, storage: Storage, place: str) -> None:
    three_days(database)
    exported(database, place)
    before = storage.names(place)
    tell(database, "UPDATE archive_identity SET id = gen_random_uuid()")
    with pytest.raises(ExportRefused, match="another archive"):
        exported(database, place, [DAYS[0]])
    assert storage.names(place) == before


def test_what_is_no_manifest_is_named(database: str, storage: Storage, place: str) -> None:
    three_days(database)
    storage.put(place, f"manifest/date={DAYS[0]}.json", b"[]")
    with pytest.raises(ExportRefused, match=f"{place}/manifest/date={DAYS[0]}.json is no manifest"):
        exported(database, place)


@pytest.mark.parametrize(
    ("to", "code", "says"),
    [
        ("s3://nobody", 1, "s3://nobody: there is no bucket nobody"),
        ("s3://key:secret@archive/x", 2, "a folder, or s3://bucket/prefix"),
        ("s3://archive/x?secret=1", 2, "a folder, or s3://bucket/prefix"),
        ("gs://archive/x", 2, "a folder, or s3://bucket/prefix"),
    ],
)
def test_bad_input_is_one_line(
    database: str, storage: Storage, tmp_path: Path, to: str, code: int, says: str
) -> None:
    result = run(tmp_path, "export", "--to", to, BIGBROTR_DATABASE_URL=database)
    assert result.code == code
    assert says in result.stderr
    assert "secret" not in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_storage_that_is_away_is_one_line(
    database: str, storage: Storage, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(ExportRefused, match=f"^{place}: .*connect"):
        exported(database, place)
