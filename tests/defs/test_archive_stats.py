"""What `archive_stats` counts, what its checks find, and when they are refreshed."""

import asyncio
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from bigbrotr_dagster.archive import stats
from bigbrotr_dagster.archive.registry import register_relays
from bigbrotr_dagster.archive.stats import archive_stats
from bigbrotr_dagster.config import SynchronizerConfig, load_config
from bigbrotr_dagster.definitions import defs
from bigbrotr_dagster.defs.archive.checks import (
    judge_lag,
    judge_observations,
    judge_rejections,
    judge_stored_events,
)
from bigbrotr_dagster.defs.archive.tables import EVENT, EVENT_RELAY
from bigbrotr_dagster.defs.automation import archive_stats_refresh
from bigbrotr_dagster.defs.automation.refreshes import LastLook
from bigbrotr_dagster.defs.graph import ARCHIVE_STATS
from bigbrotr_dagster.storage.ingest import Delivery, Tally, batch_writer
from bigbrotr_dagster.storage.sessions import open_pool
from tests.defs.helpers import NOW, Graph, Relays, aged, some_events
from tests.nostr.helpers import signed
from tests.sync.helpers import ask

CHECKS = {
    "lag_by_network": ARCHIVE_STATS,
    "rejected_share": ARCHIVE_STATS,
    "stored_events_verify": EVENT,
    "observations_have_events": EVENT_RELAY,
}
ONION = f"ws://{'a' * 55}d.onion"
URL = "wss://a.example.com"


def execute(database: str, statement: str, *rows: tuple[object, ...]) -> None:
    with psycopg.connect(database, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.executemany(statement.encode(), rows)


def store(database: str, *seen: tuple[str, int, int]) -> None:
    """Store an event for each (relay, kind, created_at), and that the relay has it, as a sync does."""

    async def put() -> None:
        async with open_pool(database) as pool, batch_writer(pool, batch_size=100, flush_interval=50) as writer:
            for url, kind, created_at in seen:
                event = signed(created_at, kind=kind, content=f"{kind} {created_at}")
                await writer.put(Delivery(url, "hash", {}, 1, Tally(), events=[event]))

    asyncio.run(put())


def test_a_small_archive_is_counted(any_database: str) -> None:
    register_relays(any_database, [URL, "wss://b.example.com", ONION])
    store(any_database, (URL, 1, NOW), (URL, 1, NOW + 5), (URL, 7, NOW - 86_400), (ONION, 1, NOW))
    store(any_database, ("wss://b.example.com", 1, NOW), ("wss://gone.example.com", 7, NOW - 86_400))
    found = archive_stats(any_database)
    assert found.sampled_share == 1
    assert found.tables["event"].rows == 3
    assert found.tables["event"].bytes > 0
    assert {"relay", "sync_coverage", "sync_attempt"} <= set(found.tables)
    assert found.kinds == [(1, 2), (7, 1)]
    assert found.days == [(NOW // 86_400, 2), (NOW // 86_400 - 1, 1)]
    assert [(one.network, one.events, one.observations) for one in found.networks] == [
        ("clearnet", 3, 4),
        ("tor", 1, 1),
        ("unregistered", 1, 1),
    ]
    assert found.relays_per_event == 2


def test_an_empty_archive_has_stats_too(any_database: str) -> None:
    found = archive_stats(any_database)
    assert (found.tables["event"].rows, found.kinds, found.days, found.networks) == (0, [], [], [])


def test_of_a_large_archive_whole_pages_are_drawn(any_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(
        any_database,
        "INSERT INTO event SELECT sha256(n::text::bytea), '', %s + n, 1 + n %% 4, '[]', '{}', repeat('x', 300), ''"
        " FROM generate_series(1, 60000) AS n",
        (NOW,),
    )
    execute(any_database, "ANALYZE event")
    monkeypatch.setattr(stats, "SAMPLED_EVENTS", 10_000)
    found = archive_stats(any_database)
    assert found.tables["event"].rows == pytest.approx(60_000, rel=0.1)
    assert 0.05 < found.sampled_share < 0.5
    assert [kind for kind, _ in sorted(found.kinds)] == [1, 2, 3, 4]
    assert sum(count for _, count in found.kinds) == pytest.approx(60_000, rel=0.1)
    assert all(count == pytest.approx(15_000, rel=0.3) for _, count in found.kinds)


@pytest.fixture
def empty(graph: Graph) -> Graph:
    for table in ("event", "sync_attempt"):
        execute(graph.database, f"DELETE FROM {table}", ())
    graph.register()
    return graph


@pytest.mark.slow
def test_it_materializes_with_its_checks(empty: Graph, relays: Relays) -> None:
    graph = empty
    graph.register(url := relays.serve(some_events(5)).url)
    graph.sync(url)
    job = defs.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=graph.instance, asset_selection=[ARCHIVE_STATS])
    assert result.success
    [event] = result.asset_materializations_for_node("archive_stats")
    assert event.metadata["event_rows"].value == 5
    assert event.metadata["events_local"].value == 5
    assert isinstance(event.metadata["bytes"], dg.FloatMetadataValue)
    [kind] = event.metadata["events_by_kind"].value.records  # type: ignore[union-attr]
    assert kind.data == {"kind": 1, "name": "note", "events": 5}
    evaluations = {one.check_name: one for one in result.get_asset_check_evaluations()}
    assert set(evaluations) == {name for name, key in CHECKS.items() if key == ARCHIVE_STATS}


@pytest.mark.slow
def test_the_checks_of_the_tables_run_by_themselves(empty: Graph, relays: Relays) -> None:
    graph = empty
    graph.register(url := relays.serve(some_events(5)).url)
    graph.sync(url)
    checks = [dg.AssetCheckKey(key, name) for name, key in CHECKS.items() if key != ARCHIVE_STATS]
    job = defs.resolve_implicit_global_asset_job_def()
    job = job.get_subset(asset_selection=set(), asset_check_selection=set(checks))
    result = job.execute_in_process(instance=graph.instance)
    evaluations = {one.asset_check_key: one for one in result.get_asset_check_evaluations()}
    assert set(evaluations) == set(checks)
    assert evaluations[checks[0]].metadata["events_drawn"].value == 5
    assert evaluations[checks[1]].passed


def test_stored_events_that_are_not_what_was_signed_are_found(any_database: str) -> None:
    store(any_database, *((URL, 1, NOW + number) for number in range(9)))
    options = SynchronizerConfig()
    assert judge_stored_events(any_database, options).passed
    execute(any_database, "UPDATE event SET content = 'other' WHERE created_at = %s", (NOW,))
    execute(any_database, "UPDATE event SET sig = sha512('x') WHERE created_at = %s", (NOW + 1,))
    check = judge_stored_events(any_database, options)
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert check.metadata["events_drawn"].value == 9
    assert sorted(check.metadata["unsound"].value.values()) == ["bad_id", "bad_signature"]  # type: ignore[union-attr]


@pytest.mark.parametrize("look_at_all", [False, True])
def test_an_observation_without_its_event_is_found(any_database: str, look_at_all: bool) -> None:
    store(any_database, *((URL, 1, NOW + number) for number in range(9)))
    assert judge_observations(any_database, look_at_all=look_at_all).passed
    with psycopg.connect(any_database, autocommit=True) as operator:
        operator.execute("SET session_replication_role = replica")  # without the trigger that takes them along
        gone = operator.execute("DELETE FROM event WHERE created_at = %s RETURNING seq", [NOW + 4]).fetchone()
    assert gone is not None
    check = judge_observations(any_database, look_at_all=look_at_all)
    assert (check.passed, check.metadata["observations"].value) == (False, [f"{URL} #{gone[0]}"])
    assert check.metadata["observations_looked_at"].value == 9


def test_a_network_whose_relays_fall_behind_is_named(any_database: str) -> None:
    urls = [f"wss://relay-{number}.example.com" for number in range(4)]
    register_relays(any_database, urls)
    for number, url in enumerate(urls):
        execute(
            any_database,
            "INSERT INTO service_state VALUES ('synchronizer', 'cursor', %s, jsonb_build_object("
            "'timestamp', extract(epoch FROM now())::bigint - %s, 'id', ''))",
            (url, 60 if number < 2 else 86_400 * 10),
        )
        execute(
            any_database,
            "INSERT INTO relay_limits (relay_url, attempted_at, succeeded_at) VALUES (%s, now(), now())",
            (url,),
        )
    options = SynchronizerConfig()
    check = judge_lag(any_database, options)
    assert not check.passed
    assert check.description == "half of clearnet is 5 days behind or more"
    execute(any_database, "UPDATE relay_limits SET failures = 1 WHERE relay_url = %s", (urls[3],))
    check = judge_lag(any_database, options)
    assert (check.passed, check.metadata["relays_clearnet"].value) == (True, 3)
    assert check.metadata["slowest_twentieth_clearnet"].value > 86_400  # type: ignore[operator]


def test_many_rejected_events_are_named_with_their_reason(any_database: str) -> None:
    row = "INSERT INTO sync_attempt (relay_url, run_id, events_received, events_rejected) VALUES (%s, '', %s, %s)"
    execute(any_database, row, (URL, 100, '{"bad_id": 0, "bad_signature": 10}'))
    assert judge_rejections(any_database, SynchronizerConfig()).passed
    execute(any_database, row, (URL, 100, '{"bad_id": 20}'))
    check = judge_rejections(any_database, SynchronizerConfig())
    assert not check.passed
    assert check.description == "30 of 200 events: bad_id x20, bad_signature x10"
    assert check.metadata["rejected_share"].value == 0.15


def refresh(graph: Graph, cursor: str | None) -> tuple[str | None, list[dg.AssetKey]]:
    """One tick, and what the daemon makes of it: the cursor after it, and the assets materialized."""
    with dg.build_sensor_context(
        instance=graph.instance, resources=dict(graph.resources), definitions=defs, cursor=cursor
    ) as context:
        result = archive_stats_refresh.evaluate_tick(context)
    assert not result.run_requests
    for event in result.asset_events:
        graph.instance.report_runless_asset_event(event)
    return result.cursor, [event.asset_key for event in result.asset_events if hasattr(event, "tags")]


@pytest.mark.slow
def test_a_sync_refreshes_it_at_most_every_so_often(empty: Graph, relays: Relays, config_file: Path) -> None:
    graph = empty
    graph.instance.wipe_assets([ARCHIVE_STATS])
    assert load_config().stats_interval == 600
    graph.register(url := relays.serve(some_events(4)).url)
    graph.sync(url)
    cursor, first = refresh(graph, None)
    assert first == [EVENT, EVENT_RELAY, ARCHIVE_STATS]
    assert refresh(graph, cursor)[1] == []
    assert refresh(graph, aged(cursor, 601))[1] == [], "nothing was synced meanwhile"
    graph.sync(url)
    assert refresh(graph, aged(cursor, 590))[1] == [], "at most every ten minutes"
    assert refresh(graph, aged(cursor, 601))[1] == [ARCHIVE_STATS], "no row came to a table"
    records = graph.instance.fetch_materializations(ARCHIVE_STATS, limit=10).records
    assert len(records) == 2
    assert records[0].asset_materialization is not None
    assert records[0].asset_materialization.metadata["event_rows"].value == 4
    keys = [dg.AssetCheckKey(key, name) for name, key in CHECKS.items()]
    latest = graph.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    assert set(latest) == set(keys)


@pytest.mark.slow
def test_the_interval_is_the_configurations(empty: Graph, relays: Relays, config_file: Path) -> None:
    graph = empty
    config_file.write_text(config_file.read_text() + "stats_interval: 0\n")
    graph.register(url := relays.serve([]).url)
    cursor = None
    for _ in range(2):
        graph.sync(url)
        cursor, told = refresh(graph, cursor)
        assert ARCHIVE_STATS in told


@pytest.mark.slow
def test_while_the_events_double_it_is_refreshed_every_minute(empty: Graph, relays: Relays) -> None:
    graph = empty
    graph.register(
        few := relays.serve(some_events(2, "few")).url, many := relays.serve(some_events(90, "many")).url
    )
    graph.sync(few)
    cursor, _ = refresh(graph, None)
    before = int(LastLook.parse(cursor).marks["event"])
    ask(graph.database, f"SELECT setval(pg_get_serial_sequence('event', 'seq'), {2 * before})")
    graph.sync(many)
    assert refresh(graph, aged(cursor, 50))[1] == []
    assert refresh(graph, aged(cursor, 61))[1] == [EVENT, EVENT_RELAY, ARCHIVE_STATS]
