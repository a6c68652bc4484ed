"""Clicks in the real UI, with the real daemon: each does what a careful person expects of it."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
import yaml

from bigbrotr_dagster.archive.registry import register_relays, registered_relays, remove_relays
from bigbrotr_dagster.defs.runs.run_process import OUR_JOBS
from tests.defs.helpers import Graph, Relays, some_events
from tests.defs.test_automation import ONION
from tests.defs.test_daemon import RARELY, dagster_dev, run_of
from tests.defs.test_skipped_relays import was_well
from tests.e2e.graphql import JOB, Ui, eventually
from tests.sync.helpers import ask, stored_ids, tell

pytestmark = pytest.mark.slow

UNDERWAY = ("REQUESTED", "REQUESTING", "LAUNCHED")


@pytest.fixture(scope="module")
def ui(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    options = RARELY.replace("max_tasks: 5", "max_tasks: 5, max_per_host: 5")  # all the relays are of one host
    with dagster_dev(tmp_path_factory.mktemp("ui"), options) as running:
        yield running


@pytest.fixture(autouse=True)
def no_relays(graph: Graph, ui: Ui) -> None:
    graph.register()


def is_registered(graph: Graph, url: str) -> bool:
    return url in {relay.url for relay in registered_relays(graph.database)}


def launch(ui: Ui, job: str, config: Any, **tags: str) -> str:
    mutation = """mutation ($params: ExecutionParams!) {launchRun(executionParams: $params) {
        __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}
        ... on RunConfigValidationInvalid {errors {message}}}}"""
    params = {
        "selector": JOB | {"jobName": job},
        "runConfigData": config,
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
    }
    answer = ui.ask(mutation, params=params)["launchRun"]
    assert "run" in answer, answer
    return str(answer["run"]["runId"])


def delete(ui: Ui, *partitions: str) -> None:
    """As the UI's dialog does."""
    mutation = """mutation ($at: RepositorySelector!, $keys: [String!]!) {deleteDynamicPartitions(
        repositorySelector: $at, partitionsDefName: "relay", partitionKeys: $keys) {__typename}}"""
    answer = ui.ask(mutation, at=JOB, keys=list(partitions))["deleteDynamicPartitions"]["__typename"]
    assert answer == "DeleteDynamicPartitionsSuccess"


def runs_of(graph: Graph, backfill: str) -> int:
    return graph.instance.get_runs_count(dg.RunsFilter(tags={"dagster/backfill": backfill}))


def ended(graph: Graph, run_id: str) -> str:
    eventually(lambda: run_of(graph, run_id).is_finished, 120)
    return run_of(graph, run_id).status.value


def opens_with(ui: Ui, job: str) -> Any:
    """The config that the launchpad opens with, and that "scaffold" fills in."""
    query = """query ($at: PipelineSelector!) {runConfigSchemaOrError(selector: $at) {
        ... on RunConfigSchema {rootDefaultYaml}}}"""
    at = JOB | {"pipelineName": job}
    return yaml.safe_load(ui.ask(query, at=at)["runConfigSchemaOrError"]["rootDefaultYaml"])


def failures(graph: Graph, run_id: str) -> list[str]:
    events = graph.instance.all_logs(run_id)
    found = [event.get_dagster_event() for event in events if event.is_dagster_event]
    return [
        str(event.step_failure_data.user_failure_data.description)
        for event in found
        if event.is_step_failure and event.step_failure_data.user_failure_data is not None
    ]


def test_a_partition_that_is_added_in_the_ui_is_synced_registered_and_stays(
    graph: Graph, ui: Ui, relays: Relays
) -> None:
    relay = relays.serve(some_events(5, "added in the UI"))
    mutation = """mutation ($at: RepositorySelector!, $key: String!) {addDynamicPartition(
        repositorySelector: $at, partitionsDefName: "relay", partitionKey: $key) {__typename}}"""
    added = ui.ask(mutation, at=JOB, key=relay.url)["addDynamicPartition"]["__typename"]
    assert added == "AddDynamicPartitionSuccess"
    run_id = launch(ui, "relay_sync", {}, **{"dagster/partition": relay.url})
    assert ended(graph, run_id) == "SUCCESS"
    assert stored_ids(graph.database, relay.url) == {event.id for event in relay.events}
    eventually(lambda: is_registered(graph, relay.url), 90)
    assert relay.url in graph.instance.get_dynamic_partitions("relay")
    assert relay.url in ui.green()


def test_a_partition_that_is_deleted_in_the_ui_is_a_relay_less(graph: Graph, ui: Ui) -> None:
    gone, kept = "wss://gone.example.com", "wss://kept.example.com"
    graph.register(gone, kept)
    delete(ui, gone)
    eventually(lambda: not is_registered(graph, gone), 90)
    assert is_registered(graph, kept)
    assert set(graph.instance.get_dynamic_partitions("relay")) == {kept}


def test_a_key_that_is_no_relay_is_removed_again(graph: Graph, ui: Ui) -> None:
    graph.instance.add_dynamic_partitions("relay", ["nonsense"])
    eventually(lambda: "nonsense" not in graph.instance.get_dynamic_partitions("relay"), 90)


def test_a_relay_that_is_removed_while_a_backfill_waits_fails_nothing(
    graph: Graph, ui: Ui, relays: Relays
) -> None:
    """60 relays are two runs; both have what is removed, and what somebody deletes in the UI; the sensor ticks."""
    relay = relays.serve(some_events(3, "backfill"), delay=1.0)
    urls = [f"{relay.url}/{number:02}" for number in range(60)]
    graph.register(*urls)
    tell(
        graph.database,
        "INSERT INTO relay_limits (relay_url, attempted_at) SELECT url, now() FROM relay ON CONFLICT DO NOTHING",
    )
    backfill = ui.backfill(urls)
    remove_relays(graph.database, [urls[0], urls[-1]])
    eventually(lambda: ui.backfill_status(backfill) == "REQUESTED" and runs_of(graph, backfill), 60)
    deleted = [urls[1], urls[-2]]
    delete(ui, *deleted)
    assert not any(is_registered(graph, url) for url in deleted)
    assert {*deleted} <= set(graph.instance.get_dynamic_partitions("relay")), (
        "the backfill would fail without them"
    )
    seen = eventually(lambda: ui.backfill_status(backfill) not in UNDERWAY, 300)
    assert seen
    assert ui.backfill_status(backfill) == "COMPLETED_SUCCESS"
    assert all(stored_ids(graph.database, url) for url in urls[2:-2])
    eventually(lambda: set(graph.instance.get_dynamic_partitions("relay")) == set(urls[2:-2]), 120)


def test_a_backfill_with_a_network_that_is_off_ends_and_leaves_green_what_is_green(
    graph: Graph, ui: Ui, relays: Relays
) -> None:
    relay = relays.serve(some_events(3, "tor is off"))
    graph.register(relay.url, ONION)
    was_well(graph, ONION)
    backfill = ui.backfill([relay.url, ONION])
    eventually(lambda: ui.backfill_status(backfill) not in UNDERWAY, 200)
    assert ui.backfill_status(backfill) == "COMPLETED_SUCCESS"
    assert {relay.url, ONION} <= ui.green()


def test_what_the_launchpad_opens_with_does_no_harm(graph: Graph, ui: Ui, relays: Relays) -> None:
    """All jobs but `resync`, each as its launchpad opens and with an empty config, side by side."""
    relay = relays.serve(some_events(3, "launched"))
    graph.register(relay.url)
    graph.sync(relay.url)
    before = ask(graph.database, "SELECT relay_url, covered::text FROM sync_coverage ORDER BY 1")
    launched = {}
    for job in sorted(OUR_JOBS - {"resync"}):
        config = opens_with(ui, job)
        for given in [config] if not config else [config, {}]:
            launched[launch(ui, job, given)] = job
    for run_id, job in launched.items():
        assert ended(graph, run_id) == "SUCCESS", job
    after = ask(graph.database, "SELECT relay_url, covered::text FROM sync_coverage ORDER BY 1")
    assert {url for url, _ in after} >= {url for url, _ in before if url == relay.url}
    assert is_registered(graph, relay.url)


def test_resync_launched_as_it_is_scaffolded_forgets_nothing(graph: Graph, ui: Ui, relays: Relays) -> None:
    relay = relays.serve(some_events(3, "scaffolded"))
    graph.register(relay.url)
    graph.sync(relay.url)
    config = opens_with(ui, "resync")
    scaffolded = {"since": 0, "relays": [], "all_relays": False}
    op = config.setdefault("ops", {}).setdefault("read_again", {}).setdefault("config", {})
    op |= scaffolded | {key: value for key, value in op.items() if value is not None}
    before = ask(graph.database, "SELECT relay_url, covered::text FROM sync_coverage ORDER BY 1")
    assert relay.url in {url for url, _ in before}
    run_id = launch(ui, "resync", config)
    assert ended(graph, run_id) == "FAILURE"
    assert failures(graph, run_id) == ["Nothing was read again: give either `relays`, or `all_relays: true`."]
    for url, covered in before:  # a run of another test may have added to it
        kept = f"relay_url = '{url}' AND covered @> '{covered}'"
        assert ask(graph.database, f"SELECT count(*) FROM sync_coverage WHERE {kept}") == [(1,)]


def test_launched_bare_from_the_ui_it_syncs_a_relay_that_is_due(graph: Graph, ui: Ui, relays: Relays) -> None:
    relay = relays.serve(some_events(4, "bare"))
    register_relays(graph.database, [relay.url])
    tell(graph.database, "UPDATE relay SET discovered_at = discovered_at - 100000")
    tell(
        graph.database,
        "INSERT INTO relay_limits (relay_url, attempted_at) SELECT url, now() - interval '2 days' FROM relay"
        " ON CONFLICT DO NOTHING",
    )
    assert ended(graph, launch(ui, "relay_sync", {})) == "SUCCESS"
    assert stored_ids(graph.database, relay.url) == {event.id for event in relay.events}
