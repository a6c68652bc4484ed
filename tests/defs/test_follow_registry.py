"""Partitions and registry follow each other, and nothing that a person did in one is undone by the other."""

import threading
import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from bigbrotr_dagster.archive.registry import register_relays, registered_relays, remove_relays, removed_relays
from bigbrotr_dagster.archive.registry.partition_notes import PartitionNotes
from bigbrotr_dagster.config import load_config
from bigbrotr_dagster.definitions import defs
from bigbrotr_dagster.defs.automation import relay_partitions
from bigbrotr_dagster.defs.graph import RELAY_CURSOR
from bigbrotr_dagster.defs.relays import follow_registry
from bigbrotr_dagster.defs.relays.follow import FEW, REMOVING_SECONDS, STAMP_KEY, Followed
from tests.defs.helpers import Graph
from tests.defs.test_automation import in_flight, keys, no_relays, partitions, sensor_tick  # noqa: F401
from tests.machine import within
from tests.sync.helpers import ask, tell

A, B, C = (f"wss://{name}.example.com" for name in "abc")


def follow(graph: Graph) -> Followed:
    return follow_registry(graph.instance, graph.database, load_config())


def registered(graph: Graph) -> set[str]:
    return {relay.url for relay in registered_relays(graph.database)}


def add_in_ui(graph: Graph, *given: str) -> None:
    graph.instance.add_dynamic_partitions("relay", list(given))


def backfill(graph: Graph, *given: str) -> str:
    """A backfill that waits for the daemon."""
    stored = PartitionBackfill.from_asset_partitions(
        backfill_id=f"waits-{time.monotonic_ns()}",
        asset_graph=defs.resolve_asset_graph(),
        partition_names=list(given),
        asset_selection=[RELAY_CURSOR],
        backfill_timestamp=time.time(),
        tags={},
        dynamic_partitions_store=graph.instance,
        all_partitions=False,
        title=None,
        description=None,
        run_config=None,
    )
    graph.instance.add_backfill(stored)
    return stored.backfill_id


def end(graph: Graph, backfill_id: str) -> None:
    found = graph.instance.get_backfill(backfill_id)
    assert found is not None
    graph.instance.update_backfill(found.with_status(BulkActionStatus.COMPLETED_SUCCESS))


def test_a_partition_that_a_person_adds_is_a_registered_relay_and_is_synced(graph: Graph) -> None:
    graph.register(A)
    add_in_ui(graph, B)
    assert {url for batch in keys(sensor_tick(graph)) for url in batch} == {A, B}
    assert registered(graph) == partitions(graph) == {A, B}


def test_another_form_of_a_url_becomes_its_normal_form(graph: Graph) -> None:
    add_in_ui(graph, "WSS://A.example.com:443/", B + "/")
    followed = follow(graph)
    assert followed.registered == followed.added == [A, B]
    assert followed.removed == ["WSS://A.example.com:443/", B + "/"]
    assert registered(graph) == partitions(graph) == {A, B}


def test_what_is_no_relay_url_is_removed_and_said_in_one_line(graph: Graph, config_file: Path) -> None:
    config_file.write_text("allow_private: false\n")
    add_in_ui(graph, "https://a.example.com", "nonsense\x1b[2J", "ws://127.0.0.1:7777", A)
    followed = follow(graph)
    assert registered(graph) == partitions(graph) == {A}
    assert sorted(followed.refused) == ["https://a.example.com", "nonsense\x1b[2J", "ws://127.0.0.1:7777"]
    [line] = [line for line in followed.lines() if "refused" in line]
    assert "\n" not in line
    assert "\x1b" not in line
    assert "ws://127.0.0.1:7777': private address; allow_private is not set" in line


def test_what_the_sensor_did_is_on_its_tick(graph: Graph) -> None:
    add_in_ui(graph, "nonsense")
    with dg.build_sensor_context(instance=graph.instance, resources=graph.resources, definitions=defs) as context:
        assert "1 partitions refused: 'nonsense': " in str(relay_partitions.evaluate_tick(context).skip_message)


def test_a_relay_that_is_removed_stays_removed_until_a_person_adds_it_again(graph: Graph) -> None:
    graph.register(A, B)
    remove_relays(graph.database, [A])
    assert follow(graph).removed == [A]
    assert registered(graph) == partitions(graph) == {B}
    add_in_ui(graph, A)
    assert follow(graph).registered == [A]
    assert registered(graph) == partitions(graph) == {A, B}


def delete_in_ui(graph: Graph, *given: str) -> None:
    for key in given:
        graph.instance.delete_dynamic_partition("relay", key)


def forget_stamp(graph: Graph, stamp: str = "") -> None:
    """Make the instance one that did not take part in the last change of the partitions."""
    graph.instance.daemon_cursor_storage.set_cursor_values({STAMP_KEY: stamp})


def test_a_partition_that_is_deleted_in_the_ui_is_a_relay_less(graph: Graph) -> None:
    graph.register(A, B)
    delete_in_ui(graph, A)
    followed = follow(graph)
    assert (followed.unregistered, followed.restored, followed.added) == ([A], [], [])
    assert followed.lines() == [f"1 relays unregistered, for somebody deleted their partitions: {A}"]
    assert registered(graph) == partitions(graph) == {B}
    assert follow(graph).lines() == []
    waits = "SELECT count(*) FROM relay_candidate WHERE url = %s AND next_try = 'infinity'"
    assert ask(graph.database, waits.replace("%s", f"'{A}'")) == [(1,)], "discovery does not bring it back"
    add_in_ui(graph, A)
    assert follow(graph).registered == [A]
    assert registered(graph) == partitions(graph) == {A, B}


def test_the_last_partition_can_be_deleted(graph: Graph) -> None:
    graph.register(A)
    delete_in_ui(graph, A)
    assert follow(graph).unregistered == [A]
    assert registered(graph) == partitions(graph) == set()


def test_an_instance_that_is_new_gets_every_partition_of_an_old_archive(graph: Graph) -> None:
    graph.register(A, B, C)
    delete_in_ui(graph, A, B, C)
    forget_stamp(graph)
    followed = follow(graph)
    assert followed.restored == [A, B, C]
    assert followed.lines()[0].startswith("3 partitions added: this Dagster instance did not have them")
    assert registered(graph) == partitions(graph) == {A, B, C}
    delete_in_ui(graph, A)
    assert follow(graph).unregistered == [A], "from now on it is known what it has"


def test_an_instance_from_a_backup_gets_what_was_registered_since(graph: Graph) -> None:
    graph.register(A, B)
    stamp = graph.instance.daemon_cursor_storage.get_cursor_values({STAMP_KEY})[STAMP_KEY]
    register_relays(graph.database, [C])
    follow(graph)
    delete_in_ui(graph, C)  # the backup did not have it
    forget_stamp(graph, stamp)
    assert follow(graph).restored == [C]
    assert registered(graph) == partitions(graph) == {A, B, C}


def test_a_change_that_dies_half_way_unregisters_nothing(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    graph.register(A)
    register_relays(graph.database, [B])

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(graph.instance, "add_dynamic_partitions", die)
        with pytest.raises(KeyboardInterrupt):
            follow(graph)
    assert follow(graph).restored == [B]
    assert registered(graph) == partitions(graph) == {A, B}


def test_a_relay_whose_removal_died_half_way_can_be_registered_again(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph.register(A, B)
    remove_relays(graph.database, [A])
    with monkeypatch.context() as patch:
        patch.setattr(PartitionNotes, "forget", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            follow(graph)
    assert partitions(graph) == {B}
    register_relays(graph.database, [A])
    follow(graph)
    assert registered(graph) == partitions(graph) == {A, B}


def test_storage_that_lost_most_partitions_at_once_gets_them_back_with_a_warning(graph: Graph) -> None:
    urls = sorted(f"wss://relay-{number}.example.com" for number in range(FEW))
    graph.register(*urls)
    delete_in_ui(graph, *urls[: FEW // 2 + 1])
    with graph.tick(relay_partitions) as context:
        relay_partitions.evaluate_tick(context)
    assert registered(graph) == partitions(graph) == {*urls}
    delete_in_ui(graph, *urls[: FEW // 2 + 1])
    followed = follow(graph)
    assert (followed.lost, followed.unregistered, followed.added) == (urls[: FEW // 2 + 1], [], [])
    assert followed.warnings() == followed.lines()
    assert "more than half of all; they are back, and no relay was unregistered" in followed.lines()[0]
    delete_in_ui(graph, *urls[: FEW // 2])
    assert follow(graph).unregistered == urls[: FEW // 2], "a person may well mean half of them"


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTED"])
def test_a_partition_that_is_deleted_while_a_run_names_it_goes_after_it(graph: Graph, status: str) -> None:
    graph.register(A, B)
    run = in_flight(graph, dg.DagsterRunStatus(status), tags={"dagster/partition": A})
    delete_in_ui(graph, A)
    followed = follow(graph)
    assert (followed.unregistered, followed.waiting, followed.added) == ([A], [A], [])
    assert registered(graph) == {B}
    assert partitions(graph) == {A, B}
    assert removed_relays(graph.database, [A]) == {A}, "the run sees that it is no longer registered"
    assert follow(graph).changed is False
    graph.instance.report_run_canceled(run)
    assert follow(graph).removed == [A]
    assert partitions(graph) == {B}


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTED"])
def test_a_partition_that_a_run_waits_for_is_removed_after_it(graph: Graph, status: str) -> None:
    graph.register(A, B, C)
    remove_relays(graph.database, [A, B])
    run = in_flight(graph, dg.DagsterRunStatus(status), tags={"dagster/partition": A})
    followed = follow(graph)
    assert (followed.removed, followed.waiting) == ([B], [A])
    assert removed_relays(graph.database, [A, B, C]) == {A}
    assert registered(graph) == {C}
    graph.instance.report_run_canceled(run)
    assert follow(graph).removed == [A]


@pytest.mark.filterwarnings("ignore:Function `AssetSelection.sources`:DeprecationWarning")  # Dagster's own call
def test_a_partition_that_a_backfill_waits_for_is_removed_after_it(graph: Graph) -> None:
    graph.register(A, B, C)
    waiting = backfill(graph, A, C)
    remove_relays(graph.database, [A, B])
    followed = follow(graph)
    assert (followed.removed, followed.waiting) == ([B], [A])
    end(graph, waiting)
    assert follow(graph).removed == [A]


@pytest.mark.slow
def test_five_thousand_relays_are_removed_in_ticks_of_a_few_seconds(graph: Graph) -> None:
    urls = [f"wss://relay-{number}.example.com" for number in range(5_000)]
    graph.register(*urls, A)
    remove_relays(graph.database, urls)
    while partitions(graph) != {A}:
        left = len(partitions(graph))
        with within(REMOVING_SECONDS + 10):
            followed = follow(graph)
        assert len(partitions(graph)) == left - len(followed.removed) < left
    assert registered(graph) == {A}


@pytest.mark.slow
def test_many_that_follow_at_once_undo_nothing(graph: Graph) -> None:
    """The sensor, `sync` in a terminal and `cleanup` may all look while people add and remove."""
    stopped, errors = threading.Event(), list[BaseException]()

    def follow_again_and_again() -> None:
        try:
            while not stopped.is_set():
                follow(graph)
        except BaseException as error:
            errors.append(error)

    followers = [threading.Thread(target=follow_again_and_again) for _ in range(3)]
    for follower in followers:
        follower.start()
    kept = set()
    for number in range(30):
        by_hand, in_ui, short = (f"wss://{way}-{number}.example.com" for way in ("hand", "ui", "short"))
        register_relays(graph.database, [by_hand, short])
        add_in_ui(graph, in_ui)
        time.sleep(0.05 * (number % 3))
        remove_relays(graph.database, [short])
        kept |= {by_hand, in_ui}
    time.sleep(1)
    stopped.set()
    for follower in followers:
        follower.join()
    assert errors == []
    follow(graph)
    assert registered(graph) == partitions(graph) == kept


def test_an_archive_from_before_knows_what_was_a_partition(graph: Graph) -> None:
    """The migration notes what is registered, and what was tried: a relay that was just removed stays removed."""
    graph.register(A)
    migration = Path(__file__).parents[2] / "sql/migrations/0011_relay_partition.sql"
    tell(graph.database, f"INSERT INTO relay_limits (relay_url, attempted_at) VALUES ('{B}', now())")
    add_in_ui(graph, B)
    tell(graph.database, f"DROP TABLE relay_partition; {migration.read_text()}")
    assert follow(graph).removed == [B]
    assert registered(graph) == partitions(graph) == {A}
