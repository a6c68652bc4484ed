"""Dagster's own storage: our dagster.yaml finds it with and without environment variables."""

import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from bigbrotr_dagster.archive.registry import register_relays
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.defs.instance import storage as instance_storage
from bigbrotr_dagster.defs.instance.storage import require_own
from bigbrotr_dagster.defs.relays import follow_registry
from bigbrotr_dagster.defs.runs.in_flight import NETWORK_TAG
from bigbrotr_dagster.storage import embedded
from bigbrotr_dagster.storage.databases import DAGSTER_VARIABLE, ensure_database
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable
from tests.conftest import in_database
from tests.postgres15 import postgres15

pytestmark = pytest.mark.slow

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
    with psycopg.connect(in_database(server, "bigbrotr_dagster")) as connection:
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
            connection.execute(
                "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE datname = 'bigbrotr_dagster'"
            )
        instance.report_runless_asset_event(dg.AssetMaterialization("relays"))
        assert len(instance.fetch_materializations(dg.AssetKey("relays"), limit=10).records) == 2


def sessions(server: str) -> int:
    """How many sessions Dagster's database has seen, once its statistics, which come later, have settled."""
    before, count = -1, 0
    with psycopg.connect(in_database(server, "postgres"), autocommit=True) as connection:
        while count == 0 or count != before:
            time.sleep(1.2)  # a session tells once a second
            question = "SELECT sessions FROM pg_stat_database WHERE datname = 'bigbrotr_dagster'"
            before, [(count,)] = count, connection.execute(question).fetchall()
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


def instance_of(archive: str, patch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    """Dagster's instance as a process that serves this archive has it."""
    patch.setenv("BIGBROTR_DATABASE_URL", archive)
    return dg.DagsterInstance.from_config(str(ROOT))


@pytest.fixture
def two_archives(debian_server: str) -> Iterator[tuple[str, str]]:
    """URLs of two archives on one server, neither of which is there yet."""
    names = ("first", "second")
    yield tuple(in_database(debian_server, name) for name in names)  # type: ignore[misc]
    with psycopg.connect(debian_server, autocommit=True) as connection:
        for name in (*names, "first_dagster", "second_dagster", "dagster", "shared"):
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


def partitions(archive: str, patch: pytest.MonkeyPatch) -> set[str]:
    with instance_of(archive, patch) as instance:
        return set(instance.get_dynamic_partitions("relay"))


def dagsters_databases(archive: str) -> set[str]:
    with psycopg.connect(in_database(archive, "postgres"), autocommit=True) as connection:
        return {
            name for (name,) in connection.execute("SELECT datname FROM pg_database WHERE datname LIKE '%dagster'")
        }


def follow(archive: str, patch: pytest.MonkeyPatch, *relays: str) -> None:
    """Register relays, and let the partitions follow, as the sensor does."""
    ensure_database(archive)
    register_relays(archive, relays)
    with instance_of(archive, patch) as instance:
        follow_registry(instance, archive, SynchronizerConfig())


def test_two_archives_on_one_server_keep_their_partitions(
    two_archives: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two_archives
    follow(first, monkeypatch, "wss://a.example", "wss://b.example", "wss://c.example")
    follow(second, monkeypatch, "wss://d.example")
    follow(first, monkeypatch, "wss://e.example")
    assert partitions(first, monkeypatch) == {f"wss://{name}.example" for name in "abce"}
    assert partitions(second, monkeypatch) == {"wss://d.example"}


def test_the_database_dagster_of_before_stays_with_the_archive_whose_relays_it_holds(
    two_archives: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two_archives
    there_before = dagsters_databases(first)  # other tests' archives are on this server, too
    monkeypatch.setenv(DAGSTER_VARIABLE, "dagster")
    follow(first, monkeypatch, "wss://a.example", "wss://b.example", "wss://c.example")
    with psycopg.connect(in_database(first, "dagster"), autocommit=True) as connection:
        connection.execute("DELETE FROM kvs")  # as before: nobody has noted whose it is
    monkeypatch.delenv(DAGSTER_VARIABLE)
    instance_storage._found.clear()  # as a new process
    follow(second, monkeypatch, "wss://b.example", "wss://d.example")  # it comes first, and shares a relay
    assert partitions(first, monkeypatch) == {f"wss://{name}.example" for name in "abc"}
    assert partitions(second, monkeypatch) == {"wss://b.example", "wss://d.example"}
    instance_storage._found.clear()  # as a new process
    follow(first, monkeypatch)
    assert dagsters_databases(first) - there_before == {"dagster", "second_dagster"}


def test_an_instance_of_another_archive_is_refused_in_one_line(
    two_archives: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two_archives
    monkeypatch.setenv(DAGSTER_VARIABLE, "shared")
    follow(first, monkeypatch, "wss://a.example")
    with pytest.raises(DatabaseUnavailable, match=r"belongs to another archive than .*/second: ") as error:
        instance_of(second, monkeypatch)
    assert "\n" not in str(error.value)
    assert partitions(first, monkeypatch) == {"wss://a.example"}


def test_an_instance_elsewhere_is_refused_too(
    two_archives: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a dagster.yaml of the user's own keeps everything in SQLite, for example."""
    first, second = two_archives
    with dg.DagsterInstance.ephemeral() as instance:
        require_own(instance.daemon_cursor_storage, first)
        require_own(instance.daemon_cursor_storage, first)
        with pytest.raises(DatabaseUnavailable, match="another archive"):
            require_own(instance.daemon_cursor_storage, second)


def test_a_long_name_of_an_archive_leaves_room_for_dagsters(
    debian_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives = [in_database(debian_server, f"{'long' * 15}{number}") for number in (1, 2)]
    for number, archive in enumerate(archives):
        follow(archive, monkeypatch, f"wss://{number}.example")
    assert [partitions(one, monkeypatch) for one in archives] == [{"wss://0.example"}, {"wss://1.example"}]
