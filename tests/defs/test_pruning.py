"""Dagster's event log does not grow for ever, and what the graph shows stays."""

from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from bigbrotr_dagster.definitions import defs
from bigbrotr_dagster.defs.graph import RELAY_CURSOR
from bigbrotr_dagster.defs.instance.pruning import prune
from bigbrotr_dagster.defs.runs.run_process import OUR_ASSETS, OUR_JOBS, OUR_TAGS
from tests.defs.helpers import Graph, Relays, some_events

ELSE = dg.AssetKey("somebody_elses")


def ask(graph: Graph, question: str) -> list[Any]:
    with graph.instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        return [tuple(row) for row in connection.execute(text(question))]


def age(graph: Graph, days: int) -> None:
    """All that is there happened so much earlier."""
    for table, column in (
        ("event_logs", "timestamp"),
        ("asset_check_executions", "create_timestamp"),
        ("runs", "create_timestamp"),
        ("runs", "update_timestamp"),
    ):
        ask(graph, f"UPDATE {table} SET {column} = {column} - interval '{days} days' RETURNING 1")


def materializations(graph: Graph, asset: dg.AssetKey = RELAY_CURSOR) -> list[dg.EventLogRecord]:
    found = graph.instance.fetch_materializations(asset, limit=100).records
    return sorted(found, key=lambda record: record.storage_id)


@pytest.fixture
def two(graph: Graph, relays: Relays) -> tuple[str, str]:
    """Two relays, of which the first one was synced three times, and the second one once; eight days ago."""
    prune(graph.instance, 0, OUR_ASSETS, OUR_JOBS, OUR_TAGS)  # of the tests before
    one, other = (relays.serve(some_events(2, name)).url for name in ("a", "b"))
    graph.register(one, other)
    graph.sync(one, other)
    graph.sync(one)
    graph.sync(one)
    graph.instance.report_runless_asset_event(dg.AssetMaterialization(ELSE))
    graph.instance.report_runless_asset_event(dg.AssetMaterialization(ELSE))
    age(graph, 8)
    return one, other


def test_the_newest_of_each_partition_stays(graph: Graph, two: tuple[str, str]) -> None:
    before = {record.partition_key: record.storage_id for record in materializations(graph)}
    checks = ask(graph, "SELECT DISTINCT check_name, partition FROM asset_check_executions")
    events = ask(graph, "SELECT count(*) FROM event_logs")[0][0]
    pruned = prune(graph.instance, 7, OUR_ASSETS, OUR_JOBS, OUR_TAGS)
    assert {record.partition_key: record.storage_id for record in materializations(graph)} == before
    assert len(materializations(graph)) == 2
    assert graph.instance.get_materialized_partitions(RELAY_CURSOR) == set(two)
    assert ask(graph, "SELECT DISTINCT check_name, partition FROM asset_check_executions") == checks
    assert ask(graph, "SELECT count(*) FROM asset_check_executions")[0][0] == len(checks)
    assert ask(graph, "SELECT count(*) FROM event_logs")[0][0] == events - pruned.events
    assert pruned.events > 2
    assert pruned.checks > 0
    assert prune(graph.instance, 7, OUR_ASSETS, OUR_JOBS, OUR_TAGS).events == 0


def test_what_is_young_and_what_is_somebody_elses_stays(graph: Graph, two: tuple[str, str]) -> None:
    everything = ask(graph, "SELECT count(*) FROM event_logs")
    theirs = len(materializations(graph, ELSE))
    assert prune(graph.instance, 30, OUR_ASSETS, OUR_JOBS, OUR_TAGS).events == 0
    assert ask(graph, "SELECT count(*) FROM event_logs") == everything
    prune(graph.instance, 7, OUR_ASSETS, OUR_JOBS, OUR_TAGS)
    assert len(materializations(graph, ELSE)) == theirs >= 2


def test_cleanup_prunes_runs_of_ours_that_ended_long_ago(graph: Graph, two: tuple[str, str]) -> None:
    cleanup = defs.resolve_job_def("cleanup")
    old = cleanup.execute_in_process(instance=graph.instance).run_id
    theirs = graph.instance.create_run_for_job(cleanup, status=dg.DagsterRunStatus.SUCCESS).run_id
    age(graph, 8)
    last = cleanup.execute_in_process(instance=graph.instance).run_id
    assert graph.instance.get_run_by_id(old) is None
    assert graph.instance.get_run_by_id(theirs) is not None, "it is not ours, though its job is called the same"
    assert graph.instance.get_run_by_id(last) is not None
    assert ask(graph, f"SELECT count(*) FROM event_logs WHERE run_id = '{old}'") == [(0,)]
