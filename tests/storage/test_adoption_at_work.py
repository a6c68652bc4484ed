"""BigBrotr's database is taken over while BigBrotr is at work on it; the command is killed again and again."""

import random
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bigbrotr_dagster.storage.databases import AdoptionRefused, ensure_database, ensure_readable
from bigbrotr_dagster.storage.databases import adopt as adopt_here
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable
from tests.conftest import in_database
from tests.e2e.program import Result, run, start
from tests.postgres15 import postgres15
from tests.storage.bigbrotr_at_work import AtWork, fill, pairs

pytestmark = pytest.mark.slow

EVENTS = 45_000
"""With some 170,000 observations."""

MOST_SECONDS = 4.0
"""That anybody may have to wait, on a machine that is busy with other tests; some 0.2 where it is not."""


@pytest.fixture
def bigbrotr(debian_server: str) -> Iterator[str]:
    with psycopg.connect(in_database(debian_server, "postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE adoption_at_work")
        fill(in_database(debian_server, "adoption_at_work"), EVENTS)
        yield in_database(debian_server, "adoption_at_work")
        connection.execute("DROP DATABASE adoption_at_work WITH (FORCE)")


def adopt(home: Path, url: str) -> Result:
    return run(home, "db", "adopt", "--batch-rows", "2000", timeout=300, BIGBROTR_DATABASE_URL=url)


def kill(home: Path, url: str, step: str, after: float) -> bool:
    """Start the command, and kill it without warning some seconds after it has begun this step, if it does."""
    process = start(home, "db", "adopt", "--batch-rows", "2000", BIGBROTR_DATABASE_URL=url)
    assert process.stdout is not None
    is_begun = any(line.startswith(step) for line in process.stdout)
    time.sleep(after if is_begun else 0)
    process.kill()
    process.wait()
    process.stdout.close()
    if process.stderr is not None:
        process.stderr.close()
    return is_begun


def test_killed_at_any_step_nothing_is_lost_and_nobody_waits(bigbrotr: str, tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}", file=sys.stderr)
    chance = random.Random(seed)
    steps = ("numbering", "numbering", "looking", "indexing", "copying", "copying", "counting")
    with AtWork(bigbrotr, seed) as work:
        pauses = {step: chance.random() * 0.4 for step in steps} | {"counting": 0}
        killed = [kill(tmp_path, bigbrotr, step, pauses[step]) for step in steps]
        assert sum(killed) >= 5, "a quick machine may have a step behind it before"
        done = adopt(tmp_path, bigbrotr)
        assert done.code == 0, done.stderr
        assert re.search(r"^done(; locked others out for \d\.\d\d s at most)?$", done.stdout, re.MULTILINE)
        steps_before = dict(work.steps)
        time.sleep(1)
    assert all(work.steps[who] > steps_before[who] > 50 for who in work.steps), work.steps
    assert max(work.longest.values()) < MOST_SECONDS, work.longest
    print(work.longest, work.steps, file=sys.stderr)
    with psycopg.connect(bigbrotr) as connection:
        assert pairs(connection) == work.pairs
        held = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE id IS NULL), count(DISTINCT seq)"
            " FROM event FULL JOIN (SELECT DISTINCT event_seq FROM observation) AS seen ON seq = event_seq"
        ).fetchone()
        assert held is not None
        assert held[0] == held[2]
        assert held[1] == 0
        where = "SELECT count(*) FROM pg_trigger WHERE tgname ~ 'bigbrotr_adoption'"
        assert connection.execute(where).fetchone() == (0,)


def test_a_large_database_of_bigbrotrs_is_not_migrated_in_one_go(bigbrotr: str, tmp_path: Path) -> None:
    for work in (ensure_database, ensure_readable):
        with pytest.raises(
            AdoptionRefused, match="`bigbrotr-dagster db adopt` takes it over while BigBrotr goes on"
        ):
            work(bigbrotr)
    for arguments in (["db", "migrate"], ["sync", "--once"], ["relays", "list"]):
        refused = run(tmp_path, *arguments, BIGBROTR_DATABASE_URL=bigbrotr)
        assert refused.code == 1
        [line] = refused.stderr.splitlines()
        assert re.search(r"adoption_at_work is BigBrotr's and holds some 1\d\d,\d{3} observations", line), line


def test_a_server_that_crashes_in_the_middle_loses_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    with postgres15(tmp_path_factory.mktemp("pg15")) as server:
        fill(server.url, 5_000)
        with psycopg.connect(server.url) as connection:
            before = pairs(connection)
        for step in ("numbering events", "indexing events", "copying observations"):
            steps = adopt_here(server.url, batch_rows=500)
            next(progress for progress in steps if progress.step == step)
            server.stop("immediate")
            with pytest.raises(DatabaseUnavailable):
                list(steps)
            server.start()
        assert list(adopt_here(server.url))
        with psycopg.connect(server.url) as connection:
            assert pairs(connection) == before
