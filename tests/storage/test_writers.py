"""Several writers of the same events, and several batches under way: in order, and none waits in a circle."""

import asyncio
import random
from dataclasses import replace

import pytest

from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.storage.databases import ensure_database
from bigbrotr_dagster.storage.ingest import Cursor, Delivery, Tally, batch_writer
from bigbrotr_dagster.storage.ingest import writer as module
from bigbrotr_dagster.storage.ingest.prepare import PreparedBatch
from bigbrotr_dagster.storage.sessions import AsyncConnection, Pool, open_pool
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable
from bigbrotr_dagster.windowing.intervals import Interval
from tests.conftest import in_database
from tests.nostr.helpers import signed
from tests.postgres15 import postgres15
from tests.storage.test_writer import delivery, fetch


async def write(url: str, seed: int, events: list[Event]) -> Tally:
    """All events, in an order of its own, from three relays of its own."""
    order = random.Random(seed)
    tally = Tally()
    async with open_pool(url) as pool, batch_writer(pool, batch_size=200, flush_interval=50) as writer:
        for relay in range(3):
            shuffled = order.sample(events, len(events))
            for start in range(0, len(shuffled), 100):
                page = shuffled[start : start + 100]
                covered = [Interval(start, start + 99)]
                relay_url = f"wss://{seed}-{relay}.example.com"
                await writer.put(delivery(*page, relay=relay_url, tally=tally, covered=covered))
    return tally


@pytest.mark.slow
async def test_writers_of_the_same_events_do_not_deadlock(any_database: str, real_events: list[Event]) -> None:
    tallies = await asyncio.gather(*(write(any_database, seed, real_events) for seed in range(3)))
    assert sum(tally.events_new for tally in tallies) == len(real_events)
    assert [tally.observations_new for tally in tallies] == [3 * len(real_events)] * 3
    async with open_pool(any_database) as pool:
        deadlocks = b"SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        assert await fetch(pool, deadlocks) == [(0,)]
        assert await fetch(pool, b"SELECT count(*) FROM event_relay") == [(9 * len(real_events),)]


async def test_a_batch_is_prepared_while_the_one_before_is_committed(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deliveries of one relay still land in the order in which they were put, also when a commit is slow."""
    commit, said = module.commit, []

    async def slow(connection: AsyncConnection, batch: PreparedBatch, known: object, **how: bool) -> None:
        said.append("commit")
        number = said.count("commit")
        async with asyncio.timeout(30):
            while number < 3 and said.count("prepare") == number:  # slow enough for the next one, if it comes
                await asyncio.sleep(0.01)
        await commit(connection, batch, known, **how)  # type: ignore[arg-type]
        said.append("committed")

    async def prepared(connection: AsyncConnection, batch: list[Delivery], *rest: object) -> PreparedBatch:
        said.append("prepare")
        return await prepare(connection, batch, *rest)  # type: ignore[arg-type]

    prepare = module.prepare
    monkeypatch.setattr(module, "commit", slow)
    monkeypatch.setattr(module, "prepare", prepared)
    async with batch_writer(pool, batch_size=1, flush_interval=50) as writer:
        for second in (1, 2, 3):
            await writer.put(delivery(signed(second), cursor=Cursor(second)))
    assert said == ["prepare", *["commit", "prepare", "committed"] * 2, "commit", "committed"]


async def test_the_same_event_in_two_batches_under_way_is_stored_once(pool: Pool) -> None:
    event = signed(1)
    deliveries = [delivery(event, relay=f"wss://{number}.example.com") for number in range(4)]
    async with batch_writer(pool, batch_size=1, flush_interval=50) as writer:
        for each in deliveries:
            await writer.put(each)
    assert [each.tally.events_new for each in deliveries] == [1, 0, 0, 0]
    assert [each.tally.observations_new for each in deliveries] == [1, 1, 1, 1]


async def test_nothing_is_committed_after_a_batch_that_was_given_up(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise RuntimeError("the first batch")

    monkeypatch.setattr(module, "commit", fails)

    async def two_batches() -> None:
        async with batch_writer(pool, batch_size=1, flush_interval=50) as writer:
            await writer.put(delivery(signed(1)))
            await writer.put(delivery(signed(2), covered=[Interval(0, 9)]))

    with pytest.raises(DatabaseUnavailable, match="the first batch"):
        await two_batches()
    assert await fetch(pool, b"SELECT count(*) FROM event") == [(0,)]
    assert await fetch(pool, b"SELECT count(*) FROM sync_coverage") == [(0,)]


@pytest.mark.slow
async def test_what_a_crash_takes_back_is_stored_again_and_counted_once(
    real_events: list[Event], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Commits that do not wait for the disk are lost, whole, when the server crashes; the writer lives on."""
    with postgres15(tmp_path_factory.mktemp("crashing"), options="-c wal_writer_delay=10s") as server:
        url = in_database(server.url, "archive")
        ensure_database(url)
        tally = Tally()
        parts = [real_events[start : start + 25] for start in range(0, len(real_events), 25)]
        async with open_pool(url) as pool:
            async with batch_writer(pool, batch_size=25, flush_interval=50) as writer:
                for number, part in enumerate(parts):
                    window = [Interval(number, number)]
                    await writer.put(replace(delivery(*part, tally=tally), covered=window))
                    if number in (20, 45, 70):
                        await asyncio.to_thread(server.stop, "immediate")
                        await asyncio.to_thread(server.start)
            assert await fetch(pool, b"SELECT count(*) FROM event") == [(len(real_events),)]
            assert await fetch(pool, b"SELECT covered::text FROM sync_coverage") == [(f"{{[0,{len(parts)})}}",)]
    assert (tally.events_new, tally.events_known) == (len(real_events), 0)
