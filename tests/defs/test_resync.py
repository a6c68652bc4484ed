"""The job `resync`: what was proved of a range is forgotten and read again; the rest stays as it is."""

from typing import Any

import dagster as dg
import pytest

from bigbrotr_dagster.definitions import defs
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.windowing import Interval
from tests.defs.helpers import NOW, Graph, Relays, dead_url, some_events
from tests.sync.helpers import ask, stored_ids


def resync(graph: Graph, **config: Any) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def("resync").execute_in_process(
        instance=graph.instance, run_config={"ops": {"read_again": {"config": config}}}, raise_on_error=False
    )


def covered(graph: Graph, url: str) -> list[Interval]:
    question = (
        "SELECT lower(part), upper(part) - 1 FROM sync_coverage, unnest(covered) AS part"
        f" WHERE relay_url = '{url}' ORDER BY 1"
    )
    return [Interval(*row) for row in ask(graph.database, question)]


def forget_events(graph: Graph, url: str) -> None:
    """As if the relay had got its events after they were asked for."""
    ask(graph.database, f"WITH gone AS (DELETE FROM event_relay WHERE relay_url = '{url}') SELECT 1")


def test_a_range_is_read_again_whatever_was_proved_of_it(graph: Graph, relays: Relays) -> None:
    relay, other = relays.serve(some_events(20, "resync")), relays.serve(some_events(2))
    graph.register(relay.url, other.url)
    graph.sync(relay.url, other.url)
    before = covered(graph, relay.url)
    forget_events(graph, relay.url)
    asked = len(other.requests)
    run = resync(graph, since=NOW + 50, until=NOW + 90, relays=[relay.url])
    assert run.success
    assert stored_ids(graph.database, relay.url) == {
        event.id for event in relay.events if NOW + 50 <= event.created_at <= NOW + 90
    }
    assert covered(graph, relay.url) == before
    assert graph.materializations(run)[relay.url]["observations_new"] == 5
    assert len(other.requests) == asked


def test_without_relays_every_registered_one_is_read_again(graph: Graph, relays: Relays) -> None:
    urls = sorted(relays.serve(some_events(number + 1, "all")).url for number in range(3))
    graph.register(*urls)
    graph.sync(*urls)
    for url in urls:
        forget_events(graph, url)
    run = resync(graph, since=NOW)
    assert run.success
    assert sorted(graph.materializations(run)) == urls
    assert sorted(len(stored_ids(graph.database, url)) for url in urls) == [1, 2, 3]


def test_other_filters_leave_the_proof_of_the_configured_ones(graph: Graph, relays: Relays) -> None:
    relay = relays.serve(some_events(4, "filters"))
    graph.register(relay.url)
    graph.sync(relay.url)
    run = resync(graph, since=NOW, filters=[{"kinds": [7]}], relays=[relay.url])
    assert run.success
    proved = f"FROM sync_coverage WHERE relay_url = '{relay.url}' AND NOT isempty(covered)"
    assert ask(graph.database, f"SELECT count(*) {proved}") == [(2,)]


def test_what_cannot_be_read_again_is_pending_and_its_error_told(graph: Graph, relays: Relays) -> None:
    graph.register(dead := dead_url())
    key = "INSERT INTO sync_coverage VALUES ('{}', '{}', '{{}}', '{{[0,2000000000)}}') RETURNING 1"
    ask(graph.database, key.format(dead, Filter().hash()))
    run = resync(graph, since=1_000, until=1_999)
    assert not run.success
    assert covered(graph, dead) == [Interval(0, 999), Interval(2_000, 1_999_999_999)]
    assert graph.checks(run, "reachable")[dead].description == "connection refused"


def test_it_wants_to_know_from_when_on(graph: Graph) -> None:
    job = defs.resolve_job_def("resync")
    assert dg.validate_run_config(job, {"ops": {"read_again": {"config": {"since": 5}}}})
    with pytest.raises(dg.DagsterInvalidConfigError, match="since"):
        dg.validate_run_config(job, {})
