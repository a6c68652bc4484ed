"""Caps that hold whatever starts a run: a relay is synced by one process at a time, a network by so many tasks."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import orjson
import psycopg
import pytest
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from bigbrotr_dagster.defs.relays import assets
from bigbrotr_dagster.storage.locks import keeper as locks
from tests.defs.helpers import Graph, Relays, some_events
from tests.defs.test_daemon import dagster_dev
from tests.defs.test_interrupted import execute, patient
from tests.e2e.graphql import Ui, eventually
from tests.nostr.socks import noting_socks
from tests.relays.scripted import ScriptedRelay
from tests.sync.helpers import ask, stored_ids

DONE, FAILED = AssetPartitionStatus.MATERIALIZED, AssetPartitionStatus.FAILED


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "BUSY_WAIT", 0.5)
    monkeypatch.setattr(assets, "PARTITION_WAIT", 3.0)


@contextmanager
def held(graph: Graph, url: str) -> Iterator[None]:
    """Another process syncs this relay."""
    with psycopg.connect(graph.database, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [locks.lock_key(locks._RELAY, url)])
        ask(
            graph.database,
            f"INSERT INTO sync_attempt (relay_url, run_id) VALUES ('{url}', 'another-run') RETURNING 1",
        )
        yield
    ask(graph.database, "UPDATE sync_attempt SET finished_at = now() WHERE run_id = 'another-run' RETURNING 1")


def sync_command(urls: list[str]) -> "subprocess.Popen[str]":
    given = [part for url in urls for part in ("--relay", url)]
    return subprocess.Popen(
        [sys.executable, "-m", "bigbrotr_dagster", "sync", "--once", "--allow-private", "--json", *given],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def logged(run: dg.ExecuteInProcessResult, graph: Graph) -> str:
    return "\n".join(entry.user_message for entry in graph.instance.all_logs(run.run_id))


def test_a_batch_leaves_a_busy_relay_to_who_syncs_it(graph: Graph, relays: Relays) -> None:
    busy, free = relays.serve(some_events(3)), relays.serve(some_events(4))
    graph.register(busy.url, free.url)
    with held(graph, busy.url):
        run = graph.sync(busy.url, free.url)
    assert run.success
    assert set(graph.materializations(run)) == {free.url}
    assert graph.statuses(busy.url, free.url) == [None, DONE]
    assert busy.url not in graph.checks(run, "reachable"), "it did not fail"
    assert busy.requests == []
    assert "1 relays synced, 0 failed, 1 busy, 0 left out" in logged(run, graph)
    assert f"{busy.url}: another process is syncing this relay since" in logged(run, graph)
    assert "run another-run" in logged(run, graph)


def test_a_batch_names_whom_it_had_no_time_for(graph: Graph, relays: Relays, config_file: Path) -> None:
    config_file.write_text(
        "{allow_private: true, networks: {clearnet: {max_tasks: 1}}, timeouts: {max_duration: 0.5}}"
    )
    slow, late = relays.serve(some_events(3), delay=1), relays.serve(some_events(4))
    graph.register(slow.url, late.url)
    run = graph.sync(slow.url, late.url)
    assert run.success
    assert set(graph.materializations(run)) == {slow.url}
    assert "1 relays synced, 0 failed, 0 busy, 1 left out" in logged(run, graph)
    assert f"come first next time\n{late.url}" in logged(run, graph)


def test_a_batch_of_which_every_relay_is_busy_does_not_fail(graph: Graph, relays: Relays) -> None:
    graph.register(busy := relays.serve([]).url)
    with held(graph, busy):
        assert graph.sync(busy).success


@pytest.mark.slow
def test_a_partition_that_stays_busy_fails_its_run_and_says_why(graph: Graph, relays: Relays) -> None:
    graph.register(busy := relays.serve([]).url)
    with held(graph, busy):
        run = graph.sync(partition=busy)
    assert not run.success
    [failure] = [event for event in run.all_events if event.is_step_failure]
    said = str(failure.step_failure_data.user_failure_data)
    assert "1 of 1 relays are being synced by other runs, which record them" in said
    assert "run another-run" in said
    assert graph.sync(partition=busy).success
    assert graph.statuses(busy) == [DONE]


@pytest.mark.slow
def test_a_partition_waits_for_who_syncs_it(
    graph: Graph, relays: Relays, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "PARTITION_WAIT", 300.0)
    config_file.write_text(patient(config_file.read_text()))
    relay = relays.serve(some_events(30), cap=5, answers=1)
    graph.register(relay.url)
    batch = execute([relay.url], tmp_path)

    def answer_once_both_are_under_way() -> None:
        started = dg.RunsFilter(job_name="relay_sync", statuses=[dg.DagsterRunStatus.STARTED])
        try:
            eventually(lambda: len(graph.instance.get_runs(started)) == 2, 120)
        finally:
            relay.answers = None

    try:
        eventually(lambda: relay.requests, 60, every=0.05)
        answering = threading.Thread(target=answer_once_both_are_under_way)
        answering.start()
        run = graph.sync(partition=relay.url)
        answering.join()
        said, _ = batch.communicate(timeout=120)
    finally:
        batch.kill()
    assert batch.returncode == 0, said
    assert run.success
    assert relay.most_connections == 1
    assert stored_ids(graph.database, relay.url) == {event.id for event in relay.events}


def both_networks(relays: Relays) -> tuple[ScriptedRelay, ScriptedRelay, list[str], str]:
    """A relay that is 90 clearnet ones, one that is 30 on Tor, all their URLs, and options that have both.

    They answer nothing until their gates are opened, for which the options have the patience.
    """
    near, hidden = (relays.serve(some_events(3), answers=0) for _ in range(2))
    proxy, _ = relays.enter(noting_socks(urlsplit(hidden.url).port or 0))
    onion = "ws://" + "a" * 56 + ".onion"
    urls = [f"{near.url}/{number:03}" for number in range(90)] + [f"{onion}/{number:03}" for number in range(30)]
    options = f"""
allow_private: true
networks:
  clearnet: {{timeout: 600, max_tasks: 25, max_per_host: 25}}
  tor: {{enabled: true, timeout: 600, max_tasks: 5, max_per_host: 5, proxy_url: "{proxy}"}}
timeouts: {{idle: 3600}}
processing: {{end_lag: 0, since: 1789990000}}
"""
    return near, hidden, urls, options


def under_way(ui: Ui, tag: str) -> bool:
    """Whether the runs that have this tag have begun, and none of them has ended."""
    return set(ui.runs(tag).values()) == {"STARTED"}


def contenders(database: str, network: str, most: int) -> int:
    """How many processes hold slots of a network or wait for one; PostgreSQL shows a key as two halves."""
    names = [(locks._SLOT, f"{network}:{number}") for number in range(most)] + [(locks._WAITING, network)]
    keys = ", ".join(str(locks.lock_key(*name)) for name in names)
    held = "(classid::bigint << 32) + objid::bigint"
    [(count,)] = ask(
        database,
        f"SELECT count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory' AND {held} IN ({keys})"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    return int(count)


@pytest.mark.slow
def test_the_tasks_of_each_network_are_capped_over_schedule_backfill_and_command(
    graph: Graph, relays: Relays, config_file: Path, tmp_path: Path
) -> None:
    """A real tick, a real backfill, the command: the relays answer nothing until all three want both networks."""
    near, hidden, urls, options = both_networks(relays)
    config_file.write_text(options)
    graph.register(*urls)
    scheduled, commanded, filled = urls[:40] + urls[90:100], urls[40:60] + urls[100:110], urls[60:90] + urls[110:]
    tried = "INSERT INTO relay_limits (relay_url, attempted_at) SELECT url, now() + interval '1 hour' FROM relay"
    ask(graph.database, f"{tried} RETURNING 1")
    listed = ", ".join(f"'{url}'" for url in scheduled)
    due = f"UPDATE relay_limits SET attempted_at = to_timestamp(0) WHERE relay_url IN ({listed}) RETURNING 1"
    ask(graph.database, due)
    with dagster_dev(tmp_path, f"{options}\ninterval: 60\n") as ui:
        backfill = ui.backfill(filled)
        command = sync_command(commanded)
        try:
            eventually(
                lambda: contenders(graph.database, "clearnet", 25) == contenders(graph.database, "tor", 5) == 3,
                300,
            )
            assert under_way(ui, "dagster/schedule_name")
            assert under_way(ui, "dagster/backfill")
            assert command.poll() is None
            eventually(lambda: near.connections == 25 and hidden.connections == 5, 60)
            near.answers = hidden.answers = None
            printed, _ = command.communicate(timeout=180)
        finally:
            command.kill()
            command.communicate()
        eventually(lambda: ui.backfill_status(backfill) == "COMPLETED_SUCCESS", 180)
        eventually(lambda: set(ui.runs("dagster/schedule_name").values()) == {"SUCCESS"}, 180)
    report = orjson.loads(printed.splitlines()[-1])
    assert (report["relays"], report["relays_failed"], report["relays_busy"]) == (30, 0, 0)
    assert graph.statuses(*urls) == [DONE] * 120
    assert near.most_connections == 25
    assert hidden.most_connections == 5
