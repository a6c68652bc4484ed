"""Dagster's own storage: our dagster.yaml finds it with and without environment variables."""

import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from bigbrotr_dagster.defs.jobs import NETWORK_TAG
from bigbrotr_dagster.storage import embedded
from bigbrotr_dagster.storage.pool import DatabaseUnavailable
from tests.conftest import in_database
from tests.postgres15 import postgres15

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["PostgreSQL 15 named by the variable", "embedded PostgreSQL, no variable"])
def server(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of the server that an instance comes to use; nothing was made in it."""
    for name in ("BIGBROTR_DATABASE_URL", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BIGBROTR_DATA_DIR", str(tmp_path))
    if request.param.startswith("embedded"):
        yield embedded.start(tmp_path)
        embedded.leave(tmp_path)
        return
    with postgres15(tmp_path / "postgresql15") as debian:
        monkeypatch.setenv("BIGBROTR_DATABASE_URL", in_database(debian.url, "bigbrotr"))
        yield debian.url


def test_an_instance_makes_its_database_and_keeps_events_there(server: str) -> None:
    with dg.DagsterInstance.from_config(str(ROOT)) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("relays", metadata={"relays": 3}))
        instance.add_dynamic_partitions("relay", ["wss://relay.example"])
    with psycopg.connect(in_database(server, "dagster")) as connection:
        [(events,)] = connection.execute("SELECT count(*) FROM event_logs").fetchall()
    assert events == 1


def test_another_process_opens_the_same_instance_by_reference(server: str) -> None:
    """Each of Dagster's processes gets the instance so."""
    with dg.DagsterInstance.from_config(str(ROOT)) as instance:
        instance.add_dynamic_partitions("relay", ["wss://relay.example"])
        with dg.DagsterInstance.from_ref(instance.get_ref()) as again:
            assert list(again.get_dynamic_partitions("relay")) == ["wss://relay.example"]


def test_events_are_written_again_after_the_server_dropped_the_connections(server: str) -> None:
    with dg.DagsterInstance.from_config(str(ROOT)) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("relays"))
        with psycopg.connect(in_database(server, "postgres"), autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'dagster'")
        instance.report_runless_asset_event(dg.AssetMaterialization("relays"))
        assert len(instance.fetch_materializations(dg.AssetKey("relays"), limit=10).records) == 2


def sessions(server: str) -> int:
    """How many sessions database `dagster` has seen; the statistics of one that ended come a moment later."""
    time.sleep(1)
    with psycopg.connect(in_database(server, "postgres")) as connection:
        question = "SELECT sessions FROM pg_stat_database WHERE datname = 'dagster'"
        [(count,)] = connection.execute(question).fetchall()
    return int(count)


def test_a_process_that_opens_instance_after_instance_opens_no_further_session(server: str) -> None:
    """As a code server does, for every tick: a session costs the server more than what is asked in it."""
    for number in range(10):
        if number == 1:
            before = sessions(server)
        with dg.DagsterInstance.from_config(str(ROOT)) as instance:
            instance.report_runless_asset_event(dg.AssetMaterialization("relays"))
            assert not instance.get_runs()
            assert not instance.all_instigator_state()
    assert sessions(server) == before


def test_a_server_that_does_not_answer_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGBROTR_DATABASE_URL", "postgresql://nobody:secret@127.0.0.1:1/bigbrotr")
    with pytest.raises(DatabaseUnavailable) as error, dg.DagsterInstance.from_config(str(ROOT)) as instance:
        instance.get_runs()
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


def test_runs_are_capped_per_network_and_only_crashes_are_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BIGBROTR_DATABASE_URL", raising=False)
    monkeypatch.setenv("BIGBROTR_DATA_DIR", str(tmp_path))
    with dg.DagsterInstance.from_config(str(ROOT)) as instance:
        limits = instance.get_concurrency_config().run_queue_config
        assert limits is not None
        caps = {(one["key"], one["value"]): one["limit"] for one in limits.tag_concurrency_limits}
        assert caps == {(NETWORK_TAG, "clearnet"): 25} | {
            (NETWORK_TAG, name): 5 for name in ("tor", "i2p", "loki")
        }
        assert limits.max_concurrent_runs == 30
        assert instance.run_retries_enabled
        assert not instance.run_retries_retry_on_asset_or_op_failure
        assert not instance.telemetry_enabled
    embedded.leave(tmp_path)
