"""Relays that a run does not try: removed meanwhile, or of a network that is switched off. Nothing turns red."""

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from bigbrotr_dagster.archive.registry import remove_relays
from tests.defs.conftest import CONFIG
from tests.defs.helpers import Graph, Relays, dead_url, some_events
from tests.defs.test_automation import ONION, keys, schedule_tick
from tests.defs.test_relay_cursor import range_of
from tests.sync.helpers import stored_ids, tell

DONE, FAILED = AssetPartitionStatus.MATERIALIZED, AssetPartitionStatus.FAILED
SCHEDULED = {"bigbrotr/network": "tor"}


def failure(run: dg.ExecuteInProcessResult) -> str:
    [event] = [event for event in run.all_events if event.is_step_failure]
    assert event.step_failure_data.user_failure_data is not None, "a traceback"
    return str(event.step_failure_data.user_failure_data.description)


def said(graph: Graph, run: dg.ExecuteInProcessResult) -> str:
    return "\n".join(entry.user_message for entry in graph.instance.all_logs(run.run_id))


def was_well(graph: Graph, url: str) -> None:
    """As if this relay had been synced before its network was switched off."""
    tell(
        graph.database,
        f"INSERT INTO relay_limits (relay_url, attempted_at, succeeded_at) VALUES ('{url}', now(), now())"
        " ON CONFLICT (relay_url) DO UPDATE SET failures = 0, succeeded_at = now()",
    )
    graph.instance.report_runless_asset_event(dg.AssetMaterialization("relay_cursor", partition=url))


def test_switching_clearnet_off_leaves_local_relays_alone(graph: Graph, relays: Relays, config_file: Path) -> None:
    config_file.write_text(CONFIG.replace("clearnet: {", "clearnet: {enabled: false, "))
    relay, public = relays.serve(some_events(3, "local")), "wss://relay.example.com"
    graph.register(relay.url, public)
    assert keys(schedule_tick(graph)) == [[relay.url]]
    run = graph.sync(relay.url)
    assert run.success
    assert stored_ids(graph.database, relay.url) == {event.id for event in relay.events}
    assert graph.statuses(relay.url) == [DONE]


@pytest.mark.parametrize("enabled", [True, False], ids=["another one fails", "all else is well"])
def test_a_network_that_is_off_turns_no_green_partition_red(graph: Graph, relays: Relays, enabled: bool) -> None:
    relay = relays.serve(some_events(2, f"off {enabled}"))
    others = [relay.url, *([dead_url()] if enabled else [])]
    unsynced = f"ws://{'b' * 55}d.onion"
    graph.register(*others, ONION, unsynced)
    was_well(graph, ONION)
    tell(graph.database, f"DELETE FROM relay_limits WHERE relay_url = '{unsynced}'")
    urls = graph.instance.get_dynamic_partitions("relay")
    run = graph.sync(tags=range_of(urls[0], urls[-1]))
    assert run.success is not enabled
    assert graph.statuses(ONION, relay.url) == [DONE, DONE]
    assert graph.materializations(run)[ONION] == {"skipped": "network tor is not enabled"}
    assert unsynced not in graph.materializations(run), "what was never synced is not made green"
    assert ONION not in graph.checks(run, "reachable")
    assert f"{ONION}: network tor is not enabled" in said(graph, run)
    if enabled:
        assert ONION not in failure(run)


def test_a_scheduled_batch_of_a_network_that_was_switched_off_meanwhile_passes(graph: Graph) -> None:
    graph.register(ONION)
    was_well(graph, ONION)
    run = graph.sync(ONION, tags=SCHEDULED)
    assert run.success
    assert graph.statuses(ONION) == [DONE]
    assert graph.materializations(run) == {}


def test_whoever_asks_for_one_relay_alone_is_told_in_one_line(graph: Graph) -> None:
    graph.register(ONION)
    for run in (graph.sync(partition=ONION), graph.sync(ONION)):
        assert not run.success
        assert failure(run) == f"{ONION}: network tor is not enabled"


def test_a_backfill_of_one_relay_whose_network_is_off_passes(graph: Graph) -> None:
    graph.register(ONION)
    was_well(graph, ONION)
    assert graph.sync(partition=ONION, tags={"dagster/backfill": "some"}).success
    assert graph.statuses(ONION) == [DONE]


@pytest.mark.parametrize("partitioned", [True, False])
def test_a_relay_that_was_removed_while_its_run_waited_is_not_asked(
    graph: Graph, relays: Relays, partitioned: bool
) -> None:
    gone, kept = relays.serve(some_events(2, "gone")), relays.serve(some_events(3, "kept"))
    graph.register(gone.url, kept.url)
    remove_relays(graph.database, [gone.url])
    both = graph.instance.get_dynamic_partitions("relay")
    run = graph.sync(tags=range_of(*both)) if partitioned else graph.sync(*both)
    assert run.success
    assert gone.requests == []
    assert stored_ids(graph.database, kept.url) == {event.id for event in kept.events}
    assert f"{gone.url}: no longer registered" in said(graph, run)
    assert (gone.url in graph.materializations(run)) is partitioned, "a backfill waits for each of its partitions"


def test_the_run_of_a_removed_relay_alone_passes(graph: Graph, relays: Relays) -> None:
    gone = relays.serve(some_events(2))
    graph.register(gone.url)
    remove_relays(graph.database, [gone.url])
    assert graph.sync(partition=gone.url).success
    assert gone.requests == []


def test_a_partition_that_was_added_a_moment_ago_is_synced_under_its_own_name(
    graph: Graph, relays: Relays
) -> None:
    """Its run may come before the sensor's tick that registers the relay."""
    relay = relays.serve(some_events(4, "added"))
    typed = relay.url.upper().replace("WS://", "ws://") + "/"
    graph.register()
    graph.instance.add_dynamic_partitions("relay", [typed])
    run = graph.sync(partition=typed)
    assert run.success
    assert set(graph.materializations(run)) == {typed}
    assert stored_ids(graph.database, relay.url) == {event.id for event in relay.events}
    graph.instance.delete_dynamic_partition("relay", typed)


@pytest.mark.slow
def test_launched_bare_it_syncs_what_is_due(graph: Graph, relays: Relays) -> None:
    due, fresh = relays.serve(some_events(3, "due")), relays.serve(some_events(3, "fresh"))
    graph.register(due.url, fresh.url)
    tell(graph.database, "UPDATE relay SET discovered_at = discovered_at - 3600")
    graph.sync(fresh.url)
    asked = len(fresh.requests)
    run = graph.sync()
    assert run.success
    assert set(graph.materializations(run)) == {due.url}
    assert len(fresh.requests) == asked


def test_launched_bare_with_nothing_due_it_says_so(graph: Graph) -> None:
    graph.register()
    run = graph.sync()
    assert run.success
    assert "this run syncs what is due: 0 relays" in said(graph, run)
