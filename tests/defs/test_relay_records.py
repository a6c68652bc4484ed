"""What a run leaves on its relays' partitions: the same in batches and one by one, and within seconds."""

import re
import threading
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.partition_status_cache import AssetPartitionStatus
from dagster_postgres import PostgresEventLogStorage

from bigbrotr_dagster.defs.graph import RELAY_CURSOR
from bigbrotr_dagster.defs.instance import private_parts
from bigbrotr_dagster.defs.relays.records import REACHABLE
from tests.defs.helpers import Graph, Relays, dead_url, some_events
from tests.defs.test_interrupted import patient
from tests.e2e.graphql import eventually

DONE = AssetPartitionStatus.MATERIALIZED


def check_statuses(graph: Graph, partition: str) -> list[AssetCheckExecutionRecordStatus]:
    """As the check's page shows them."""
    key = dg.AssetCheckKey(RELAY_CURSOR, REACHABLE)
    history = graph.instance.event_log_storage.get_asset_check_execution_history(key, limit=1000)
    evaluated = [(one, one.event.dagster_event) for one in history if one.event is not None]
    return [
        one.status
        for one, event in evaluated
        if event is not None
        and event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
        and event.asset_check_evaluation_data.partition == partition
    ]


def messages(graph: Graph, run: dg.ExecuteInProcessResult) -> list[str]:
    """What the run's log says of what was materialized."""
    events = graph.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    return [event.get_dagster_event().message or "" for event in events]


@pytest.fixture(params=["in one go", "without private parts", "in one go fails"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "without private parts":
        monkeypatch.setattr(private_parts, "HAS_PRIVATE_PARTS", False)
    if request.param == "in one go fails":

        def fail(*_: object) -> None:
            raise TypeError("another release of Dagster")

        monkeypatch.setattr(PostgresEventLogStorage, "store_event_batch", fail)
    return str(request.param)


@pytest.mark.slow
def test_every_way_of_writing_leaves_the_same(graph: Graph, relays: Relays, way: str) -> None:
    alive = [relays.serve(some_events(number + 1, way)).url for number in range(3)]
    graph.register(*alive, dead := dead_url())
    run = graph.sync(*alive, dead)
    assert run.success
    left = graph.materializations(run)
    assert {url: left[url]["observations_new"] for url in left} == dict(zip(alive, (1, 2, 3), strict=True))
    assert graph.statuses(*alive, dead) == [DONE, DONE, DONE, None]
    checks = graph.checks(run, REACHABLE)
    passed = dict.fromkeys(alive, True) | {dead: False}
    assert {url: check.passed for url, check in checks.items()} == passed | {None: True}
    assert checks[dead].description == "connection refused"
    assert checks[None].description == "of all relays: 1 of 4 failed in their last sync"
    lines = {re.sub(r", \d+ requests?, [\d.]+ s$", "", message) for message in messages(graph, run)}
    assert lines == {
        f"{url}: {one['events_new']} new of {one['events_received']} events" for url, one in left.items()
    }
    assert check_statuses(graph, alive[0]) == [AssetCheckExecutionRecordStatus.SUCCEEDED]
    assert check_statuses(graph, dead) == [AssetCheckExecutionRecordStatus.FAILED]
    records = graph.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=RELAY_CURSOR, asset_partitions=alive), limit=10
    ).records
    assert {record.event_log_entry.step_key for record in records} == {"relay_cursor"}
    assert graph.sync(partition=alive[0]).success
    assert check_statuses(graph, alive[0]) == [AssetCheckExecutionRecordStatus.SUCCEEDED] * 2


@pytest.mark.slow
def test_what_the_ui_shows_of_a_check_is_the_state_of_all_relays(graph: Graph, relays: Relays) -> None:
    """Not "2 / 3 passed" by whichever relay was judged last; nor "skipped" where none had anything to tell."""
    alive = [relays.serve(some_events(number + 1, "all")).url for number in range(2)]
    graph.register(*alive, dead := dead_url())
    keys = [dg.AssetCheckKey(RELAY_CURSOR, name) for name in (REACHABLE, "open_gaps", "cursor_within_coverage")]

    def shown() -> dict[str, tuple[str, str | None]]:
        latest = graph.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
        return {key.name: (one.status.value, one.partition) for key, one in latest.items()}

    good = {key.name: ("SUCCEEDED", None) for key in keys}
    graph.sync(*alive, dead)
    assert shown() == good
    graph.sync(alive[0])
    assert shown() == good, "nothing was told of this relay"
    assert not graph.sync(partition=dead).success
    assert shown() == good
    graph.register(dead)
    graph.sync(dead)
    assert shown() == good | {REACHABLE: ("FAILED", None)}, "it is all that there are"


@pytest.mark.slow
def test_a_batch_tells_of_a_relays_reach_when_it_changes(graph: Graph, relays: Relays) -> None:
    relay = relays.serve(some_events(2, "reach"))
    graph.register(relay.url)
    told = []
    for twist in (None, None, lambda _, id, __: [["CLOSED", id, "blocked: no"]], None, None):
        relay.twist = twist
        checks = graph.checks(graph.sync(relay.url), REACHABLE)
        assert checks.pop(None).passed is (twist is None), "its last is the only relay's"
        told.append([check.passed for check in checks.values()])
    assert told == [[True], [], [False], [True], []]


def test_a_relay_that_is_done_is_recorded_while_others_go_on(
    graph: Graph, relays: Relays, config_file: Path
) -> None:
    config_file.write_text(patient(config_file.read_text()))
    quick = relays.serve(some_events(2, "quick"))
    slow = relays.serve(some_events(30, "slow"), cap=5, answers=2)
    graph.register(quick.url, slow.url)
    run = threading.Thread(target=graph.sync, args=(quick.url, slow.url))
    run.start()
    try:
        eventually(lambda: graph.statuses(quick.url) == [DONE], 30, every=0.1)
        assert run.is_alive()
        assert graph.statuses(quick.url, slow.url) == [DONE, None]
    finally:
        slow.answers = None
        run.join()
    assert graph.statuses(slow.url) == [DONE]
