"""`dev --demo` as a user meets it: one command, Ctrl-C. `test_browser.py` looks at the same process before."""

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psycopg
import pytest

from bigbrotr_dagster.demo import TO_BE_FOUND, URLS
from bigbrotr_dagster.demo.events import DEAD_PORT, HOST, LYING_PORT, SILENT_PORT
from bigbrotr_dagster.storage import embedded
from tests.conftest import in_database
from tests.defs.helpers import Relays, some_events
from tests.defs.test_relay_cursor import METADATA
from tests.e2e.dev_command import MARK, Dev, living
from tests.e2e.graphql import eventually
from tests.e2e.program import environment, run, start
from tests.machine import within
from tests.ports import free_port
from tests.sync.helpers import stored_ids

pytestmark = pytest.mark.slow


FALSE_PORTS = (SILENT_PORT, LYING_PORT, DEAD_PORT)


@pytest.mark.parametrize("after", [0.0, 3.0])
def test_ctrl_c_while_it_starts_stops_every_process_without_a_traceback(after: float, tmp_path: Path) -> None:
    mark = secrets.token_hex(8)
    process = start(tmp_path, "dev", "--port", str(free_port()), **{MARK: mark})
    assert process.stdout is not None
    assert process.stdout.readline() == "Starting Dagster ...\n"
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert living(mark) == []
    assert process.returncode == 0, stderr
    assert "Traceback" not in stdout + stderr


def test_within_90_seconds_three_partitions_are_green_with_metadata(dev: Dev, backfill_of_three: str) -> None:
    assert dev.seconds < 90
    for url in URLS:
        assert all(labels >= METADATA for labels in dev.ui.materializations(url).values())


def test_what_is_named_is_found_if_it_is_real(dev: Dev, tmp_path: Path) -> None:
    eventually(lambda: TO_BE_FOUND in dev.ui.green(), 150)
    listed = run(tmp_path, "relays", "list", BIGBROTR_DATA_DIR=str(dev.data)).stdout.splitlines()
    assert {line.split("\t")[1] for line in listed} >= {*URLS, TO_BE_FOUND}
    assert not {line.split("\t")[1] for line in listed} & {f"ws://{HOST}:{port}" for port in FALSE_PORTS}
    candidates = run(tmp_path, "relays", "candidates", BIGBROTR_DATA_DIR=str(dev.data)).stdout.splitlines()
    assert len([line for line in candidates if "\tnamed by " in line]) == len(FALSE_PORTS)


def test_the_schedules_and_sensors_are_on(dev: Dev) -> None:
    query = "query ($at: RepositorySelector!) {{{0}(repositorySelector: $at) {{{1} {{results {{name {2}}}}}}}}}"
    at = {"repositoryName": "__repository__", "repositoryLocationName": "bigbrotr_dagster.definitions"}
    found = dev.ui.ask(query.format("schedulesOrError", "... on Schedules", "scheduleState {status}"), at=at)[
        "schedulesOrError"
    ]["results"]
    assert {one["name"]: one["scheduleState"]["status"] for one in found} == {
        "relay_sync_schedule": "RUNNING",
        "relay_health_schedule": "RUNNING",
        "cleanup_schedule": "RUNNING",
        "report_schedule": "RUNNING",
    }
    found = dev.ui.ask(query.format("sensorsOrError", "... on Sensors", "sensorState {status}"), at=at)
    assert {one["sensorState"]["status"] for one in found["sensorsOrError"]["results"]} == {"RUNNING"}


def test_each_asset_names_what_keeps_it_fresh_and_none_looks_stale(dev: Dev) -> None:
    """The UI says "No automations found" and "Unsynced" by these answers."""
    query = """{assetNodes {assetKey {path} staleStatus targetingInstigators {
        ... on Sensor {name} ... on Schedule {name}}}}"""
    eventually(dev.ui.has_picture, 120)
    nodes = {node["assetKey"]["path"][-1]: node for node in dev.ui.ask(query)["assetNodes"]}
    automation = {name: {one["name"] for one in node["targetingInstigators"]} for name, node in nodes.items()}
    assert automation == {
        "relay_candidates": {"relay_discovery_sensor"},
        "relay_validated": {"relay_discovery_sensor"},
        "relays": {"relay_discovery_sensor"},
        "relay_cursor": {"relay_partitions", "relay_sync_schedule"},
        "relay_health": {"relay_health_schedule"},
        "event": {"archive_stats_refresh"},
        "event_relay": {"archive_stats_refresh"},
        "archive_stats": {"archive_stats_refresh"},
        "sync_coverage": {"archive_coverage_refresh"},
        "sync_gap": {"archive_coverage_refresh"},
        "archive_coverage": {"archive_coverage_refresh"},
        "event_day": {"export_days_sensor"},
        "archive_report": {"report_schedule"},
    }
    without_a_run = ("event", "event_relay", "archive_stats", "sync_coverage", "sync_gap", "archive_coverage")
    assert {nodes[name]["staleStatus"] for name in without_a_run} == {"FRESH"}


def test_a_second_dev_on_the_same_port_is_one_line(dev: Dev, tmp_path: Path) -> None:
    second = run(tmp_path, "dev", "--port", str(dev.ui.port))
    assert second.code == 1
    assert second.stderr == f"bigbrotr-dagster: port {dev.ui.port} is in use; --port takes another one\n"
    assert not (tmp_path / ".bigbrotr").exists()


def test_dagsters_own_command_materializes_a_partition(dev: Dev) -> None:
    before = dev.ui.materializations(URLS[1])
    command = ["asset", "materialize", "-m", "bigbrotr_dagster.definitions", "--select", "relay_cursor"]
    places = {"BIGBROTR_DATA_DIR": str(dev.data), "DAGSTER_HOME": str(dev.data / "dagster")}
    result = subprocess.run(
        [sys.executable, "-m", "dagster", *command, "--partition", URLS[1]],
        cwd=dev.home,
        env=environment(dev.home, BIGBROTR_ALLOW_PRIVATE="1", **places),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    new = {run_id: labels for run_id, labels in dev.ui.materializations(URLS[1]).items() if run_id not in before}
    assert new
    assert all(labels >= METADATA for labels in new.values())


def test_a_scheduled_tick_leaves_a_materialization_for_each_partition(dev: Dev) -> None:
    def synced(url: str) -> set[str]:
        """The scheduled runs that did: others check how relays are."""
        ticked = {key for key, status in dev.ui.runs("dagster/schedule_name").items() if status == "SUCCESS"}
        return ticked & set(dev.ui.materializations(url))

    for url in URLS:
        assert eventually(partial(synced, url), 130)


def test_a_backfill_of_three_partitions_completes(dev: Dev, backfill_of_three: str) -> None:
    underway = ("REQUESTED", "REQUESTING", "LAUNCHED")
    assert eventually(lambda: dev.ui.backfill_status(backfill_of_three) not in underway, 120)
    assert dev.ui.backfill_status(backfill_of_three) == "COMPLETED_SUCCESS"
    runs = set(dev.ui.runs("dagster/backfill"))
    for url in URLS:
        assert runs & set(dev.ui.materializations(url))


def test_ctrl_c_in_the_middle_of_a_run_keeps_its_events_and_stops_every_process(dev: Dev) -> None:
    with Relays() as relays:
        slow = relays.serve(some_events(500, "slow"), cap=6, delay=0.4)
        run_id = dev.ui.launch({"relays": [slow.url]})
        eventually(lambda: len(slow.requests) >= 4, 60)
        names = {process.name() for process in dev.processes()}
        assert "postgres" in names
        with within(15):
            dev.process.send_signal(signal.SIGINT)
            stdout, stderr = dev.process.communicate(timeout=120)
        assert dev.processes() == []
    assert dev.process.returncode == 0, stderr
    assert "Traceback" not in stdout + stderr
    assert re.search(r"^\d\d:\d\d \d+ relays registered, \d[\d,]* events stored so far$", stdout, re.MULTILINE)
    assert re.search(r"^\d\d:\d\d \d+ syncs? done", stdout, re.MULTILINE)
    assert "No cursor for event type" not in stderr, "a warning of nothing"
    assert not embedded.status(dev.data).running

    url = embedded.start(dev.data)
    try:
        assert len(stored_ids(url, slow.url)) >= 8  # some requests check what others brought
        with psycopg.connect(in_database(url, "bigbrotr_dagster")) as connection:
            query = b"SELECT status FROM runs WHERE run_id = %s"
            assert connection.execute(query, [run_id]).fetchone() == ("CANCELED",)
    finally:
        embedded.leave(dev.data)


@pytest.mark.skipif(os.geteuid() != 0, reason="the server's owner reads its own files only")
def test_nothing_was_written_outside_the_data_folder(dev: Dev) -> None:
    made = {path.name for path in dev.home.iterdir()}
    assert made <= {"archive", "each_minute.yaml", ".cache", ".config"}, made
