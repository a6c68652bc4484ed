"""How relays are, in the graph: numbers to plot, checks that tell, and who is checked when."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from bigbrotr_dagster.definitions import defs
from bigbrotr_dagster.defs.automation import relay_health_schedule
from bigbrotr_dagster.defs.graph import RELAY_HEALTH, RELAY_PARTITIONS
from bigbrotr_dagster.defs.runs.in_flight import relays_in_flight
from bigbrotr_dagster.discovery.health import checked_since
from tests.defs.helpers import Graph, Relays, dead_url
from tests.discovery.documented import documented
from tests.nostr.test_dial import server_tls
from tests.relays.scripted import scripted
from tests.sync.helpers import ask, tell

DONE = AssetPartitionStatus.MATERIALIZED
DOCUMENT = b'{"software": "strfry", "version": "1.0", "supported_nips": [1, 11], "limitation": {"max_limit": 500}}'
MONITORS = "\nmonitor: {enabled: true}\n"


def check(
    graph: Graph, *urls: str, partition: str | None = None, tags: dict[str, str] | None = None
) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def("relay_health").execute_in_process(
        instance=graph.instance,
        run_config={"ops": {"check_relays": {"config": {"relays": list(urls)}}}},
        partition_key=partition,
        tags=tags,
        raise_on_error=False,
    )


def statuses(graph: Graph, *urls: str) -> list[AssetPartitionStatus | None]:
    found = graph.instance.get_status_by_partition(RELAY_HEALTH, list(urls), RELAY_PARTITIONS) or {}
    return [found.get(url) for url in urls]


def tick(graph: Graph) -> list[dg.RunRequest]:
    at = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    with dg.build_schedule_context(
        instance=graph.instance, scheduled_execution_time=at, resources=graph.resources
    ) as context:
        return list(relay_health_schedule.evaluate_tick(context).run_requests or [])


def asked(requests: list[dg.RunRequest]) -> list[list[str]]:
    return [request.run_config["ops"]["check_relays"]["config"]["relays"] for request in requests]


@pytest.fixture(autouse=True)
def nothing_before(graph: Graph) -> None:
    graph.register()
    for run in graph.instance.get_runs():
        graph.instance.delete_run(run.run_id)
    tell(graph.database, "DELETE FROM service_state WHERE service_name = 'monitor'")


def passed(checks: Mapping[str | None, dg.AssetCheckEvaluation]) -> dict[str | None, bool]:
    """By relay; None is all of them."""
    return {relay: check.passed for relay, check in checks.items()}


def test_a_relays_page_plots_its_round_trips_and_shows_what_it_says(graph: Graph, relays: Relays) -> None:
    one, dead = relays.enter(documented(body=DOCUMENT)).url, dead_url()
    graph.register(one, dead)
    run = check(graph, one, dead)
    assert run.success
    left = graph.materializations(run)
    alive: dict[str, Any] = left[one]
    assert isinstance(alive["rtt_open_ms"], int)
    assert isinstance(alive["rtt_read_ms"], int)
    assert (alive["alive"], alive["software"], alive["version"], alive["nips"]) == (1, "strfry", "1.0", "1, 11")
    assert alive["limits"] == {"max_limit": 500}
    assert (left[dead]["alive"], left[dead]["reason"]) == (0, "connection refused")
    assert abs(left[dead]["dead_since"] - time.time()) < 60
    assert statuses(graph, one, dead) == [DONE, DONE]
    assert graph.statuses(one, dead) == [None, None], "their syncs are another matter"


def test_a_dead_relay_is_told_after_so_many_days_and_when_it_is_back(
    graph: Graph, relays: Relays, config_file: Path
) -> None:
    graph.register(dead := dead_url())
    assert passed(graph.checks(check(graph, dead), "relay_dead")) == {None: True}
    tell(graph.database, "UPDATE relay_health SET dead_since = dead_since - 8 * 86400")
    checks = graph.checks(check(graph, dead), "relay_dead")
    assert passed(checks) == {dead: False, None: False}
    assert checks[None].description == "of all relays: 1 of 1 have not answered for 7 days"
    told = checks[dead]
    assert told.description == "no answer for 8.0 days: connection refused"
    relays.enter(documented(port=int(dead.rpartition(":")[2])))
    assert passed(graph.checks(check(graph, dead), "relay_dead")) == {dead: True, None: True}
    assert passed(graph.checks(check(graph, dead), "relay_dead")) == {None: True}


def test_a_certificate_that_ends_soon_is_told(graph: Graph, relays: Relays, config_file: Path) -> None:
    config_file.write_text(config_file.read_text() + "\nmonitor: {certificate_days: 100000}\n")
    one = relays.enter(documented(tls=server_tls())).url
    graph.register(one)
    checks = graph.checks(check(graph, one), "certificate_expires")
    assert passed(checks) == {one: False, None: False}
    told = checks[one]
    assert "the certificate ends in" in str(told.description)
    config_file.write_text(config_file.read_text().replace("100000", "14"))
    assert passed(graph.checks(check(graph, one), "certificate_expires")) == {None: True}


def test_a_run_of_a_partition_tells_all_of_it(graph: Graph, relays: Relays) -> None:
    one = relays.enter(documented()).url
    graph.register(one)
    run = check(graph, partition=one)
    assert run.success
    assert statuses(graph, one) == [DONE]
    assert graph.checks(run, "relay_dead")[one].passed


def test_a_run_that_is_started_again_leaves_out_what_the_crashed_one_has_checked(
    graph: Graph, relays: Relays
) -> None:
    one, other = (relays.enter(documented()).url for _ in range(2))
    graph.register(one, other)
    assert check(graph, one).success
    again = check(graph, one, other, tags={"dagster/retry_number": "1"})
    assert set(graph.materializations(again)) == {other}


def test_the_share_of_those_alive_is_judged_by_network(graph: Graph, relays: Relays) -> None:
    one, dead = relays.enter(documented()).url, [dead_url() for _ in range(3)]
    graph.register(one, *dead)
    told = graph.checks(check(graph, one, *dead), "alive_by_network")[None]
    assert not told.passed
    assert told.description == "1 of 4 relays of local answer"
    assert told.metadata["alive_share_local"].value == 0.25
    tell(graph.database, "UPDATE relay_health SET dead_since = 1 WHERE NOT alive")
    assert graph.checks(check(graph, one), "alive_by_network")[None].passed


def test_a_partition_that_cannot_be_checked_fails_its_run(graph: Graph) -> None:
    graph.register(onion := f"ws://{'a' * 55}d.onion")
    run = check(graph, partition=onion)
    assert not run.success
    [failure] = [event for event in run.all_events if event.is_step_failure]
    assert "network tor is not enabled" in str(failure.step_failure_data.user_failure_data)


def test_nobody_is_checked_unless_the_monitor_is_enabled(graph: Graph, config_file: Path) -> None:
    graph.register("wss://a.example.com")
    assert tick(graph) == []
    config_file.write_text(config_file.read_text() + "\ndiscovery: {enabled: true}\n")
    assert asked(tick(graph)) == [["wss://a.example.com"]]
    config_file.write_text(config_file.read_text() + "\nmonitor: {enabled: false}\n")
    assert tick(graph) == []


def test_a_tick_batches_who_is_due_most_overdue_first(graph: Graph, config_file: Path) -> None:
    config_file.write_text(config_file.read_text() + "\nmonitor: {enabled: true, relays_per_run: 2}\n")
    urls = [f"wss://{name}.example.com" for name in "abcde"]
    graph.register(*urls)
    now = int(time.time())
    for url, age in zip(urls, (50_000, 90_000, 100, 60_000, 70_000), strict=True):
        state = f'{{"timestamp": {now - age}}}'
        tell(graph.database, f"INSERT INTO service_state VALUES ('monitor', 'checkpoint', '{url}', '{state}')")
    requests = tick(graph)
    b, d, e, a = (urls[number] for number in (1, 3, 4, 0))
    assert asked(requests) == [[b, d], [e, a]]
    assert {request.tags["bigbrotr/network"] for request in requests} == {"clearnet"}
    assert {request.job_name for request in requests} == {"relay_health"}


def test_what_a_run_is_about_to_check_is_in_flight_for_checks_alone(graph: Graph, config_file: Path) -> None:
    config_file.write_text(config_file.read_text() + MONITORS)
    graph.register(one := "wss://a.example.com", other := "wss://b.example.com")
    job = defs.resolve_job_def("relay_health")
    run_config = {"ops": {"check_relays": {"config": {"relays": [one]}}}}
    graph.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, run_config=run_config)
    assert relays_in_flight(graph.instance, graph.database, RELAY_HEALTH, checked_since) == {one}
    assert relays_in_flight(graph.instance, graph.database) == set()
    assert asked(tick(graph)) == [[other]]
    tags = {"dagster/partition": other}
    sync = defs.resolve_job_def("relay_sync")
    graph.instance.create_run_for_job(sync, status=dg.DagsterRunStatus.STARTED, tags=tags)
    assert relays_in_flight(graph.instance, graph.database) == {other}
    assert relays_in_flight(graph.instance, graph.database, RELAY_HEALTH, checked_since) == {one}


def test_a_sync_and_a_check_of_one_relay_go_on_side_by_side(graph: Graph, relays: Relays) -> None:
    one = relays.enter(scripted([]))
    graph.register(one.url)
    assert graph.sync(one.url).success
    assert check(graph, one.url).success
    assert (graph.statuses(one.url), statuses(graph, one.url)) == ([DONE], [DONE])
    assert ask(graph.database, "SELECT alive FROM relay_health") == [(True,)]
