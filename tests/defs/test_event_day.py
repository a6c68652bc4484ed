"""`event_day`: what a run writes and records, what starts runs, and what is left when one fails."""

import fcntl
import json
import threading
import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from bigbrotr_dagster.definitions import defs
from bigbrotr_dagster.defs.data_sets.job import LOOK_EVERY
from bigbrotr_dagster.defs.data_sets.records import EVENT_DAY
from bigbrotr_dagster.defs.graph import RELAY_CURSOR
from bigbrotr_dagster.defs.runs.in_flight import relays_in_flight
from tests.archive.exported import (
    DAY,
    DAYS,
    FIRST,
    cover,
    exported,
    held,
    put_events,
    read,
    read_by_duckdb,
    stored,
)
from tests.archive.test_export import three_days
from tests.defs.event_days import COMPARE, ONE, Sensor, all_three, export_run, late_events, of_days, said, statuses
from tests.defs.helpers import Graph
from tests.s3 import BUCKET, s3_server
from tests.sync.helpers import tell

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def three(graph: Graph) -> None:
    """An archive of three days, which one relay proves."""
    graph.instance.wipe_assets([EVENT_DAY])
    for table in ("event", "observation", "relay", "sync_coverage", "sync_gap"):
        tell(graph.database, f"DELETE FROM {table}")
    three_days(graph.database)
    of_relay = dg.AssetMaterialization(RELAY_CURSOR, partition=ONE)
    graph.instance.add_dynamic_partitions("relay", [ONE])
    graph.instance.report_runless_asset_event(of_relay)


@pytest.fixture
def data(config_file: Path, tmp_path: Path) -> Path:
    """The folder that the configuration names."""
    folder = tmp_path / "data"
    config_file.write_text(json.dumps({"export": {"to": str(folder)}}))
    return folder


def test_a_partition_is_a_day_and_its_metadata_say_what_it_holds_and_lacks(graph: Graph, data: Path) -> None:
    cover(graph.database, "wss://other.example.com", FIRST, FIRST + DAY - 100)
    run = export_run(graph, partition=DAYS[0])
    assert run.success
    [(day, metadata)] = graph.materializations(run).items()
    files = [f"{data}/{table}/date={DAYS[0]}/{table}.parquet" for table in ("event", "observation")]
    assert day == DAYS[0]
    assert metadata["bytes"] == sum(Path(file).stat().st_size for file in files)
    assert {key: metadata[key] for key in metadata if key != "bytes"} == {
        "dagster/row_count": 4,
        "dagster/uri": f"{data}/event/date={DAYS[0]}",
        "events": 4.0,
        "observations": 6.0,
        "share": 0.5,
        "relays_covered": 1,
        "relays_not_covered": 1,
        "not_covered": "wss://other.example.com: 100 s pending, 0 s in gaps",
        "why": "asked",
        "files": files,
    }
    assert read(data)[0].keys() == {DAYS[0]}


def test_duckdb_reads_what_postgresql_holds_of_three_days_with_late_events_between_two_exports(
    graph: Graph, data: Path
) -> None:
    first = all_three(graph)
    assert first.success
    assert list(graph.materializations(first)) == list(DAYS)
    assert read_by_duckdb(data) == held(graph.database)
    late_events(graph)
    assert read_by_duckdb(data) != held(graph.database)
    second = export_run(graph)
    assert list(graph.materializations(second)) == [DAYS[1]]
    assert graph.materializations(second)[DAYS[1]]["why"] == "changed"
    assert read_by_duckdb(data) == held(graph.database)
    assert statuses(graph) == [AssetPartitionStatus.MATERIALIZED] * 3


def test_days_go_to_s3_compatible_storage(
    graph: Graph, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"s3://{BUCKET}/sets"
    config_file.write_text(f"export: {{to: {place}}}")
    with s3_server(tmp_path) as storage:
        for name, value in storage.variables.items():
            monkeypatch.setenv(name, value)
        run = all_three(graph)
        assert run.success
        assert read_by_duckdb(storage.fetch(place, tmp_path / "fetched")) == held(graph.database)
        names = {f"{place}/{name}" for name in storage.names(place) if not name.startswith("manifest/")}
    told = graph.materializations(run)
    assert {file for day in DAYS for file in told[day]["files"]} == names


def test_without_a_place_a_run_fails_in_one_line(graph: Graph, config_file: Path) -> None:
    run = export_run(graph, partition=DAYS[0])
    assert not run.success
    assert said(run).startswith("No place is named to write to: set `export.to`")
    assert len(said(run).splitlines()) == 1


@pytest.mark.parametrize(
    ("to", "days", "says"),
    [
        ("/proc/data", [DAYS[0]], "/proc/data"),
        ("data", ["2999-01-01"], "2999-01-01 has not begun (days are UTC's)"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    graph: Graph, config_file: Path, tmp_path: Path, to: str, days: list[str], says: str
) -> None:
    config_file.write_text(json.dumps({"export": {"to": str(tmp_path / to)}}))
    run = export_run(graph, days)
    assert not run.success
    assert says in said(run)
    assert len(said(run).splitlines()) == 1


@pytest.mark.parametrize("asked", ["by partitions", "by config"])
def test_a_day_that_cannot_be_written_is_red_and_the_others_are_written(
    graph: Graph, data: Path, asked: str
) -> None:
    tell(graph.database, f"UPDATE event SET tags = '[5]' WHERE created_at = {FIRST + DAY + 40_000}")
    run = all_three(graph) if asked == "by partitions" else export_run(graph, DAYS)
    assert not run.success
    assert said(run).startswith(f"1 days were not written\n{DAYS[1]}: the event ")
    assert read(data)[0].keys() == {DAYS[0], DAYS[2]}
    green, red = AssetPartitionStatus.MATERIALIZED, AssetPartitionStatus.FAILED
    assert statuses(graph) == [green, red, green]


def test_a_run_waits_for_another_export(graph: Graph, data: Path) -> None:
    exported(graph.database, data, [DAYS[0]])
    with (data / ".bigbrotr-export/lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        release = threading.Timer(2.0, fcntl.flock, [lock, fcntl.LOCK_UN])
        release.start()
        run = export_run(graph, DAYS)
        release.join()
    assert run.success
    messages = [entry.user_message for entry in graph.instance.all_logs(run.run_id)]
    assert sum("this run waits for its end" in message for message in messages) == 1
    assert read(data) == stored(graph.database)


def test_a_retry_writes_what_the_killed_run_had_not(graph: Graph, data: Path) -> None:
    killed = export_run(graph, DAYS[:2])
    before = (data / f"manifest/date={DAYS[0]}.json").stat().st_mtime_ns
    tags = {"retry_number": "1", "parent_run_id": killed.run_id, "root_run_id": killed.run_id}
    retry = export_run(graph, DAYS, **tags)
    assert retry.success
    assert list(graph.materializations(retry)) == [DAYS[2]]
    assert (data / f"manifest/date={DAYS[0]}.json").stat().st_mtime_ns == before


@pytest.fixture
def sensor(graph: Graph) -> Sensor:
    for run in graph.instance.get_runs():
        graph.instance.delete_run(run.run_id)
    return Sensor(graph)


def test_the_sensor_has_all_compared_once_a_day_and_between_asks_for_what_is_new_or_late(
    graph: Graph, data: Path, sensor: Sensor
) -> None:
    assert sensor.requests() == COMPARE
    assert sensor.tick(is_time=False).skip_message.startswith("The next look is in ")
    assert export_run(graph).success
    assert sensor.tick().skip_message == "No day is due; 3 are there."
    last, following, _ = (int(word) for word in sensor.cursor.split())
    assert following - last >= LOOK_EVERY
    late_events(graph)
    assert sensor.requests() == of_days(DAYS[1])
    assert export_run(graph, [DAYS[1]]).success
    put_events(graph.database, [(FIRST + 3 * DAY, "a fourth day", [])])
    assert sensor.requests() == []
    cover(graph.database, ONE, FIRST, FIRST + 4 * DAY)
    assert sensor.requests() == of_days("2025-03-04")
    assert read_by_duckdb(data) == {day: rows for day, rows in held(graph.database).items() if day != "2025-03-04"}


def test_a_day_that_is_red_is_left_to_the_run_that_compares_all(graph: Graph, data: Path, sensor: Sensor) -> None:
    tell(graph.database, f"UPDATE event SET tags = '[5]' WHERE created_at = {FIRST + DAY + 40_000}")
    sensor.tick()
    assert sensor.requests() == of_days(*DAYS)
    assert not export_run(graph, DAYS).success
    assert sensor.tick().skip_message == "No day is due, but for 1 that failed; 2 are there."
    tell(graph.database, f"UPDATE event SET tags = '[]' WHERE created_at = {FIRST + DAY + 40_000}")
    assert export_run(graph).success
    assert sensor.tick().skip_message == "No day is due; 3 are there."


def test_the_sensor_waits_while_an_export_is_under_way(graph: Graph, data: Path, sensor: Sensor) -> None:
    job = defs.resolve_job_def("export_days")
    run = graph.instance.create_run_for_job(
        job, status=dg.DagsterRunStatus.NOT_STARTED, tags={"dagster/partition": DAYS[0]}
    )
    assert sensor.tick().skip_message == "An export is under way."
    assert relays_in_flight(graph.instance, graph.database) == set(), "its partition is no relay"
    graph.instance.delete_run(run.run_id)
    assert sensor.requests() == COMPARE


def test_the_sensor_tells_dagster_of_what_the_command_wrote(graph: Graph, data: Path, sensor: Sensor) -> None:
    sensor.tick()
    exported(graph.database, data, [DAYS[0], "2019-01-01"])
    assert sensor.requests() == of_days(*DAYS[1:])
    assert statuses(graph) == [AssetPartitionStatus.MATERIALIZED, None, None]
    latest = graph.instance.get_latest_materialization_event(EVENT_DAY)
    assert latest is not None
    assert latest.asset_materialization is not None
    assert latest.asset_materialization.metadata["dagster/row_count"].value == 4
    assert latest.asset_materialization.metadata["share"].value == 1.0


def test_without_a_place_the_sensor_says_how_to_switch_it_on(
    graph: Graph, config_file: Path, sensor: Sensor
) -> None:
    assert "set `export.to` in the configuration" in sensor.tick().skip_message
    assert sensor.cursor == "0 0 0"


def test_storage_that_refuses_fails_no_tick(
    graph: Graph, config_file: Path, sensor: Sensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor.cursor = f"0 0 {int(time.time())}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    config_file.write_text("export: {to: s3://archive/sets}")
    assert sensor.tick().skip_message.startswith("s3://archive/sets: ")
