"""The graph loads, holds what it should, and every asset says what it is."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from bigbrotr_dagster.definitions import defs
from bigbrotr_dagster.defs.runs.run_process import OUR_ASSETS, OUR_JOBS
from tests.e2e.program import environment, said

ROOT = Path(__file__).parents[2]


ASSETS = {
    "relay_candidates",
    "relay_validated",
    "relays",
    "relay_cursor",
    "relay_health",
    "archive_coverage",
    "archive_stats",
    "event",
    "event_relay",
    "sync_coverage",
    "sync_gap",
    "event_day",
    "archive_report",
}
TABLES = {"event", "event_relay", "sync_coverage", "sync_gap"}
"""No run materializes them."""
FILES = {"event_day"}
"""Their columns are no table's."""
TOLD = {"archive_stats", "archive_coverage", "archive_report"}
"""What is told of several tables, and is none."""


def test_the_definitions_load() -> None:
    dg.Definitions.validate_loadable(defs)


def test_the_graph_holds_these_assets_checks_jobs_and_automations() -> None:
    graph = defs.resolve_asset_graph()
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == ASSETS
    assert {key.name for key in graph.asset_check_keys} == {
        "networks_reachable",
        "reachable",
        "open_gaps",
        "cursor_within_coverage",
        "certificate_expires",
        "relay_dead",
        "alive_by_network",
        "lag_by_network",
        "rejected_share",
        "stored_events_verify",
        "observations_have_events",
    }
    repository = defs.get_repository_def()
    jobs = {"relay_sync", "relay_health", "relay_discovery", "resync", "cleanup", "export_days", "report"}
    jobs |= {"add_relays", "remove_relays"}
    assert {job.name for job in repository.get_all_jobs()} - {"__ASSET_JOB"} == jobs
    schedules = {"relay_sync_schedule", "relay_health_schedule", "cleanup_schedule", "report_schedule"}
    assert {one.name for one in repository.schedule_defs} == schedules
    assert {one.name for one in repository.sensor_defs} == {
        "relay_partitions",
        "relay_discovery_sensor",
        "export_days_sensor",
        "dead_runs",
        "archive_stats_refresh",
        "archive_coverage_refresh",
        "run_failed",
    }


def test_dead_runs_of_all_of_them_are_ended() -> None:
    assert {job.name for job in defs.get_repository_def().get_all_jobs()} - {"__ASSET_JOB"} == OUR_JOBS
    graph = defs.resolve_asset_graph()
    assert graph.materializable_asset_keys == OUR_ASSETS
    assert {key.to_user_string() for key in graph.external_asset_keys} == TABLES


def test_schedules_and_sensors_run_without_being_switched_on() -> None:
    repository = defs.get_repository_def()
    assert all(one.default_status is dg.DefaultScheduleStatus.RUNNING for one in repository.schedule_defs)
    assert all(one.default_status is dg.DefaultSensorStatus.RUNNING for one in repository.sensor_defs)


@pytest.mark.parametrize("key", sorted(ASSETS))
def test_an_asset_has_group_owners_kinds_tags_and_a_description(key: str) -> None:
    spec = defs.resolve_assets_def(key).specs_by_key[dg.AssetKey(key)]
    assert spec.group_name == "archive"
    assert spec.owners == ["team:archive"]
    assert "postgres" in spec.kinds
    assert spec.tags["bigbrotr/layer"]
    assert len(spec.description or "") > 80
    assert ("dagster/table_name" in spec.metadata) == (key not in TOLD | FILES)
    assert ("dagster/column_schema" in spec.metadata) == (key not in TOLD)
    assert key in TOLD or spec.metadata["dagster/column_schema"].columns
    [source] = spec.metadata["dagster/code_references"].code_references
    assert Path(source.file_path).is_relative_to(ROOT / "bigbrotr_dagster" / "defs")
    rare = {"relay_candidates", "relay_validated", "relays", "relay_health", "event_day", *TABLES}
    assert (spec.freshness_policy is None) == (key in rare), (
        "a registry stays as it is, others may be off, and of a table it is told when rows came"
    )


def test_each_check_is_on_the_asset_whose_property_it_is() -> None:
    found: dict[str, set[str]] = {}
    for key in defs.resolve_asset_graph().asset_check_keys:
        found.setdefault(key.asset_key.to_user_string(), set()).add(key.name)
    assert found == {
        "relay_validated": {"networks_reachable"},
        "relay_cursor": {"reachable", "open_gaps", "cursor_within_coverage"},
        "relay_health": {"certificate_expires", "relay_dead", "alive_by_network"},
        "archive_stats": {"lag_by_network", "rejected_share"},
        "event": {"stored_events_verify"},
        "event_relay": {"observations_have_events"},
    }


def test_of_no_asset_the_ui_says_that_it_has_no_automation() -> None:
    """`test_dev` asks the UI itself (`assetNode.targetingInstigators`)."""
    repository, graph = defs.get_repository_def(), defs.resolve_asset_graph()
    jobs = {target.job_name for sensor in repository.sensor_defs for target in sensor.targets}
    jobs |= {schedule.job_name for schedule in repository.schedule_defs}
    targeted = {
        key for job in repository.get_all_jobs() if job.name in jobs for key in job.asset_layer.selected_asset_keys
    }
    for sensor in repository.sensor_defs:
        targeted |= sensor.asset_selection.resolve(graph) if sensor.asset_selection else set()
    assert {key.to_user_string() for key in targeted} == ASSETS


def test_the_graph_flows_from_what_is_named_by_the_registry_to_what_is_told_of_the_archive() -> None:
    graph = defs.resolve_asset_graph()
    parents = {key.to_user_string(): graph.get(key).parent_keys for key in graph.get_all_asset_keys()}
    assert {name: {key.to_user_string() for key in keys} for name, keys in parents.items()} == {
        "relay_candidates": set(),
        "relay_validated": {"relay_candidates"},
        "relays": {"relay_validated"},
        "relay_cursor": {"relays"},
        "relay_health": {"relays"},
        "event": {"relay_cursor"},
        "event_relay": {"relay_cursor"},
        "sync_coverage": {"relay_cursor"},
        "sync_gap": {"relay_cursor"},
        "archive_stats": {"event", "event_relay"},
        "archive_coverage": {"sync_coverage", "sync_gap"},
        "event_day": {"event", "event_relay", "sync_coverage"},
        "archive_report": {"event", "event_relay", "sync_coverage", "sync_gap"},
    }


def test_relay_cursor_has_a_partition_for_each_relay_and_backfills_in_several_runs() -> None:
    asset = defs.resolve_assets_def("relay_cursor")
    assert asset.partitions_def == dg.DynamicPartitionsDefinition(name="relay")
    assert asset.backfill_policy == dg.BackfillPolicy.multi_run(50)


def test_event_day_has_a_partition_for_each_day_that_has_ended_and_backfills_in_one_run() -> None:
    asset = defs.resolve_assets_def("event_day")
    assert isinstance(asset.partitions_def, dg.DailyPartitionsDefinition)
    assert asset.partitions_def.get_first_partition_key() == "2020-11-01"
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    assert asset.partitions_def.get_last_partition_key() == yesterday.isoformat()
    assert asset.backfill_policy == dg.BackfillPolicy.single_run()


@pytest.mark.slow
def test_the_definitions_need_no_extra(tmp_path: Path) -> None:
    without = "import sys; sys.modules |= dict.fromkeys(['pyarrow', 'maxminddb', 'dagster_celery'])"
    said(["python", "-c", f"{without}; import bigbrotr_dagster.definitions"], ROOT, environment(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["dg", "check", "defs"],
        ["dagster", "definitions", "validate", "-m", "bigbrotr_dagster.definitions"],
    ],
    ids=["dg check defs", "dagster definitions validate"],
)
def test_dagsters_own_check_of_the_definitions_is_clean(command: list[str], tmp_path: Path) -> None:
    said(command, ROOT, environment(tmp_path, DAGSTER_HOME=str(tmp_path)))
