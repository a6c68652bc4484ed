"""`sync` against relays that nobody here wrote: exact and cheap, whatever they take a filter for.

nostr-relay on SQLite takes `until` as exclusive. On LMDB it answers nothing where `since` is 0, and of the second
`until` it sends one event only. @nostr-relay takes 20 kinds in a filter, and orders no second.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bigbrotr_dagster.sync import RelayReport, sync_relays
from bigbrotr_dagster.windowing.intervals import Interval
from tests.e2e.events import write_crowd, write_events
from tests.e2e.program import run
from tests.relays import npm_relay, python_relay
from tests.relays.cut_off import cut_off
from tests.relays.local_relay import LocalRelayProcess, load
from tests.relays.npm_relay import NpmRelay
from tests.relays.process import RelayProcess
from tests.relays.python_relay import PythonRelay
from tests.sync.helpers import ask, config, stored_ids

pytestmark = pytest.mark.slow

COUNT = 3_000
"""Six pages, and three seconds with 50 events each."""

CAP = 1_000
"""Events that an answer of each relay has at most: the default of @nostr-relay, given to the others."""

WRITTEN_WITHIN = 60.0
"""Seconds: with LMDB, the relay says OK before it has written an event."""

PROGRAMS = ("LocalRelay", "nostr-relay sqlite", "nostr-relay lmdb", "@nostr-relay")

PATIENCE = 60.0
"""Seconds that a relay may be silent: the machine may be busy."""

Serve = Callable[[Path], RelayProcess]
"""Starts a relay that holds the events of a file of JSON lines."""


@pytest.fixture(scope="session")
def nostr_relay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return python_relay.install(tmp_path_factory.mktemp("nostr-relay") / "venv")


@contextmanager
def serving(request: pytest.FixtureRequest, folder: Path, events: Path) -> Iterator[RelayProcess]:
    """The relay program that the fixture's parameter names; what it keeps is in `folder`."""
    name, _, storage = request.param.partition(" ")
    if name == "LocalRelay":
        with LocalRelayProcess(events, cap=CAP) as relay:
            yield relay
        return
    if name == "@nostr-relay":
        with NpmRelay(npm_relay.install(), folder) as npm:
            publish(npm, events)
            yield npm
        return
    with PythonRelay(request.getfixturevalue("nostr_relay"), folder, storage, cap=CAP) as python:
        publish(python, events)
        wait_until_written(python, len(events.read_bytes().splitlines()))
        yield python


def publish(relay: RelayProcess, events: Path) -> None:
    with ThreadPoolExecutor(1) as thread:  # the caller may be in an event loop
        thread.submit(asyncio.run, load(relay.url, events.read_bytes().splitlines())).result()


def wait_until_written(relay: PythonRelay, count: int) -> None:
    deadline = time.monotonic() + WRITTEN_WITHIN
    while (held := len(relay.held())) < count and time.monotonic() < deadline:
        time.sleep(0.1)
    assert held == count


@dataclass(frozen=True)
class Held:
    """A relay and all that it holds: created_at by id."""

    relay: RelayProcess
    bytes: int
    times: dict[str, int]


@pytest.fixture(scope="module", params=PROGRAMS)
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    """A relay with events of kinds that no relay replaces or forgets."""
    folder = tmp_path_factory.mktemp("filled")
    events = folder / "events.jsonl"
    times = write_events(events, COUNT)
    with serving(request, folder, events) as relay:
        yield Held(relay, events.stat().st_size, times)


@pytest.fixture(params=PROGRAMS)
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Serve]:
    """One of the relays; it ends with the test."""
    with ExitStack() as running:
        yield lambda events: running.enter_context(serving(request, tmp_path, events))


@dataclass(frozen=True)
class Archive:
    """A database that the relay at `url` is synced into."""

    database: str
    url: str

    async def sync(self) -> RelayReport:
        options = config(networks={"clearnet": {"timeout": PATIENCE}})
        [report] = (await sync_relays(self.database, options, [self.url])).relays
        return report

    def ids(self) -> set[str]:
        return stored_ids(self.database, self.url)

    def covered(self) -> list[Any]:
        return ask(self.database, "SELECT lower(part), upper(part) FROM sync_coverage, unnest(covered) AS part")

    def assert_nothing_is_claimed_that_is_not_stored(self, events: dict[str, int]) -> None:
        stored = self.ids()
        for lower, upper in self.covered():
            assert {id for id, at in events.items() if lower <= at < upper} <= stored


def test_a_relay_is_stored_exactly(filled: Held, database: str, tmp_path: Path) -> None:
    times, archive = filled.times, Archive(database, filled.relay.url)
    command = ["sync", "--once", "--relay", filled.relay.url, "--allow-private", "--json"]
    first = run(tmp_path, *command, BIGBROTR_DATABASE_URL=database)
    assert first.code == 0, first.stderr
    assert archive.ids() == set(times)
    assert {id for (id,) in ask(database, "SELECT encode(id, 'hex') FROM event")} == set(times)
    [report] = first.report["per_relay"]
    assert (report["events_new"], report["gaps"], report["pending_seconds"]) == (COUNT, [], 0)
    assert archive.covered() == [(0, report["cursor"]["timestamp"] + 1)]
    assert report["requests"] <= 1.1 * COUNT / 500 + 10
    second = run(tmp_path, *command, BIGBROTR_DATABASE_URL=database)
    assert second.code == 0, second.stderr
    assert (second.report["events_new"], second.report["observations_new"]) == (0, 0)
    assert archive.ids() == set(times)


async def test_a_relay_that_dies_and_comes_back_is_stored_exactly(filled: Held, database: str) -> None:
    relay, times = filled.relay, filled.times
    async with cut_off(relay.port, filled.bytes // 2, then=relay.stop) as line:
        archive = Archive(database, f"ws://127.0.0.1:{line.port}")
        await archive.sync()
        assert line.is_cut
        assert archive.ids() < set(times)
        archive.assert_nothing_is_claimed_that_is_not_stored(times)
        relay.start()
        line.mend()
        report = await archive.sync()
        assert (report.ok, report.gaps, report.pending_seconds) == (True, [], 0)
        assert archive.ids() == set(times)


async def test_an_empty_relay_is_covered_and_has_no_gap(serve: Serve, database: str, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.jsonl"
    nothing.touch()
    archive = Archive(database, serve(nothing).url)
    for _ in range(2):
        report = await archive.sync()
        assert (report.ok, report.gaps, report.pending_seconds) == (True, [], 0)
        assert report.requests <= 10
        assert report.cursor is not None
        assert archive.covered() == [(0, report.cursor.timestamp + 1)]


async def test_a_crowded_second_is_stored_or_a_gap_and_everything_else_is_stored(
    serve: Serve, database: str, tmp_path: Path
) -> None:
    path = tmp_path / "crowd.jsonl"
    second, times = write_crowd(path, crowd=CAP + 500, others=600)
    archive = Archive(database, serve(path).url)
    first = await archive.sync()
    assert (first.ok, first.pending_seconds) == (True, 0)
    assert archive.ids() >= {id for id, at in times.items() if at != second}
    assert {gap.interval for gap in first.gaps} <= {Interval(second, second)}
    assert first.gaps or archive.ids() == set(times)
    archive.assert_nothing_is_claimed_that_is_not_stored(times)
    again = await archive.sync()
    assert (again.ok, again.pending_seconds) == (True, 0)
    assert {gap.interval for gap in again.gaps} <= {gap.interval for gap in first.gaps}
    assert again.requests <= max(10, first.requests // 2)
    assert again.events_received <= len(times)
