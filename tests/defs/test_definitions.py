"""The graph loads, holds what it should, and every asset says what it is."""

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
    "archive_report",
}
FILES = {"archive_report"}
"""Those that are no table."""


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
    jobs = {"relay_sync", "relay_health", "relay_discovery", "resync", "cleanup", "report"}
    assert {job.name for job in repository.get_all_jobs()} - {"__ASSET_JOB"} == jobs
    schedules = {"relay_sync_schedule", "relay_health_schedule", "cleanup_schedule", "report_schedule"}
    assert {one.name for one in repository.schedule_defs} == schedules
    assert {one.name for one in repository.sensor_defs} == {
        "relay_partitions",
        "relay_discovery_sensor",
        "dead_runs",
        "archive_coverage_refresh",
        "run_failed",
        "run_succeeded",
    }


def test_dead_runs_of_all_of_them_are_ended() -> None:
    assert {job.name for job in defs.get_repository_def().get_all_jobs()} - {"__ASSET_JOB"} == OUR_JOBS
    assert defs.resolve_asset_graph().get_all_asset_keys() == OUR_ASSETS


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
    assert ("dagster/table_name" in spec.metadata) == (key not in FILES)
    assert key in FILES or spec.metadata["dagster/column_schema"].columns
    [source] = spec.metadata["dagster/code_references"].code_references
    assert Path(source.file_path).is_relative_to(ROOT / "bigbrotr_dagster" / "defs")
    rare = {"relay_candidates", "relay_validated", "relays", "relay_health"}
    assert (spec.freshness_policy is None) == (key in rare), "a registry stays as it is, a monitor may be off"


def test_the_graph_flows_from_what_is_named_by_the_registry_to_what_is_told_of_the_archive() -> None:
    graph = defs.resolve_asset_graph()
    parents = {key.to_user_string(): graph.get(key).parent_keys for key in graph.get_all_asset_keys()}
    assert {name: {key.to_user_string() for key in keys} for name, keys in parents.items()} == {
        "relay_candidates": set(),
        "relay_validated": {"relay_candidates"},
        "relays": {"relay_validated"},
        "relay_cursor": {"relays"},
        "relay_health": {"relays"},
        "archive_stats": {"relay_cursor"},
        "archive_coverage": {"relay_cursor"},
        "archive_report": {"archive_stats", "archive_coverage"},
    }


def test_relay_cursor_has_a_partition_for_each_relay_and_backfills_in_several_runs() -> None:
    asset = defs.resolve_assets_def("relay_cursor")
    assert asset.partitions_def == dg.DynamicPartitionsDefinition(name="relay")
    assert asset.backfill_policy == dg.BackfillPolicy.multi_run(50)


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
