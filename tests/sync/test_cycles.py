"""Cycles, as BigBrotr's metrics count them: each run's sync once, however it ends; a dead run is not under way."""

import asyncio
import time

import pytest
from prometheus_client import CollectorRegistry

from bigbrotr_dagster.archive.metrics import archive_metrics
from bigbrotr_dagster.storage.locks import run_lock
from bigbrotr_dagster.storage.sessions import open_pool
from bigbrotr_dagster.storage.state import begin_cycle, finish_cycle
from bigbrotr_dagster.sync import sync_relays
from tests.nostr.helpers import signed
from tests.ports import free_port
from tests.relays.scripted import scripted
from tests.sync.helpers import ask, config, tell


def value(metrics: CollectorRegistry, metric: str, **labels: str) -> float | None:
    return metrics.get_sample_value(metric, {"service": "synchronizer", **labels})


def figures(database: str) -> dict[str, float | None]:
    """What the endpoint says of cycles, asked anew."""
    metrics = archive_metrics(database)
    found = {
        name: value(metrics, "service_gauge", name=name) for name in ("total_relays", "relays_seen", "events_seen")
    }
    for name in ("cycles_success", "cycles_failed", "events_collected", "relays_synced", "total_sync_failures"):
        found[name] = value(metrics, "service_counter_total", name=name)
    found["count"] = value(metrics, "cycle_duration_seconds_count")
    return found


NOTHING = dict.fromkeys(("total_relays", "relays_seen", "events_seen"), 0.0)


async def test_a_sync_is_a_cycle(any_database: str) -> None:
    assert figures(any_database).items() >= (NOTHING | {"cycles_success": 0.0, "count": 0.0}).items()
    assert value(archive_metrics(any_database), "service_gauge", name="last_cycle_timestamp") is None
    async with scripted([signed(number) for number in range(7)]) as relay:
        nobody = f"ws://127.0.0.1:{free_port()}"
        report = await sync_relays(any_database, config(), [relay.url, nobody], run_id="one")
    expected = {
        "total_relays": 2.0,
        "relays_seen": 2.0,
        "events_seen": float(sum(one.events_received for one in report.relays)),
        "events_collected": 7.0,
        "relays_synced": 2.0,
        "total_sync_failures": 1.0,
        "cycles_success": 1.0,
        "cycles_failed": 0.0,
        "count": 1.0,
    }
    assert figures(any_database).items() >= expected.items()
    metrics = archive_metrics(any_database)
    [(took,)] = ask(any_database, "SELECT extract(epoch FROM finished_at - started_at)::float8 FROM sync_cycle")
    assert value(metrics, "cycle_duration_seconds_sum") == pytest.approx(took)
    for bound in (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400):
        assert value(metrics, "cycle_duration_seconds_bucket", le=f"{bound:.1f}") == (took <= bound)
    assert value(metrics, "cycle_duration_seconds_bucket", le="+Inf") == 1
    assert value(metrics, "service_gauge", name="last_cycle_timestamp") == pytest.approx(time.time(), abs=60)


async def test_a_cycle_that_is_stopped_is_counted_as_such(database: str) -> None:
    async with scripted([signed(number) for number in range(60)], cap=6, delay=0.05) as relay:
        running = asyncio.create_task(sync_relays(database, config(), [relay.url], run_id="one"))
        while not relay.requests:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert figures(database).items() >= {"cycles_success": 0.0, "cycles_failed": 1.0, "count": 1.0}.items()


async def test_the_relays_are_those_of_the_runs_that_live(database: str) -> None:
    async with open_pool(database) as pool, pool.connection() as connection:
        for run_id, relays in (("ended", 1), ("dead", 10), ("living", 100), ("another", 1000)):
            await begin_cycle(connection, run_id, relays)
            await connection.commit()
        for _ in range(2):  # an answer to COMMIT may be lost
            await finish_cycle(connection, "ended", ok=True)
    assert figures(database).items() >= (NOTHING | {"total_relays": 1.0, "count": 1.0}).items()
    with run_lock(database, "living", lambda: None), run_lock(database, "another", lambda: None):
        tell(
            database,
            "INSERT INTO sync_attempt (relay_url, run_id, finished_at, events_received)"
            " VALUES ('a', 'living', now(), 5), ('b', 'living', NULL, 9), ('c', 'dead', now(), 7)",
        )
        under_way = {"total_relays": 1100.0, "relays_seen": 1.0, "events_seen": 5.0}
        assert figures(database).items() >= under_way.items()
    assert figures(database).items() >= (NOTHING | {"total_relays": 1.0}).items()


async def test_counts_outlive_the_cycles_that_they_count(database: str) -> None:
    async with open_pool(database) as pool, pool.connection() as connection:
        await begin_cycle(connection, "old", 5)
        await finish_cycle(connection, "old", ok=True)
        await connection.execute("UPDATE sync_cycle SET started_at = now() - interval '8 days'")
        await begin_cycle(connection, "new", 5)
    assert ask(database, "SELECT run_id FROM sync_cycle") == [("new",)]
    assert figures(database).items() >= {"cycles_success": 1.0, "count": 1.0}.items()
