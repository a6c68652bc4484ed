"""The job `resync`: what was proved of a range is forgotten and read again; the rest stays as it is."""

from typing import Any

import dagster as dg
import pytest

from bigbrotr_dagster.definitions import defs
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.windowing.intervals import Interval
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


def test_all_relays_are_read_again_where_that_is_said(graph: Graph, relays: Relays) -> None:
    urls = sorted(relays.serve(some_events(number + 1, "all")).url for number in range(3))
    graph.register(*urls)
    graph.sync(*urls)
    for url in urls:
        forget_events(graph, url)
    run = resync(graph, since=NOW, all_relays=True)
    assert run.success
    assert sorted(graph.materializations(run)) == urls
    assert sorted(len(stored_ids(graph.database, url)) for url in urls) == [1, 2, 3]


@pytest.mark.parametrize(
    ("chosen", "why"),
    [
        ({}, "give either `relays`, or `all_relays: true`"),
        ({"relays": [], "all_relays": False}, "give either"),
        ({"relays": ["wss://relay.example.com"], "all_relays": True}, "give either"),
        ({"relays": ["http://relay.example.com"]}, "http://relay.example.com"),
    ],
)
def test_what_does_not_say_which_relays_forgets_nothing(
    graph: Graph, relays: Relays, chosen: dict[str, Any], why: str
) -> None:
    """The launchpad's scaffold fills in defaults: a click on "Launch" must not undo an archive."""
    relay = relays.serve(some_events(3, str(chosen)))
    graph.register(relay.url)
    graph.sync(relay.url)
    before, asked = covered(graph, relay.url), len(relay.requests)
    run = resync(graph, since=0, until=None, filters=None, **chosen)
    assert not run.success
    [failure] = [event for event in run.all_events if event.is_step_failure]
    assert failure.step_failure_data.user_failure_data is not None, "a traceback"
    assert str(failure.step_failure_data.user_failure_data.description).startswith("Nothing was read again: ")
    assert why in str(failure.step_failure_data.user_failure_data.description)
    assert covered(graph, relay.url) == before
    assert len(relay.requests) == asked


def test_of_a_relay_that_cannot_be_asked_nothing_is_forgotten(graph: Graph) -> None:
    onion = f"ws://{'a' * 55}d.onion"
    graph.register(onion, dead := dead_url())
    key = "INSERT INTO sync_coverage VALUES ('{}', '{}', '{{}}', '{{[0,2000000000)}}') RETURNING 1"
    for url in (onion, dead):
        ask(graph.database, key.format(url, Filter().hash()))
    resync(graph, since=0, all_relays=True)
    assert covered(graph, onion) == [Interval(0, 1_999_999_999)]
    assert covered(graph, dead) == []


def test_relays_are_named_in_any_form(graph: Graph, relays: Relays) -> None:
    relay = relays.serve(some_events(5, "form"))
    graph.register(relay.url)
    graph.sync(relay.url)
    forget_events(graph, relay.url)
    assert resync(graph, since=NOW, relays=[relay.url.upper() + "/"]).success
    assert len(stored_ids(graph.database, relay.url)) == 5


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
    run = resync(graph, since=1_000, until=1_999, relays=[dead])
    assert not run.success
    assert covered(graph, dead) == [Interval(0, 999), Interval(2_000, 1_999_999_999)]
    assert graph.checks(run, "reachable")[dead].description == "connection refused"


def test_it_wants_to_know_from_when_on(graph: Graph) -> None:
    job = defs.resolve_job_def("resync")
    assert dg.validate_run_config(job, {"ops": {"read_again": {"config": {"since": 5}}}})
    with pytest.raises(dg.DagsterInvalidConfigError, match="since"):
        dg.validate_run_config(job, {})
