"""What starts runs: the sensor that follows the registry, the schedule, and the daily clean-up."""

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import orjson
import pytest

from bigbrotr_dagster.archive.registry import register_relays, remove_relays
from bigbrotr_dagster.config import load_config
from bigbrotr_dagster.definitions import defs
from bigbrotr_dagster.defs.automation import relay_partitions, relay_sync, relay_sync_schedule
from bigbrotr_dagster.defs.automation.schedules import cron_for, tick_seconds
from bigbrotr_dagster.defs.runs.in_flight import relays_in_flight
from tests.defs.helpers import Graph, Relays, dead_url, some_events
from tests.sync.helpers import ask

RELAYS = dg.AssetKey("relays")
ONION = f"ws://{'a' * 55}d.onion"


def keys(requests: list[dg.RunRequest]) -> list[list[str]]:
    return [request.run_config["ops"]["relay_cursor"]["config"]["relays"] for request in requests]


def sensor_tick(graph: Graph) -> list[dg.RunRequest]:
    with dg.build_sensor_context(instance=graph.instance, resources=graph.resources, definitions=defs) as context:
        return list(relay_partitions.evaluate_tick(context).run_requests or [])


def schedule_tick(graph: Graph, minute: int = 0, registered: str = "an hour ago") -> list[dg.RunRequest]:
    if registered == "an hour ago":
        ask(graph.database, "WITH old AS (UPDATE relay SET discovered_at = discovered_at - 3600) SELECT 1")
    at = datetime(2026, 11, 21, 12, minute, tzinfo=UTC)
    with dg.build_schedule_context(
        instance=graph.instance, scheduled_execution_time=at, resources=graph.resources
    ) as context:
        return list(relay_sync_schedule.evaluate_tick(context).run_requests or [])


def partitions(graph: Graph) -> set[str]:
    return set(graph.instance.get_dynamic_partitions("relay"))


@pytest.fixture(autouse=True)
def no_relays(graph: Graph) -> None:
    graph.register()
    for run in graph.instance.get_runs():
        graph.instance.delete_run(run.run_id)


def in_flight(graph: Graph, status: dg.DagsterRunStatus, **options: object) -> dg.DagsterRun:
    """A run of the job as Dagster stores it."""
    run = graph.instance.create_run_for_job(defs.resolve_job_def("relay_sync"), status=status, **options)  # type: ignore[arg-type]
    assert isinstance(run, dg.DagsterRun)
    return run


@pytest.mark.slow
def test_partitions_follow_the_registry_and_new_relays_are_synced_at_once(graph: Graph) -> None:
    urls = [f"wss://relay-{number}.example.com" for number in range(300)]
    register_relays(graph.database, urls)
    requests = sensor_tick(graph)
    assert partitions(graph) == set(urls)
    assert [len(batch) for batch in keys(requests)] == [150, 150]
    assert sorted(url for batch in keys(requests) for url in batch) == sorted(urls)
    latest = graph.instance.get_latest_materialization_event(RELAYS)
    assert latest is not None
    assert latest.asset_materialization is not None
    assert latest.asset_materialization.metadata["dagster/row_count"].value == 300
    assert [one.run_key for one in sensor_tick(graph)] == [one.run_key for one in requests], "evaluated twice"
    remove_relays(graph.database, urls[1:])
    left = partitions(graph)
    while len(left) > 1:  # one tick, unless the machine is busy: a tick removes as many as it can in its time
        sensor_tick(graph)
        assert partitions(graph) < left
        left = partitions(graph)
    assert left == {urls[0]}


def test_a_relay_that_was_tried_is_left_to_the_schedule(graph: Graph, relays: Relays) -> None:
    tried, dead = relays.serve(some_events(2)).url, dead_url()
    graph.register(tried, dead)
    graph.sync(tried, dead)
    assert sensor_tick(graph) == []
    graph.register(tried, dead, new := dead_url())
    assert keys(sensor_tick(graph)) == [[new]]


def test_a_networks_runs_have_the_tags_that_it_is_given(graph: Graph, config_file: Path) -> None:
    """What Kubernetes or Celery is to know of them; the network's own tag stays."""
    needs = {"container_config": {"resources": {"limits": {"memory": "2Gi"}}}}
    tags = {"dagster-k8s/config": needs, "dagster/priority": 1, "bigbrotr/network": "another"}
    options = {"allow_private": True, "networks": {"tor": {"enabled": True, "run_tags": tags}}}
    config_file.write_bytes(orjson.dumps(options))
    graph.register(dead_url(), ONION)
    by_network = {request.tags["bigbrotr/network"]: request.tags for request in schedule_tick(graph)}
    assert set(by_network) == {"clearnet", "tor"}
    assert orjson.loads(by_network["tor"]["dagster-k8s/config"]) == needs
    assert by_network["tor"]["dagster/priority"] == "1"
    assert "dagster-k8s/config" not in by_network["clearnet"]


def test_a_tick_batches_the_due_relays_by_network(graph: Graph, config_file: Path) -> None:
    config_file.write_text(
        "{allow_private: true, partitions_per_run: 2, networks: {tor: {enabled: true}, i2p: {enabled: false}}}"
    )
    clearnet = [f"wss://relay-{number}.example.com" for number in range(3)]
    local = "ws://127.0.0.1:7777"
    register_relays(graph.database, [*clearnet, local, ONION, "ws://relay.i2p"])
    requests = schedule_tick(graph)
    batches = defaultdict(list)
    for request, urls in zip(requests, keys(requests), strict=True):
        batches[request.tags["bigbrotr/network"]].append(urls)
    assert set(batches) == {"clearnet", "tor"}
    assert batches["tor"] == [[ONION]]
    assert [len(urls) for urls in batches["clearnet"]] == [2, 2]
    assert sorted(url for urls in batches["clearnet"] for url in urls) == sorted([*clearnet, local])
    assert len({request.run_key for request in requests}) == 3
    assert sorted(request.tags["bigbrotr/relays"] for request in requests) == ["1", "2", "2"]
    assert all("2026-11-21T12:00:00" in str(request.run_key) for request in requests)
    assert {request.run_key for request in schedule_tick(graph, 5)}.isdisjoint(one.run_key for one in requests)


def test_a_relay_that_was_just_synced_is_not_due(graph: Graph, relays: Relays) -> None:
    graph.register(done := relays.serve([]).url, other := dead_url())
    graph.sync(done)
    assert keys(schedule_tick(graph)) == [[other]]
    ask(graph.database, "UPDATE relay_limits SET attempted_at = now() - interval '4 minutes' RETURNING 1")
    assert sorted(keys(schedule_tick(graph))[0]) == sorted([done, other])


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTING", "STARTED", "CANCELING"])
def test_a_relay_whose_run_is_in_flight_is_not_asked_for_again(graph: Graph, status: str) -> None:
    graph.register(batched := dead_url(), alone := dead_url(), free := dead_url())
    of_batch = {"ops": {"relay_cursor": {"config": {"relays": [batched]}}}}
    in_flight(graph, dg.DagsterRunStatus(status), run_config=of_batch)
    in_flight(graph, dg.DagsterRunStatus(status), tags={"dagster/partition": alone})
    assert relays_in_flight(graph.instance, graph.database) == {batched, alone}
    assert keys(schedule_tick(graph)) == [[free]]
    assert keys(sensor_tick(graph)) == [[free]]


def test_the_range_of_a_backfill_is_in_flight_too(graph: Graph) -> None:
    graph.register(*[dead_url() for _ in range(4)])
    one, two, three, four = graph.instance.get_dynamic_partitions("relay")
    tags = {"dagster/asset_partition_range_start": two, "dagster/asset_partition_range_end": three}
    in_flight(graph, dg.DagsterRunStatus.STARTING, tags=tags)
    assert relays_in_flight(graph.instance, graph.database) == {two, three}
    assert sorted(keys(schedule_tick(graph))[0]) == sorted([one, four])


def test_what_a_running_batch_is_done_with_is_due_again(graph: Graph, relays: Relays) -> None:
    """One slow relay must not hold back hundreds of others."""
    done, slow = relays.serve([]).url, relays.serve([]).url
    graph.register(done, slow)
    of_batch = {"ops": {"relay_cursor": {"config": {"relays": [done, slow]}}}}
    in_flight(graph, dg.DagsterRunStatus.STARTED, run_config=of_batch)
    graph.sync(done, slow)
    unfinished = f"UPDATE sync_attempt SET finished_at = NULL WHERE relay_url = '{slow}' RETURNING 1"
    ask(graph.database, unfinished)
    assert relays_in_flight(graph.instance, graph.database) == {slow}
    ask(graph.database, "UPDATE relay_limits SET attempted_at = now() - interval '4 minutes' RETURNING 1")
    assert keys(schedule_tick(graph)) == [[done]]


def test_a_relay_that_was_just_registered_is_left_to_the_sensor(graph: Graph) -> None:
    """Both tick at the same moment: neither knows of the other's runs."""
    graph.register(url := dead_url())
    assert schedule_tick(graph, registered="now") == []
    assert keys(schedule_tick(graph)) == [[url]]


def test_the_most_behind_are_dealt_out_over_the_runs(graph: Graph, config_file: Path) -> None:
    config_file.write_text("{partitions_per_run: 2, allow_private: true}")
    urls = sorted(dead_url() for _ in range(4))
    graph.register(*urls)
    for number, url in enumerate(urls):
        position = f"jsonb_build_object('timestamp', {number + 1}, 'id', '')"
        ask(
            graph.database,
            f"INSERT INTO service_state VALUES ('synchronizer', 'cursor', '{url}', {position}) RETURNING 1",
        )
    assert keys(schedule_tick(graph)) == [[urls[0], urls[2]], [urls[1], urls[3]]]


def test_where_many_relays_are_due_runs_are_larger_not_more(graph: Graph, config_file: Path) -> None:
    config_file.write_text("{partitions_per_run: 10, runs_per_tick: 3}")
    register_relays(graph.database, [f"wss://relay-{number}.example.com" for number in range(100)])
    assert [len(urls) for urls in keys(schedule_tick(graph))] == [34, 33, 33]


def test_cleanup_removes_the_cursors_and_partitions_of_relays_that_are_gone(graph: Graph, relays: Relays) -> None:
    kept, gone = relays.serve(some_events(2)).url, relays.serve(some_events(3)).url
    graph.register(kept, gone)
    graph.sync(kept, gone)
    stored = ask(graph.database, "SELECT count(*) FROM event")
    remove_relays(graph.database, [gone])
    assert defs.resolve_job_def("cleanup").execute_in_process(instance=graph.instance).success
    cursors = {key for (key,) in ask(graph.database, "SELECT state_key FROM service_state")}
    assert kept in cursors
    assert gone not in cursors
    assert partitions(graph) == {kept}
    assert ask(graph.database, "SELECT count(*) FROM event") == stored


def test_the_registry_is_an_asset_with_its_size(graph: Graph) -> None:
    register_relays(graph.database, ["wss://a.example.com", ONION])
    job = defs.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=graph.instance, asset_selection=[RELAYS])
    [event] = result.asset_materializations_for_node("relays")
    found = {key: value.value for key, value in event.metadata.items()}
    configured, configuration = str(found.pop("configured")), found.pop("configuration")
    assert found == {"dagster/row_count": 2, "relays_clearnet": 1, "relays_tor": 1}
    assert "networks.clearnet.max_tasks = 5" in configured.splitlines()
    assert isinstance(configuration, dict)
    assert configuration["partitions_per_run"] == load_config().partitions_per_run


def test_the_registry_shows_the_configuration_anew_when_it_changes(graph: Graph, config_file: Path) -> None:
    secret = "https://hooks.example.com/services/T0/B0/secret"

    def told(cursor: str | None) -> tuple[str | None, int]:
        with dg.build_sensor_context(
            instance=graph.instance,
            resources=dict(graph.resources),
            definitions=defs,
            sensor_name="relay_partitions",
            cursor=cursor,
        ) as context:
            relay_partitions.evaluate_tick(context)
            return context.cursor, len(graph.instance.fetch_materializations(RELAYS, limit=1_000).records)

    cursor, before = told(None)
    assert told(cursor) == (cursor, before)
    config_file.write_text(config_file.read_text() + f"failure_webhook: {secret}\n")
    changed, after = told(cursor)
    assert (changed != cursor, after) == (True, before + 1)
    latest = graph.instance.get_latest_materialization_event(RELAYS)
    assert latest is not None
    assert latest.asset_materialization is not None
    shown = latest.asset_materialization.metadata
    assert "failure_webhook" in str(shown["configured"].value)
    assert "B0/secret" not in str(shown)


@pytest.mark.parametrize(
    ("interval", "cron"),
    [
        (1, "* * * * *"),
        (60, "* * * * *"),
        (90, "* * * * *"),
        (120, "*/2 * * * *"),
        (300, "*/5 * * * *"),
        (420, "* * * * *"),  # 7 minutes do not divide an hour
        (1800, "*/30 * * * *"),
        (3600, "0 */1 * * *"),
        (21600, "0 */6 * * *"),
        (86400, "0 0 * * *"),
        (604800, "* * * * *"),
    ],
)
def test_the_schedule_ticks_at_the_interval_or_each_minute(interval: float, cron: str) -> None:
    assert cron_for(interval) == cron
    assert tick_seconds(interval) == (60 if cron == "* * * * *" else interval)
    dg.ScheduleDefinition(job=relay_sync, cron_schedule=cron)
