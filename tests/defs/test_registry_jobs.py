"""The jobs that change the registry by a form: what they do, and what they say of each URL."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from bigbrotr_dagster.archive.registry import registered_relays
from bigbrotr_dagster.definitions import defs
from bigbrotr_dagster.defs.automation import relay_partitions
from bigbrotr_dagster.defs.graph import RELAYS
from bigbrotr_dagster.defs.relays import NEXT_STEP
from tests.defs.helpers import Graph
from tests.sync.helpers import ask

A, B = "wss://a.example.com", "wss://b.example.com"
OPS = {"add_relays": "register", "remove_relays": "unregister"}


@pytest.fixture(autouse=True)
def empty(graph: Graph) -> Iterator[None]:
    graph.register()
    yield
    graph.register()


def launch(graph: Graph, job: str, **config: Any) -> dg.ExecuteInProcessResult:
    given = {"ops": {OPS[job]: {"config": config}}} if config else {}
    return defs.resolve_job_def(job).execute_in_process(
        instance=graph.instance, run_config=given, raise_on_error=False
    )


def said(graph: Graph, run: dg.ExecuteInProcessResult) -> str:
    return "\n".join(
        entry.user_message for entry in graph.instance.all_logs(run.run_id) if not entry.dagster_event
    )


def done(graph: Graph, run: dg.ExecuteInProcessResult) -> dict[str, str]:
    """What the run left on asset `relays`, by URL."""
    events = graph.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    found = [event.asset_materialization for event in events]
    [one] = [one for one in found if one is not None and one.asset_key == RELAYS]
    return {row.data["relay"].strip("` "): row.data["done"].strip("` ") for row in one.metadata["done"].records}


def registered(graph: Graph) -> set[str]:
    found = {relay.url for relay in registered_relays(graph.database)}
    assert found == set(graph.instance.get_dynamic_partitions("relay")), "partitions followed in the same run"
    return found


def test_relays_are_added_from_a_list_and_from_lines(graph: Graph) -> None:
    run = launch(graph, "add_relays", relays=[A], lines=f"# mine\n{B} # the second\n\n{A}\n")
    assert run.success
    assert registered(graph) == {A, B}
    assert done(graph, run) == {A: "added", B: "added"}
    again = launch(graph, "add_relays", relays=["WSS://A.example.com:443/"])
    assert done(graph, again) == {"WSS://A.example.com:443/": "already there"}


def test_what_is_no_relay_is_refused_in_one_line_and_the_rest_is_done(graph: Graph, config_file: Path) -> None:
    config_file.write_text("allow_private: false\n")
    run = launch(graph, "add_relays", relays=[A, "https://b.example.com", "ws://127.0.0.1:7777", "x\x1b[2J"])
    assert not run.success
    assert registered(graph) == {A}
    told = done(graph, run)
    assert told[A] == "added"
    assert told["ws://127.0.0.1:7777"] == "refused: private address; allow_private is not set"
    assert told["https://b.example.com"].startswith("refused: ")
    assert "\x1b" not in said(graph, run)
    [failure] = [event for event in run.all_events if event.is_step_failure]
    description = str(failure.step_failure_data.user_failure_data.description)
    assert description.startswith("3 of 4 URLs were refused\nhttps://b.example.com: ")
    assert "\x1b" not in description


def test_relays_are_removed_and_discovery_does_not_bring_them_back(graph: Graph) -> None:
    graph.register(A, B)
    run = launch(graph, "remove_relays", relays=[A, "wss://stranger.example.com"])
    assert run.success
    assert registered(graph) == {B}
    assert done(graph, run) == {A: "removed", "wss://stranger.example.com": "was not registered"}
    assert ask(graph.database, f"SELECT next_try = 'infinity' FROM relay_candidate WHERE url = '{A}'") == [(True,)]
    assert not launch(graph, "remove_relays", relays=["nonsense"]).success


@pytest.mark.parametrize("job", OPS)
def test_launched_as_it_opens_it_says_that_no_url_was_given(graph: Graph, job: str) -> None:
    graph.register(A)
    for config in ({}, {"relays": [], "lines": ""}):
        run = launch(graph, job, **config)
        assert run.success
        assert "no URL was given" in said(graph, run)
        assert registered(graph) == {A}


def test_an_empty_registry_names_the_next_step(graph: Graph) -> None:
    graph.register(A)
    launch(graph, "remove_relays", relays=[A])
    [shown] = graph.instance.fetch_materializations(RELAYS, limit=1).records
    assert shown.asset_materialization is not None
    assert shown.asset_materialization.metadata["next_step"].value == NEXT_STEP
    with graph.tick(relay_partitions) as context:
        assert str(relay_partitions.evaluate_tick(context).skip_message) == NEXT_STEP
