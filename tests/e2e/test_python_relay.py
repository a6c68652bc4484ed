"""`sync` against nostr-relay: exact and cheap, whatever it takes `since` and `until` for.

On SQLite it takes `until` as exclusive. On LMDB it answers nothing where `since` is 0, and of the second `until`
it sends one event only.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.events import write_events
from tests.e2e.program import run
from tests.relays.local_relay import load
from tests.relays.python_relay import PythonRelay, install
from tests.sync.helpers import ask, stored_ids

COUNT = 3_000
"""Six pages, and three seconds with 50 events each."""

WRITTEN_WITHIN = 30.0
"""Seconds: with LMDB, the relay says OK before it has written an event."""


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("nostr-relay") / "venv")


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """JSON lines of kinds that no relay replaces or forgets, and their ids."""
    path = tmp_path_factory.mktemp("events") / "events.jsonl"
    return path, set(write_events(path, COUNT))


@pytest.fixture
def relay(request: pytest.FixtureRequest, program: Path, tmp_path: Path) -> Iterator[PythonRelay]:
    with PythonRelay(program, tmp_path, request.param) as process:
        yield process


@pytest.mark.parametrize("relay", ["sqlite", "lmdb"], indirect=True)
def test_a_relay_with_its_own_idea_of_until_is_stored_exactly(
    relay: PythonRelay, events: tuple[Path, set[str]], database: str, tmp_path: Path
) -> None:
    path, ids = events
    asyncio.run(load(relay.url, path.read_bytes().splitlines()))
    deadline = time.monotonic() + WRITTEN_WITHIN
    while (held := relay.held()) != ids and time.monotonic() < deadline:
        time.sleep(0.1)
    assert held == ids
    command = ["sync", "--once", "--relay", relay.url, "--allow-private", "--json"]
    first = run(tmp_path, *command, BIGBROTR_DATABASE_URL=database)
    assert first.code == 0, first.stderr
    assert stored_ids(database, relay.url) == ids
    assert {id for (id,) in ask(database, "SELECT encode(id, 'hex') FROM event")} == ids
    [report] = first.report["per_relay"]
    assert (report["events_new"], report["gaps"], report["pending_seconds"]) == (COUNT, [], 0)
    stretches = ask(database, "SELECT lower(part), upper(part) FROM sync_coverage, unnest(covered) AS part")
    assert stretches == [(0, report["cursor"]["timestamp"] + 1)]
    assert report["requests"] <= 1.1 * COUNT / 500 + 10
    second = run(tmp_path, *command, BIGBROTR_DATABASE_URL=database)
    assert second.code == 0, second.stderr
    assert (second.report["events_new"], second.report["observations_new"]) == (0, 0)
    assert stored_ids(database, relay.url) == ids
