"""The archive's tables as assets: what they say of themselves, and that other people's assets can follow them."""

import dagster as dg
import psycopg
import pytest

from bigbrotr_dagster.definitions import defs
from bigbrotr_dagster.defs.archive.tables import EVENT, EVENT_RELAY, SYNC_COVERAGE, SYNC_GAP
from bigbrotr_dagster.defs.automation import archive_coverage_refresh, archive_stats_refresh
from bigbrotr_dagster.defs.graph import ARCHIVE_COVERAGE, ARCHIVE_STATS, RELAY_CURSOR, RELAYS
from tests.defs.helpers import Graph, Relays, aged, dead_url, some_events

TABLES = (EVENT, EVENT_RELAY, SYNC_COVERAGE, SYNC_GAP)
SHORT = {"timestamptz": "timestamp with time zone"}

REAL_COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


def columns(spec: dg.AssetSpec) -> list[tuple[str, str]]:
    """Names and types that an asset declares."""
    declared = spec.metadata["dagster/column_schema"].columns
    return [(column.name, SHORT.get(column.type, column.type)) for column in declared]


def real_columns(database: str, table: str) -> list[tuple[str, str]]:
    with psycopg.connect(database) as connection:
        return connection.execute(REAL_COLUMNS.encode(), [table]).fetchall()


def test_a_tables_columns_are_those_of_the_database(database: str) -> None:
    for key in TABLES:
        spec = defs.resolve_assets_def(key).specs_by_key[key]
        assert columns(spec) == real_columns(database, spec.metadata["dagster/table_name"])


def test_what_any_asset_says_of_its_tables_columns_is_so(database: str) -> None:
    """The others show the columns that are worth knowing."""
    for key in defs.resolve_asset_graph().get_all_asset_keys():
        spec = defs.resolve_assets_def(key).specs_by_key[key]
        if "dagster/table_name" in spec.metadata:
            assert set(columns(spec)) <= set(real_columns(database, spec.metadata["dagster/table_name"])), key


def tick(
    graph: Graph, sensor: dg.SensorDefinition, cursor: str | None = None
) -> tuple[str | None, list[dg.AssetKey]]:
    """One look of a sensor, its events reported as the daemon does: the cursor, and what was materialized."""
    with dg.build_sensor_context(
        instance=graph.instance, resources=dict(graph.resources), definitions=defs, cursor=cursor
    ) as context:
        result = sensor.evaluate_tick(context)
    for event in result.asset_events:
        graph.instance.report_runless_asset_event(event)
    told = [event for event in result.asset_events if isinstance(event, dg.AssetMaterialization)]
    return result.cursor, [event.asset_key for event in told]


def metadata(graph: Graph, key: dg.AssetKey) -> dict[str, object]:
    """Of the newest materialization."""
    event = graph.instance.get_latest_materialization_event(key)
    assert event is not None
    assert event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


@dg.asset(deps=["event"], automation_condition=dg.AutomationCondition.eager())
def somebody_elses() -> None:
    """In a project that takes our graph."""


@dg.asset(
    deps=["event"],
    automation_condition=dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed()),
)
def of_new_events_only() -> None:
    """The same, by the data version."""


theirs = dg.Definitions.merge(defs, dg.Definitions(assets=[somebody_elses, of_new_events_only]))


def asked_for(graph: Graph, cursor: object) -> tuple[object, set[str]]:
    """The assets that conditions ask for now."""
    result = dg.evaluate_automation_conditions(
        theirs,
        graph.instance,
        asset_selection=dg.AssetSelection.assets("somebody_elses", "of_new_events_only"),
        cursor=cursor,  # type: ignore[arg-type]
    )
    wanted = {
        one for one in ("somebody_elses", "of_new_events_only") if result.get_num_requested(dg.AssetKey(one))
    }
    return result.cursor, wanted


@pytest.mark.slow
def test_an_asset_of_somebody_else_follows_the_events(graph: Graph, relays: Relays) -> None:
    """From a sync to a condition that fires: once for what is new, and not where nothing came."""
    graph.register(one := relays.serve(some_events(5)).url, other := relays.serve(some_events(3, "other")).url)
    graph.sync(one)
    look, told = tick(graph, archive_stats_refresh)
    assert told == [EVENT, EVENT_RELAY, ARCHIVE_STATS]
    assert metadata(graph, EVENT) == {
        "dagster/row_count": 5,
        "rows": 5.0,
        "bytes": metadata(graph, EVENT)["bytes"],
    }
    seen, _ = asked_for(graph, None)
    seen, wanted = asked_for(graph, seen)
    assert wanted == set()
    graph.sync(other)
    tick(graph, archive_stats_refresh, aged(look, 601))
    seen, wanted = asked_for(graph, seen)
    assert wanted == {"somebody_elses", "of_new_events_only"}
    assert metadata(graph, EVENT)["dagster/row_count"] == 8
    assert metadata(graph, EVENT_RELAY)["dagster/row_count"] == 8


@pytest.mark.slow
def test_coverage_and_gaps_are_told_of_with_the_picture(graph: Graph, relays: Relays) -> None:
    graph.register(url := relays.serve(some_events(5, "told")).url, dead_url())
    graph.sync(url)
    cursor, told = tick(graph, archive_coverage_refresh)
    assert told == [SYNC_COVERAGE, SYNC_GAP, ARCHIVE_COVERAGE]
    graph.sync(url)
    _, told = tick(graph, archive_coverage_refresh, aged(cursor, 601))
    assert told == [SYNC_COVERAGE, ARCHIVE_COVERAGE], "no gap was found or tried"


@pytest.mark.slow
def test_what_needs_no_run_does_not_look_stale(graph: Graph, relays: Relays) -> None:
    """A minute after a refresh, and after a sync: "Unsynced" in the UI is this status."""
    graph.register(url := relays.serve(some_events(5, "stale")).url)
    graph.sync(url)
    tick(graph, archive_stats_refresh)
    tick(graph, archive_coverage_refresh)
    graph.sync(url)
    assert {key.to_user_string(): graph.stale(key) for key in (*TABLES, ARCHIVE_STATS, ARCHIVE_COVERAGE)} == {
        name: ("FRESH", [])
        for name in (*(key.to_user_string() for key in TABLES), "archive_stats", "archive_coverage")
    }


def test_a_relays_page_does_not_look_stale_because_others_were_registered(graph: Graph, relays: Relays) -> None:
    """Whether the registry was told of by a sensor or by a run."""
    graph.register(url := relays.serve(some_events(5, "registered")).url)
    graph.sync(url)
    graph.register(url, dead_url())
    assert graph.stale(RELAY_CURSOR, url) == ("FRESH", [])
    job = defs.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=graph.instance, asset_selection=[RELAYS]).success
    assert graph.stale(RELAY_CURSOR, url) == ("FRESH", [])
