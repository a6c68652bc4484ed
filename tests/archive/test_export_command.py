"""The command `export`: what it prints, what it refuses, and what is left when it is killed."""

import fcntl
import json
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.archive.exported import DAY, DAYS, FIRST, cover, exported, manifest, put_events, read, see, stored
from tests.e2e.program import run, start

ONE = "wss://one.example.com"

pytestmark = pytest.mark.slow


def three_days(database: str, each: int = 2) -> None:
    ids = put_events(
        database, [(FIRST + n * DAY + i, "note", [["t", "a"]]) for n in range(3) for i in range(each)]
    )
    see(database, ids, ONE, FIRST)
    cover(database, ONE, FIRST, FIRST + 3 * DAY)


def test_it_writes_what_is_due_and_says_so(database: str, tmp_path: Path) -> None:
    three_days(database)
    (tmp_path / "config.yaml").write_text(f"export: {{to: {tmp_path / 'data'}, share: 1}}")
    first = run(tmp_path, "export", "--config", "config.yaml", "--json", BIGBROTR_DATABASE_URL=database)
    assert (first.code, first.stderr) == (0, "")
    assert [(day["date"], day["events"], day["share"]) for day in first.report["days"]] == [
        (date, 2, 1.0) for date in DAYS
    ]
    assert read(tmp_path / "data") == stored(database)
    second = run(tmp_path, "export", "--to", "data", BIGBROTR_DATABASE_URL=database)
    assert (second.code, second.stdout, second.stderr) == (0, "nothing is due\n", "")
    third = run(tmp_path, "export", "--to", "data", "--day", DAYS[1], BIGBROTR_DATABASE_URL=database)
    assert third.stdout.startswith(f"{DAYS[1]}\tasked\t2 events\t2 observations\t")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--to", "data", "--day", "yesterday"], 2, "'yesterday' is no day from 1970 on, as YYYY-MM-DD"),
        (["--to", "data", "--day", "20250301"], 2, "'20250301' is no day"),
        (["--to", "data", "--day", "1969-12-31"], 2, "'1969-12-31' is no day"),
        (["--to", "data", "--day", "2999-01-01"], 2, "2999-01-01 has not begun"),
        ([], 2, "--to names a folder, or the option export.to"),
        (["--to", "/proc/data", "--day", "2025-03-01"], 1, "/proc/data"),
    ],
)
def test_bad_input_is_one_line(database: str, tmp_path: Path, arguments: list[str], code: int, says: str) -> None:
    result = run(tmp_path, "export", *arguments, BIGBROTR_DATABASE_URL=database)
    assert result.code == code
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_without_pyarrow_it_names_the_extra(database: str, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as u\nfound = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'pyarrow' else found(name, package)\n"
    )
    result = run(tmp_path, "export", "--to", "data", BIGBROTR_DATABASE_URL=database, PYTHONPATH=str(hidden))
    assert (result.code, len(result.stderr.splitlines())) == (1, 1)
    assert "pip install 'bigbrotr-dagster[export]'" in result.stderr


def test_two_exports_do_not_write_to_one_folder(database: str, tmp_path: Path) -> None:
    three_days(database)
    exported(database, tmp_path / "data")
    with (tmp_path / "data/.bigbrotr-export/lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = run(tmp_path, "export", "--to", "data", BIGBROTR_DATABASE_URL=database)
    assert (result.code, result.stderr.count("another export writes to")) == (1, 1)


@contextmanager
def observations_locked(database: str) -> Iterator[None]:
    """Whoever looks at observations waits meanwhile."""
    with psycopg.connect(database) as connection:
        connection.execute("LOCK TABLE observation IN ACCESS EXCLUSIVE MODE")
        yield


def test_killed_at_any_moment_it_leaves_old_days_or_new_ones(database: str, tmp_path: Path) -> None:
    three_days(database, each=2_000)
    data = tmp_path / "data"
    exported(database, data)
    old = read(data)
    see(database, put_events(database, [(FIRST + n * DAY, "late", []) for n in range(3)]), ONE, FIRST)
    new = stored(database)
    began = time.monotonic()
    copy = tmp_path / "whole"
    shutil.copytree(data, copy)
    assert run(tmp_path, "export", "--to", "whole", BIGBROTR_DATABASE_URL=database).code == 0
    whole = time.monotonic() - began
    moments = random.Random(1)
    for number in range(5):
        target = tmp_path / str(number)
        shutil.copytree(data, target)
        process = start(tmp_path, "export", "--to", str(number), BIGBROTR_DATABASE_URL=database)
        time.sleep(whole * moments.uniform(0.6, 1.0))
        process.kill()
        process.communicate()
        found = read(target)
        for day in DAYS:
            for table in (0, 1):
                assert found[table][day] in (old[table][day], new[table][day])
        exported(database, target)
        assert read(target) == new
        for day in DAYS:
            manifest(target, day)


def test_killed_while_it_writes_it_leaves_the_old_day(database: str, tmp_path: Path) -> None:
    three_days(database)
    data = tmp_path / "data"
    exported(database, data)
    old = read(data)
    put_events(database, [(FIRST, "late", [])])
    with observations_locked(database):
        process = start(tmp_path, "export", "--to", "data", "--day", DAYS[0], BIGBROTR_DATABASE_URL=database)
        while not (data / f".bigbrotr-export/{DAYS[0]}").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.communicate()
    assert read(data) == old
    assert manifest(data, DAYS[0])["totals"]["events"] == 2
    assert [day.date for day in exported(database, data)] == [DAYS[0]]
    assert read(data) == stored(database)


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_killed_among_its_renames_the_next_export_goes_on(database: str, tmp_path: Path, moved: int) -> None:
    three_days(database)
    exported(database, tmp_path / "data")
    shutil.copytree(tmp_path / "data", tmp_path / "new")
    see(database, put_events(database, [(FIRST, "late", [])]), ONE, FIRST)
    exported(database, tmp_path / "new")
    staging = tmp_path / "data/.bigbrotr-export" / DAYS[0]
    staging.mkdir()
    places = {
        "event.part": f"event/date={DAYS[0]}/event.parquet",
        "observation.part": f"observation/date={DAYS[0]}/observation.parquet",
        "manifest.json": f"manifest/date={DAYS[0]}.json",
    }
    for number, (name, place) in enumerate(places.items()):
        source = tmp_path / "new" / place
        target = tmp_path / "data" / place if number < moved else staging / name
        source.replace(target)
    assert exported(database, tmp_path / "data") == []  # it is there, and not written again
    assert read(tmp_path / "data") == stored(database)
    assert manifest(tmp_path / "data", DAYS[0])["totals"]["events"] == 3
    assert not staging.exists()


def test_its_json_is_one_object(database: str, tmp_path: Path) -> None:
    result = run(tmp_path, "export", "--to", "data", "--json", BIGBROTR_DATABASE_URL=database)
    assert json.loads(result.stdout)["days"] == []
