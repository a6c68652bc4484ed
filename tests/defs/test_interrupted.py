"""A signal in the middle of a run: what was received is stored, what is done is recorded, the rest is pending."""

import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import orjson
import pytest

from tests.defs.helpers import Graph, Relays, some_events
from tests.e2e.graphql import eventually
from tests.machine import within
from tests.relays.scripted import ScriptedRelay
from tests.sync.helpers import ask, stored_ids

pytestmark = pytest.mark.slow

ENOUGH = 700
"""Requests to 200 relays, of which each takes five: 40 are done for certain, and 200 are not."""


def write_run_config(urls: list[str], folder: Path) -> Path:
    config = folder / "run.yaml"
    config.write_bytes(orjson.dumps({"ops": {"relay_cursor": {"config": {"relays": urls}}}}))
    return config


def execute(urls: list[str], folder: Path) -> "subprocess.Popen[str]":
    """The run in a process of its own, as a code server would have it."""
    config = write_run_config(urls, folder)
    arguments = ["job", "execute", "-m", "bigbrotr_dagster.definitions", "-j", "relay_sync", "-c", str(config)]
    return subprocess.Popen(
        [sys.executable, "-m", "dagster", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def patient(options: str) -> str:
    """A configuration that lets relays be silent for as long as a test keeps their gates shut."""
    return options.replace("timeout: 10", "timeout: 600")


@pytest.mark.parametrize(
    ("dev", "ends_as"),
    [(True, dg.DagsterRunStatus.CANCELED), (False, dg.DagsterRunStatus.FAILURE)],
    ids=["by the operator of dev", "by the machine"],
)
def test_a_run_that_is_interrupted_keeps_what_it_has(
    graph: Graph,
    relays: Relays,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config_file: Path,
    dev: bool,
    ends_as: dg.DagsterRunStatus,
) -> None:
    if dev:
        monkeypatch.setenv("BIGBROTR_DEV", "1")
    config_file.write_text(patient(config_file.read_text()))
    quick = relays.serve(some_events(5, f"quick {dev}"))
    slow = relays.serve(some_events(60, f"slow {dev}"), cap=6, delay=0.4, answers=6)
    graph.register(quick.url, slow.url)
    process = execute([quick.url, slow.url], tmp_path)
    try:
        eventually(lambda: len(slow.requests) >= 4 and finished(graph, [quick.url]), 60, every=0.05)
        with within(10):
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=120)
    finally:
        process.kill()

    [run] = graph.instance.get_runs(limit=1)
    assert run.status is ends_as, said
    records = graph.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey("relay_cursor"), asset_partitions=[quick.url]), limit=10
    ).records
    assert [record.run_id for record in records] == [run.run_id]
    have = stored_ids(graph.database, slow.url)
    assert 8 <= len(have) < 60  # some requests check what others brought
    covered = ask(
        graph.database,
        "SELECT lower(part), upper(part) FROM sync_coverage, unnest(covered) AS part"
        f" WHERE relay_url = '{slow.url}'",
    )
    for lower, upper in covered:
        assert {event.id for event in slow.events if lower <= event.created_at < upper} <= have

    slow.delay, slow.answers = 0, None
    asked = len(slow.requests)
    again = graph.sync(slow.url)
    assert again.success
    assert stored_ids(graph.database, slow.url) == {event.id for event in slow.events}
    left = graph.materializations(again)[slow.url]
    assert left["observations_new"] == 60 - len(have)
    assert len(slow.requests) - asked <= 1.3 * (60 - len(have)) // 5 + 8  # and some confirm the end


def recorded(graph: Graph, urls: list[str]) -> dict[str, str]:
    """The run that materialized each of these partitions last."""
    records = graph.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey("relay_cursor"), asset_partitions=urls), limit=1000
    ).records
    return {str(record.partition_key): record.run_id for record in reversed(records)}


def finished(graph: Graph, urls: list[str]) -> set[str]:
    return {url for (url,) in ask(graph.database, "SELECT relay_url FROM sync_attempt WHERE ok")} & set(urls)


@pytest.fixture
def two_hundred(graph: Graph, relays: Relays, config_file: Path) -> tuple[ScriptedRelay, list[str]]:
    """200 relays with the same 12 events; each takes a while, and the last ones are not answered."""
    options = patient(config_file.read_text()).replace("max_tasks: 5", "max_tasks: 20, max_per_host: 20")
    config_file.write_text(options)
    relay = relays.serve(some_events(12, str(config_file)), cap=6, delay=0.05, answers=ENOUGH)
    urls = sorted(f"{relay.url}/{number:03}" for number in range(200))
    graph.register(*urls)
    return relay, urls


def in_the_middle(graph: Graph, urls: list[str], process: "subprocess.Popen[str]") -> None:
    """Wait until a part of the batch is done, and recorded or not."""

    def begun() -> bool:
        assert process.poll() is None
        return len(finished(graph, urls)) >= 40

    eventually(begun, 60, every=0.05)


def nothing_is_claimed_that_is_not_stored(graph: Graph, relay: ScriptedRelay, urls: list[str]) -> None:
    covered = ask(
        graph.database,
        "SELECT relay_url, lower(part), upper(part) FROM sync_coverage, unnest(covered) AS part",
    )
    for url, lower, upper in covered:
        if url in urls:
            proved = {event.id for event in relay.events if lower <= event.created_at < upper}
            assert proved <= stored_ids(graph.database, url)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_in_the_middle_of_a_batch_nothing_is_lost_and_what_is_recorded_is_stored(
    graph: Graph, two_hundred: tuple[ScriptedRelay, list[str]], tmp_path: Path, number: signal.Signals
) -> None:
    relay, urls = two_hundred
    process = execute(urls, tmp_path)
    try:
        in_the_middle(graph, urls, process)
        with within(10):
            process.send_signal(number)
            process.communicate(timeout=120)
    finally:
        process.kill()

    [run] = graph.instance.get_runs(limit=1)
    done, told = finished(graph, urls), set(recorded(graph, urls))
    assert 40 <= len(done) < 200
    everything = {event.id for event in relay.events}
    assert all(stored_ids(graph.database, url) == everything for url in told)
    nothing_is_claimed_that_is_not_stored(graph, relay, urls)
    if number is signal.SIGKILL:
        assert told <= done
        assert run.status is dg.DagsterRunStatus.STARTED, "nobody was left to tell"
    else:
        assert told == done

    relay.delay, relay.answers = 0, None
    again = graph.sync(*urls, tags={"dagster/retry_number": "1"})
    assert again.success
    assert set(graph.materializations(again)) == set(urls) - done, "what is fresh is skipped"
    assert all(stored_ids(graph.database, url) == everything for url in urls)
