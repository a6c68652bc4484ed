"""`sync` against a relay that nobody here wrote: exact, cheap, and not to be confused by a kill."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psycopg
import pytest

from bigbrotr_dagster.storage.databases import ensure_database
from tests.conftest import in_database
from tests.e2e.events import write_events
from tests.e2e.program import Result, run, start
from tests.postgres15 import postgres15
from tests.relays.local_relay import LocalRelayProcess
from tests.sync.helpers import ask, stored_ids

pytestmark = pytest.mark.slow

COUNT = 20_000


@dataclass(frozen=True)
class Held:
    """A relay and all that it holds: created_at by id."""

    url: str
    events: dict[str, int]

    @property
    def ids(self) -> set[str]:
        return set(self.events)

    def command(self) -> list[str]:
        return ["sync", "--once", "--relay", self.url, "--allow-private", "--json"]


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    path = tmp_path_factory.mktemp("relay") / "events.jsonl"
    events = write_events(path, COUNT)
    with LocalRelayProcess(path) as process:
        yield Held(process.url, events)


def test_a_relay_is_stored_exactly_and_cheaply_and_then_costs_next_to_nothing(relay: Held, tmp_path: Path) -> None:
    first = run(tmp_path, *relay.command())
    assert first.code == 0, first.stderr
    assert first.report["events_new"] == COUNT
    assert first.report["requests"] <= 1.15 * COUNT / 500 + 5
    assert first.report["events_received"] <= 1.05 * COUNT
    assert first.report["gaps"] == 0
    assert first.max_rss < 300 * 2**20
    second = run(tmp_path, *relay.command())
    assert (second.report["events_new"], second.report["observations_new"]) == (0, 0)
    assert second.report["requests"] <= 4
    listed = run(tmp_path, "cursors", "show", relay.url)
    assert "0 gaps\tok" in listed.stdout


def assert_nothing_is_claimed_that_is_not_stored(database: str, relay: Held) -> None:
    stored = stored_ids(database, relay.url)
    claims = ask(database, "SELECT lower(part), upper(part) FROM sync_coverage, unnest(covered) AS part")
    for lower, upper in claims:
        assert {id for id, at in relay.events.items() if lower <= at < upper} <= stored
    for (cursor,) in ask(database, "SELECT (state_value ->> 'timestamp')::bigint FROM service_state"):
        assert {id for id, at in relay.events.items() if at <= cursor} <= stored


def test_a_kill_at_any_moment_loses_nothing(relay: Held, debian_server: str, tmp_path: Path) -> None:
    random = Random(2026)
    for number in range(10):
        database = in_database(debian_server, f"killed_{number}")
        ensure_database(database)
        process = start(tmp_path, *relay.command(), BIGBROTR_DATABASE_URL=database)
        enough = random.randrange(COUNT)
        with psycopg.connect(database, autocommit=True) as connection:
            while process.poll() is None:
                row = connection.execute("SELECT count(*) FROM event_relay").fetchone()
                if row is not None and row[0] >= enough:
                    break
                time.sleep(random.random() / 50)
        process.kill()
        process.communicate()
        assert_nothing_is_claimed_that_is_not_stored(database, relay)
        again = run(tmp_path, *relay.command(), BIGBROTR_DATABASE_URL=database)
        assert again.code == 0, again.stderr
        assert stored_ids(database, relay.url) == relay.ids
        assert ask(database, "SELECT count(*), count(DISTINCT id) FROM event") == [(COUNT, COUNT)]
        assert_nothing_is_claimed_that_is_not_stored(database, relay)


def test_a_restart_of_postgresql_in_the_middle_loses_nothing(
    relay: Held, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with postgres15(tmp_path_factory.mktemp("restarted")) as server:
        database = in_database(server.url, "bigbrotr")
        ensure_database(database)
        process = start(tmp_path, *relay.command(), BIGBROTR_DATABASE_URL=database)
        while process.poll() is None and ask(database, "SELECT count(*) > 3000 FROM event_relay") == [(False,)]:
            time.sleep(0.05)
        server.restart()
        _, stderr = process.communicate(timeout=90)
        assert "Traceback" not in stderr
        assert process.returncode in (0, 1)
        again = run(tmp_path, *relay.command(), BIGBROTR_DATABASE_URL=database)
        assert again.code == 0, again.stderr
        assert stored_ids(database, relay.url) == relay.ids


def one_line(result: Result) -> str:
    [line] = result.stderr.splitlines()
    assert line.startswith("bigbrotr-dagster: ")
    return line


def test_a_dead_relay_fails_and_the_others_go_on(relay: Held, tmp_path: Path, debian_server: str) -> None:
    database = in_database(debian_server, "beside_a_dead_one")
    dead = "ws://127.0.0.1:2"
    both = run(tmp_path, *relay.command(), "--relay", dead, BIGBROTR_DATABASE_URL=database)
    assert both.code == 0
    assert (both.report["relays_ok"], both.report["relays_failed"]) == (1, 1)
    assert one_line(both) == f"bigbrotr-dagster: {dead}: connection refused"
    alone = run(
        tmp_path, "sync", "--once", "--relay", dead, "--allow-private", "--json", BIGBROTR_DATABASE_URL=database
    )
    assert alone.code == 1
    assert alone.report["per_relay"][0]["error"] == "connection refused"
    one_line(alone)
