"""The real daemon, code server and UI: terminate, kill and restart in the middle of a batch of 200 relays."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psutil
import pytest

from bigbrotr_dagster.defs.runs.run_process import PROCESS_TAG
from tests.defs.conftest import CONFIG
from tests.defs.helpers import Graph, Relays, some_events
from tests.defs.test_interrupted import ENOUGH, finished, nothing_is_claimed_that_is_not_stored, patient, recorded
from tests.e2e.graphql import Ui, eventually
from tests.killing import kill_each
from tests.machine import within
from tests.ports import free_port
from tests.relays.scripted import ScriptedRelay
from tests.sync.helpers import ask, stored_ids

pytestmark = pytest.mark.slow

Batch = tuple[ScriptedRelay, list[str]]


RARELY = f"{patient(CONFIG)}\ninterval: 86400\n"
"""The schedule keeps out of it, however slow the machine is."""


@contextmanager
def dagster_dev(folder: Path, options: str = RARELY) -> Iterator[Ui]:
    """`dagster dev` in the environment of the fixture `graph`; in the end every process of it is gone."""
    port = free_port()
    config = folder / "daemon.yaml"
    config.write_text(options)
    with (folder / f"dev-{port}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster", "dev", "-m", "bigbrotr_dagster.definitions", "-p", str(port)],
            env=os.environ | {"BIGBROTR_CONFIG": str(config)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            ui = Ui(port)
            eventually(ui.answers, 90)
            yield ui
        finally:
            kill_all(process)


def kill_all(process: "subprocess.Popen[bytes]") -> None:
    """As a power cut would, but for PostgreSQL."""
    root = psutil.Process(process.pid)
    started = [root, *root.children(recursive=True)]
    kill_each(one for one in started if one.is_running() and one.name() != "postgres")
    process.wait()


@pytest.fixture
def ui(graph: Graph, tmp_path: Path) -> Iterator[Ui]:
    """For one test: an instance must not have two daemons at once."""
    with dagster_dev(tmp_path) as running:
        yield running


@pytest.fixture
def batch(graph: Graph, relays: Relays, tmp_path: Path) -> Batch:
    """200 relays with the same 12 events that nothing takes for due; the last ones are not answered."""
    relay = relays.serve(some_events(12, str(tmp_path)), cap=6, delay=0.1, answers=ENOUGH)
    urls = sorted(f"{relay.url}/{number:03}" for number in range(200))
    graph.register(*urls)
    tried = "INSERT INTO relay_limits (relay_url, attempted_at) SELECT url, now() + interval '1 hour' FROM relay"
    ask(graph.database, f"{tried} ON CONFLICT DO NOTHING RETURNING 1")
    return relay, urls


def start_and_wait(graph: Graph, ui: Ui, urls: list[str]) -> str:
    """Start a run and wait until a part of it is done; returns its id."""
    run_id = ui.launch({"relays": urls})
    eventually(lambda: len(finished(graph, urls)) >= 40, 60)
    return run_id


def run_of(graph: Graph, run_id: str) -> dg.DagsterRun:
    run = graph.instance.get_run_by_id(run_id)
    assert run is not None
    return run


def retry_of(graph: Graph, run_id: str) -> dg.DagsterRun | None:
    runs = graph.instance.get_runs(dg.RunsFilter(tags={"dagster/parent_run_id": run_id}))
    return runs[0] if runs and runs[0].is_finished else None


def check_retry(graph: Graph, run_id: str, batch: Batch, done: set[str]) -> None:
    relay, urls = batch
    relay.delay, relay.answers = 0, None
    retry = eventually(lambda: retry_of(graph, run_id), 150)
    assert retry.status is dg.DagsterRunStatus.SUCCESS
    assert retry.tags["dagster/retry_number"] == "1"
    told = recorded(graph, urls)
    assert {url for url, by in told.items() if by == retry.run_id} == set(urls) - done, "what is fresh is skipped"
    everything = {event.id for event in relay.events}
    assert all(stored_ids(graph.database, url) == everything for url in urls)


def test_terminate_keeps_and_records_what_is_done_and_ends_canceled(graph: Graph, ui: Ui, batch: Batch) -> None:
    relay, urls = batch
    run_id = start_and_wait(graph, ui, urls)
    mutation = """mutation ($id: String!) {terminateRun(runId: $id) {__typename}}"""
    with within(10):
        assert ui.ask(mutation, id=run_id)["terminateRun"]["__typename"] == "TerminateRunSuccess"
        eventually(lambda: run_of(graph, run_id).is_finished, 60)
    assert run_of(graph, run_id).status is dg.DagsterRunStatus.CANCELED
    done = finished(graph, urls)
    assert 40 <= len(done) < 200
    assert set(recorded(graph, urls)) == done
    everything = {event.id for event in relay.events}
    assert all(stored_ids(graph.database, url) == everything for url in done)
    nothing_is_claimed_that_is_not_stored(graph, relay, urls)


def test_a_killed_run_is_started_again_once_and_skips_what_is_done(graph: Graph, ui: Ui, batch: Batch) -> None:
    relay, urls = batch
    run_id = start_and_wait(graph, ui, urls)
    pid = int(run_of(graph, run_id).tags[PROCESS_TAG].split()[1])
    assert pid != os.getpid()
    psutil.Process(pid).kill()
    eventually(lambda: run_of(graph, run_id).is_finished, 60)
    assert run_of(graph, run_id).status is dg.DagsterRunStatus.FAILURE
    done = finished(graph, urls)
    nothing_is_claimed_that_is_not_stored(graph, relay, urls)
    check_retry(graph, run_id, batch, done)


def test_after_a_power_cut_the_run_is_started_again(graph: Graph, batch: Batch, tmp_path: Path) -> None:
    """Nobody is left who could notice that the run died: the sensor does, at its first tick."""
    relay, urls = batch
    with dagster_dev(tmp_path) as ui:
        run_id = start_and_wait(graph, ui, urls)
    assert run_of(graph, run_id).status is dg.DagsterRunStatus.STARTED
    done = finished(graph, urls)
    nothing_is_claimed_that_is_not_stored(graph, relay, urls)
    with dagster_dev(tmp_path):
        check_retry(graph, run_id, batch, done)
    assert run_of(graph, run_id).status is dg.DagsterRunStatus.FAILURE
