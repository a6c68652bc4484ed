"""Whoever can start a run cannot let it reach more than the configuration does."""

from pathlib import Path

import dagster as dg
import pytest

from bigbrotr_dagster.config import ConfigError, load_config
from bigbrotr_dagster.definitions import defs
from tests.defs.helpers import Graph, Relays, some_events

PUBLIC = "processing: {end_lag: 0, since: 1789990000}"


def test_a_runs_config_cannot_allow_private_addresses(graph: Graph, relays: Relays, config_file: Path) -> None:
    relay = relays.serve(some_events(2))
    graph.register(relay.url)
    config_file.write_text(PUBLIC)
    run = graph.sync(relay.url, allow_private=True)
    assert not run.success
    [failure] = [event.step_failure_data.error for event in run.all_events if event.is_step_failure]
    assert failure is not None
    assert "allow_private: a run's config cannot allow what the configuration does not" in failure.message
    assert relay.requests == []


def test_a_runs_config_can_forbid_them(graph: Graph, relays: Relays, config_file: Path) -> None:
    relay = relays.serve(some_events(2))
    graph.register(relay.url)
    graph.sync(relay.url, allow_private=False)
    assert relay.requests == []
    assert graph.sync(relay.url, allow_private=True).success  # the configuration allows it as well
    assert relay.requests


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"since": -1}, "the run's config: processing.since: "),
        ({"until": -1}, "the run's config: processing.until: "),
        ({"filters": [{"kind": [1]}]}, "the run's config: processing.filters"),
    ],
)
def test_a_value_that_an_option_does_not_allow_fails_the_run_in_one_line(
    graph: Graph, relays: Relays, given: dict[str, object], line: str
) -> None:
    relay = relays.serve(some_events(2))
    graph.register(relay.url)
    run = graph.sync(relay.url, **given)
    assert not run.success
    [failure] = [event.step_failure_data for event in run.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None, "one line, and no trace of ours to read"
    assert line in failure.user_failure_data.description
    assert "\n" not in failure.user_failure_data.description
    assert relay.requests == []


@pytest.mark.parametrize(
    "resources",
    [
        {"synchronizer": {"config": {"config_path": "/tmp/other.yaml"}}},
        {"database": {"config": {"url": "postgresql://"}}},
    ],
)
def test_a_runs_config_names_no_other_configuration_and_no_other_database(
    graph: Graph, resources: dict[str, object]
) -> None:
    for job in ("relay_sync", "resync"):
        op = {"read_again": {"config": {"since": 0}}} if job == "resync" else {"relay_cursor": {"config": {}}}
        with pytest.raises(dg.DagsterInvalidConfigError):
            defs.resolve_job_def(job).execute_in_process(
                instance=graph.instance, run_config={"resources": resources, "ops": op}
            )


def test_the_operators_variable_allows_them_whatever_the_file_says(
    config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_file.write_text("allow_private: false")
    monkeypatch.setenv("BIGBROTR_ALLOW_PRIVATE", "1")
    assert load_config().allow_private
    monkeypatch.setenv("BIGBROTR_ALLOW_PRIVATE", "yes")
    with pytest.raises(ConfigError, match=r"BIGBROTR_ALLOW_PRIVATE is 1 or not set, not 'yes'"):
        load_config()
