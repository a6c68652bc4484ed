"""Discovery in the graph: when it looks, what it shows, and that the loop closes."""

from pathlib import Path

import dagster as dg
import pytest

from bigbrotr_dagster.archive.registry import registered_relays
from bigbrotr_dagster.definitions import defs
from bigbrotr_dagster.defs.discovery import relay_discovery_sensor
from tests.defs.conftest import CONFIG
from tests.defs.helpers import Graph, Relays, dead_url
from tests.nostr.helpers import signed
from tests.sync.helpers import ask, tell

pytestmark = pytest.mark.slow

ON = "discovery: {enabled: true}\n"


@pytest.fixture(autouse=True)
def nothing_known(graph: Graph) -> None:
    graph.register()
    tell(graph.database, "TRUNCATE relay_candidate, event, observation")
    tell(graph.database, "DELETE FROM service_state WHERE service_name = 'discovery'")


def sensor_tick(graph: Graph, cursor: str | None = None) -> tuple[list[dg.RunRequest], str, str | None]:
    """The runs that a tick asks for, why there are none, and its cursor."""
    with dg.build_sensor_context(
        instance=graph.instance, resources=graph.resources, definitions=defs, cursor=cursor
    ) as context:
        data = relay_discovery_sensor.evaluate_tick(context)
    return list(data.run_requests or []), data.skip_message or "", data.cursor


def discover(graph: Graph) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def("relay_discovery").execute_in_process(instance=graph.instance)


def metadata(run: dg.ExecuteInProcessResult, asset: str) -> dict[str, object]:
    [made] = run.asset_materializations_for_node(asset)
    return {key: value.value for key, value in made.metadata.items()}


def test_without_the_option_nothing_is_looked_for(graph: Graph) -> None:
    requests, why, _ = sensor_tick(graph)
    assert (requests, why) == ([], "`discovery.enabled` is not set.")


def test_relays_lead_to_relays_and_the_graph_shows_it(graph: Graph, relays: Relays, config_file: Path) -> None:
    config_file.write_text(CONFIG + ON)
    far = relays.serve([signed(1_790_000_000, content="far")]).url
    dead = dead_url()
    lists = [signed(1_790_000_100, kind=10002, tags=[["r", far], ["r", dead], ["r", "wss://not/a relay"]])]
    near = relays.serve(lists).url
    assert sensor_tick(graph)[1].startswith("Nothing was archived")
    graph.register(near)
    graph.sync(near)
    [request], _, cursor = sensor_tick(graph)
    assert request.run_key.startswith("discovery/")
    run = discover(graph)
    assert run.success
    found, tried = metadata(run, "relay_candidates"), metadata(run, "relay_validated")
    assert (found["events_scanned"], found["candidates_new"], found["refused_by_reason"]) == (1, 2, {"invalid": 1})
    assert (tried["tried"], tried["validated"], tried["failed_by_reason"]) == (2, 1, {"network": 1})
    [check] = run.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("networks_reachable", True)
    assert {relay.url for relay in registered_relays(graph.database)} == {near, far}
    assert sensor_tick(graph, cursor)[1].startswith("Nothing was archived")  # and nothing is due
    graph.sync(far)
    requests, _, cursor = sensor_tick(graph, cursor)  # a relay was found just now: others may follow soon
    assert len(requests) == 1
    tell(graph.database, "UPDATE relay_candidate SET promoted_at = promoted_at - interval '1 hour'")
    assert sensor_tick(graph, cursor)[1].startswith("The next look is in")
    assert sensor_tick(graph, "1")[0]


def test_a_look_under_way_is_waited_for(graph: Graph, relays: Relays, config_file: Path) -> None:
    config_file.write_text(CONFIG + ON)
    url = relays.serve([signed(1_790_000_000)]).url
    graph.register(url)
    graph.sync(url)
    run = graph.instance.create_run_for_job(
        defs.resolve_job_def("relay_discovery"), status=dg.DagsterRunStatus.STARTED
    )
    assert sensor_tick(graph)[1] == "A look is under way."
    graph.instance.delete_run(run.run_id)
    assert sensor_tick(graph)[0]


def test_a_look_that_finds_nothing_makes_nothing_downstream_stale(graph: Graph) -> None:
    versions = []
    for _ in range(2):
        discover(graph)
        latest = graph.instance.get_latest_materialization_event(dg.AssetKey("relay_validated"))
        assert latest is not None
        assert latest.asset_materialization is not None
        versions.append((latest.asset_materialization.tags or {})["dagster/data_version"])
    assert versions[0] == versions[1]


def test_a_network_that_cannot_be_reached_fails_the_check(graph: Graph, config_file: Path) -> None:
    alive, named = dead_url(), dead_url()
    graph.register(alive)
    tell(graph.database, f"INSERT INTO relay_limits (relay_url, succeeded_at) VALUES ('{alive}', now())")
    tell(
        graph.database,
        f"INSERT INTO relay_candidate (url, network, host, source) VALUES ('{named}', 'local', 'h', 'file')",
    )
    run = discover(graph)
    [check] = run.get_asset_check_evaluations()
    assert not check.passed
    assert check.description == "no relay that was alive can be reached: clearnet"
    assert ask(graph.database, "SELECT failures FROM relay_candidate WHERE next_try < 'infinity'") == [(0,)]
    tell(graph.database, f"DELETE FROM relay_limits WHERE relay_url = '{alive}'")
