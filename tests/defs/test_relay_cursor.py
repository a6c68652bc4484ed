"""The three run shapes of `relay_cursor`, and what each leaves on the relays' partitions."""

import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import AssetPartitionStatus
from dagster._core.storage.tags import TagType, get_tag_type

from bigbrotr_dagster.defs.runs.run_process import PROCESS_TAG
from tests.defs.helpers import NOW, Graph, Relays, dead_url, some_events
from tests.sync.helpers import ask, stored_ids

METADATA = {
    "network",
    "events_received",
    "events_new",
    "events_known",
    "events_rejected",
    "observations_new",
    "late_events",
    "events_claimed",
    "events_gone",
    "proved_by",
    "transfers_per_event",
    "requests",
    "bytes_received",
    "cursor",
    "lag_seconds",
    "gaps",
    "gap_seconds",
    "pending_seconds",
    "seconds",
}
DONE, FAILED = AssetPartitionStatus.MATERIALIZED, AssetPartitionStatus.FAILED


def range_of(first: str, last: str) -> dict[str, str]:
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}


def test_relays_in_the_config_are_synced_in_one_run_each_on_its_own_partition(
    graph: Graph, relays: Relays
) -> None:
    shared = some_events(20, "shared")
    first = relays.serve(shared + some_events(5, "only one has"))
    second = relays.serve(shared)
    graph.register(first.url, second.url)
    before = int(time.time())
    run = graph.sync(first.url, second.url)
    assert run.success
    left = graph.materializations(run)
    assert set(left) == {first.url, second.url}
    for metadata in left.values():
        assert set(metadata) == METADATA
        assert before <= metadata["cursor"] <= time.time()
        assert metadata["lag_seconds"] <= 60
        assert (metadata["gaps"], metadata["pending_seconds"], metadata["events_rejected"]) == (0, 0, 0)
        assert metadata["requests"] >= 1
        assert metadata["bytes_received"] > 1000
    assert sum(metadata["events_new"] for metadata in left.values()) == 25
    assert sum(metadata["events_known"] for metadata in left.values()) >= 20
    assert [left[relay.url]["observations_new"] for relay in (first, second)] == [25, 20]
    assert stored_ids(graph.database, first.url) == {event.id for event in first.events}
    assert graph.statuses(first.url, second.url) == [DONE, DONE]
    assert all(check.passed for check in graph.checks(run, "reachable").values())
    assert graph.checks(run, "cursor_within_coverage")[None].passed


def test_the_cursor_is_a_timestamp_and_counts_are_numbers_that_the_ui_plots(graph: Graph, relays: Relays) -> None:
    relay = relays.serve(some_events(3))
    graph.register(relay.url)
    run = graph.sync(relay.url)
    [event] = graph.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert isinstance(metadata["cursor"], dg.TimestampMetadataValue)
    assert isinstance(metadata["events_new"], dg.IntMetadataValue)
    assert isinstance(metadata["seconds"], dg.FloatMetadataValue)


def test_one_partition_is_synced_alone(graph: Graph, relays: Relays) -> None:
    asked, other = relays.serve(some_events(7)), relays.serve([])
    graph.register(asked.url, other.url)
    run = graph.sync(partition=asked.url)
    assert run.success
    left = graph.materializations(run)
    assert set(left) == {asked.url}
    assert left[asked.url]["observations_new"] == 7
    assert other.requests == []
    assert graph.statuses(asked.url, other.url) == [DONE, None]


def test_a_backfill_range_is_synced_in_one_run(graph: Graph, relays: Relays) -> None:
    three = sorted(relays.serve(some_events(number)).url for number in (1, 2, 3))
    graph.register(*three)
    run = graph.sync(tags=range_of(three[0], three[-1]))
    assert run.success
    assert sorted(graph.materializations(run)) == three
    assert graph.statuses(*three) == [DONE, DONE, DONE]


def test_a_relay_that_is_named_twice_is_synced_once(graph: Graph, relays: Relays) -> None:
    relay = relays.serve(some_events(2))
    graph.register(relay.url)
    run = graph.sync(relay.url, relay.url)
    assert run.success
    assert all(check.passed for check in graph.checks(run, "reachable").values())


def test_a_partition_whose_relay_fails_is_red_and_says_why(graph: Graph, relays: Relays) -> None:
    dead = dead_url()
    graph.register(dead)
    run = graph.sync(partition=dead)
    assert not run.success
    assert graph.materializations(run) == {}
    assert graph.statuses(dead) == [FAILED]
    check = graph.checks(run, "reachable")[dead]
    assert (check.passed, check.description) == (False, "connection refused")
    [failure] = [event for event in run.all_events if event.is_step_failure]
    assert f"{dead}: connection refused" in str(failure.step_failure_data.user_failure_data)


def test_a_range_fails_for_one_relay_and_keeps_what_the_others_did(graph: Graph, relays: Relays) -> None:
    urls = sorted([relays.serve(some_events(3)).url, relays.serve(some_events(4)).url, dead := dead_url()])
    graph.register(*urls)
    run = graph.sync(tags=range_of(urls[0], urls[-1]))
    assert not run.success
    assert graph.statuses(*urls) == [FAILED if url == dead else DONE for url in urls]


def test_a_scheduled_batch_passes_with_one_dead_relay_of_three(graph: Graph, relays: Relays) -> None:
    alive = [relays.serve(some_events(3)).url, relays.serve(some_events(4)).url]
    graph.register(*alive, dead := dead_url())
    run = graph.sync(*alive, dead)
    assert run.success
    assert set(graph.materializations(run)) == set(alive)
    assert graph.statuses(*alive, dead) == [DONE, DONE, None]
    assert graph.checks(run, "reachable")[dead].description == "connection refused"


def test_a_scheduled_batch_fails_past_failed_share_and_only_the_dead_are_red(graph: Graph, relays: Relays) -> None:
    alive, dead = relays.serve(some_events(3)).url, [dead_url(), dead_url()]
    graph.register(alive, *dead)
    run = graph.sync(alive, *dead)
    assert not run.success
    assert graph.statuses(alive, *dead) == [DONE, FAILED, FAILED]


@pytest.mark.slow
def test_the_next_success_turns_a_red_partition_green(graph: Graph, relays: Relays) -> None:
    relay = relays.serve(some_events(3), twist=lambda _, id, __: [["CLOSED", id, "blocked: not for you"]])
    graph.register(relay.url)
    assert not graph.sync(partition=relay.url).success
    assert graph.statuses(relay.url) == [FAILED]
    relay.twist = None
    assert graph.sync(relay.url).success
    assert graph.statuses(relay.url) == [DONE]


def test_a_partition_that_max_duration_leaves_no_time_for_fails_its_run(
    graph: Graph, relays: Relays, config_file: Path
) -> None:
    """A backfill would wait for ever for a partition that a successful run missed."""
    config_file.write_text(config_file.read_text() + "timeouts: {max_duration: 0}\n")
    relay = relays.serve(some_events(3))
    graph.register(relay.url)
    run = graph.sync(partition=relay.url)
    assert not run.success
    assert "max_duration" in (graph.checks(run, "reachable")[relay.url].description or "")
    assert graph.sync(relay.url).success, "the schedule takes it at the next tick"


def test_a_config_of_one_run_overrides_the_range(graph: Graph, relays: Relays) -> None:
    relay = relays.serve(some_events(10))
    graph.register(relay.url)
    run = graph.sync(partition=relay.url, since=NOW + 20, until=NOW + 50)
    assert graph.materializations(run)[relay.url]["observations_new"] == 4


def test_a_retry_does_not_ask_again_what_the_crashed_run_finished(graph: Graph, relays: Relays) -> None:
    relay, missed = relays.serve(some_events(3)), relays.serve(some_events(4))
    graph.register(relay.url, missed.url)
    graph.sync(relay.url)
    asked = len(relay.requests)
    run = graph.sync(relay.url, missed.url, tags={"dagster/retry_number": "1"})
    assert run.success
    assert len(relay.requests) == asked
    assert set(graph.materializations(run)) == {missed.url}


@pytest.mark.slow
def test_a_cursor_beyond_its_coverage_fails_the_check(graph: Graph, relays: Relays) -> None:
    relay, fine = relays.serve(some_events(3)), relays.serve(some_events(2))
    graph.register(relay.url, fine.url)
    assert graph.sync(relay.url, fine.url).success
    ask(
        graph.database,
        "UPDATE service_state SET state_value = jsonb_set(state_value, '{timestamp}', '4000000000')"
        f" WHERE state_key = '{relay.url}' RETURNING 1",
    )
    run = graph.sync(fine.url)
    check = graph.checks(run, "cursor_within_coverage")[None]
    assert not check.passed
    assert check.metadata["relays"].value == [relay.url]
    ask(graph.database, f"DELETE FROM service_state WHERE state_key = '{relay.url}' RETURNING 1")
    assert graph.checks(graph.sync(fine.url), "cursor_within_coverage")[None].passed


def test_a_run_names_its_relays_and_where_only_we_look_its_process(graph: Graph, relays: Relays) -> None:
    run = graph.instance.get_run_by_id(graph.sync(relays.serve([]).url).run_id)
    assert run is not None
    shown = {key for key in run.tags if get_tag_type(key) is not TagType.HIDDEN}
    assert PROCESS_TAG in run.tags.keys() - shown
    assert run.tags["bigbrotr/relays"] == "1 local"


def test_a_key_that_is_no_relay_fails_without_a_traceback(graph: Graph) -> None:
    run = graph.sync("http://nonsense")
    assert not run.success
    [failure] = [event for event in run.all_events if event.is_step_failure]
    assert "http://nonsense" in str(failure.step_failure_data.user_failure_data)


@pytest.mark.parametrize("override", [{"since": -1}, {"filters": [{"nonsense": 1}]}])
def test_a_wrong_value_in_the_run_config_fails_before_any_relay_is_asked(
    graph: Graph, relays: Relays, override: dict[str, Any]
) -> None:
    relay = relays.serve([])
    run = graph.sync(relay.url, **override)
    assert not run.success
    assert relay.requests == []
