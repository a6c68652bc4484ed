"""`metrics`, scraped as Prometheus does: right, never going down, and there while the database is not."""

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bigbrotr_dagster.archive import metrics, registry
from bigbrotr_dagster.archive.registry import relays
from bigbrotr_dagster.nostr.relay_url import parse_relay_url
from bigbrotr_dagster.storage.databases import ensure_database
from bigbrotr_dagster.storage.ingest import Cursor, Quarantined, Tally
from bigbrotr_dagster.storage.sessions import connect, open_pool
from bigbrotr_dagster.storage.state import AttemptResult, begin_attempt, finish_attempt
from bigbrotr_dagster.windowing.intervals import Interval
from bigbrotr_dagster.windowing.tasks import Gap, Unproven
from tests.conftest import in_database
from tests.e2e.program import start
from tests.machine import within
from tests.nostr.helpers import signed
from tests.ports import free_port
from tests.postgres15 import postgres15
from tests.storage.test_writer import delivery, store
from tests.sync.helpers import ask, tell

pytestmark = pytest.mark.slow

GOOD, BAD, NEW, ONION = (
    "wss://good.example.com",
    "wss://bad.example.com",
    "wss://new.example.com",
    f"ws://{'a' * 56}.onion",
)
Sample = tuple[str, tuple[tuple[str, str], ...]]


def sample(name: str, /, **labels: str) -> Sample:
    return name, tuple(sorted(labels.items()))


def parsed(text: str) -> dict[Sample, float]:
    families = text_string_to_metric_families(text)
    return {sample(one.name, **one.labels): one.value for family in families for one in family.samples}


def scrape(port: int, seconds: float = 120) -> dict[Sample, float]:
    """One answer; waits for the server to listen.

    Raises:
        OSError: nobody listens.
    """
    deadline = time.monotonic() + seconds
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            assert answer.status == 200
            assert (answer.getheader("Content-Type") or "").startswith("text/plain")
            return parsed(answer.read().decode())
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        finally:
            connection.close()


@contextmanager
def serving(home: Path, database: str) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    port = free_port()
    process = start(home, "metrics", "--port", str(port), BIGBROTR_DATABASE_URL=database)
    try:
        yield port, process
    finally:
        process.kill()
        process.communicate()


async def attempt(database: str, url: str, *, ok: bool, received: int = 0, rejected: int = 0) -> None:
    result = AttemptResult(
        ok, None if ok else "no", received, requests=3, bytes_received=1_000, insecure=False, interval=300
    )
    tally = Tally(events_new=received, late_events=1)
    tally.rejected["bad_id"] = rejected
    tally.late_by["week"] = 1
    async with open_pool(database) as pool, pool.connection() as connection:
        state = await begin_attempt(connection, url, "run", [])
        for _ in range(2):  # an answer to COMMIT may be lost, and all of it done again
            await finish_attempt(connection, url, state, result, tally, {})


async def fill(database: str) -> None:
    with connect(database) as connection:
        relays.add_relays(connection, [parse_relay_url(url) for url in (GOOD, BAD, NEW, ONION)])
    gap = Gap(Interval(5, 14), Unproven.REFUSED, held=0, detail="not here: ever")
    now = int(time.time())
    async with open_pool(database) as pool:
        held = delivery(signed(5), relay=GOOD, covered=[Interval(0, now - 100)], cursor=Cursor(now - 100))
        rejected = [Quarantined("bad_id", b"{}"), Quarantined("nul", b"[]"), Quarantined("nul", b"[1]")]
        partly = delivery(relay=BAD, covered=[Interval(0, 4)], gaps=[gap], cursor=Cursor(now - 300))
        await store(pool, held, partly, delivery(relay=BAD, rejected=rejected))
    await attempt(database, GOOD, ok=True, received=20, rejected=2)
    await attempt(database, GOOD, ok=True, received=5)
    await attempt(database, BAD, ok=False)


async def test_the_figures_are_those_of_the_archive(any_database: str, tmp_path: Path) -> None:
    await fill(any_database)
    with serving(tmp_path, any_database) as (port, process):
        found = scrape(port)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert stderr.strip() == "bigbrotr-dagster: stopped; everything that was received is stored"
    clearnet = {"network": "clearnet"}
    for state, count in (("ok", 1), ("failed", 1), ("never_tried", 1)):
        assert found[sample("bigbrotr_relays", state=state, **clearnet)] == count
    assert found[sample("bigbrotr_relays", state="never_tried", network="tor")] == 1
    expected = {
        sample("bigbrotr_database_up"): 1,
        sample("bigbrotr_relays_waiting", **clearnet): 1,
        sample("bigbrotr_relays_without_cursor", **clearnet): 1,
        sample("bigbrotr_gaps", reason="refused"): 1,
        sample("bigbrotr_gap_seconds", reason="refused"): 10,
        sample("bigbrotr_quarantined_events", reason="nul"): 2,
        sample("bigbrotr_quarantined_events", reason="bad_id"): 1,
        sample("bigbrotr_syncs_total", outcome="ok", **clearnet): 2,
        sample("bigbrotr_syncs_total", outcome="failed", **clearnet): 1,
        sample("bigbrotr_events_received_total", **clearnet): 25,
        sample("bigbrotr_events_new_total", **clearnet): 25,
        sample("bigbrotr_events_known_total", **clearnet): 0,
        sample("bigbrotr_events_late_total", **clearnet): 3,
        sample("bigbrotr_events_late_by_age_total", age="week", **clearnet): 3,
        sample("bigbrotr_events_rejected_total", reason="bad_id", **clearnet): 2,
        sample("bigbrotr_requests_total", **clearnet): 9,
        sample("bigbrotr_received_bytes_total", **clearnet): 3_000,
        sample("service_info", service="synchronizer"): 1,
        sample("service_counter_total", service="synchronizer", name="events_collected"): 25,
        sample("service_counter_total", service="synchronizer", name="relays_synced"): 3,
        sample("service_counter_total", service="synchronizer", name="total_sync_failures"): 1,
        sample("cycle_duration_seconds_count", service="synchronizer"): 0,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert 300 <= found[sample("bigbrotr_lag_max_seconds", **clearnet)] < 360
    assert 200 <= found[sample("bigbrotr_lag_median_seconds", **clearnet)] < 260
    assert sample("bigbrotr_lag_max_seconds", network="tor") not in found
    assert abs(found[sample("bigbrotr_last_success_timestamp_seconds", **clearnet)] - time.time()) < 60
    assert found[sample("bigbrotr_table_size_bytes", table="event")] > 0


async def test_counters_never_go_down(database: str) -> None:
    await fill(database)
    registry_of_metrics = metrics.archive_metrics(database)
    counters = {"bigbrotr_requests_total": 9, "bigbrotr_events_received_total": 25}

    def values() -> dict[str, float | None]:
        return {name: registry_of_metrics.get_sample_value(name, {"network": "clearnet"}) for name in counters}

    assert values() == counters
    tell(database, "UPDATE sync_attempt SET started_at = now() - interval '30 days'")
    registry.remove_relays(database, [BAD])  # its attempts go, too
    registry.delete_stale_cursors(database)
    assert ask(database, "SELECT count(*) FROM sync_attempt") == [(1,)]
    time.sleep(metrics.FRESH_SECONDS)
    assert values() == counters


async def test_attempts_from_before_the_totals_are_counted(database: str) -> None:
    await fill(database)
    # How late events came was not counted when the totals began.
    totals = "SELECT * FROM sync_total WHERE value > 0 AND name NOT LIKE 'late:%' ORDER BY 1, 2"
    counted = ask(database, totals)
    drop = "DROP TABLE sync_total; DROP TRIGGER sync_attempt_add_to_total ON sync_attempt;"
    drop += "DROP FUNCTION sync_attempt_add_to_total; DROP FUNCTION sync_attempt_counts;"
    tell(database, f"{drop} DELETE FROM schema_migration WHERE name = 'totals'")
    ensure_database(database)
    assert ask(database, totals) == counted


async def test_rows_are_estimated_before_and_after_an_analyze(database: str) -> None:
    async with open_pool(database) as pool:
        await store(pool, delivery(*[signed(number) for number in range(300)]))
    name, labels = "bigbrotr_table_rows", {"table": "event"}
    # PostgreSQL counts what a session wrote when that session is idle, or ends, which is soon after it was closed.
    deadline = time.monotonic() + 60
    while metrics.archive_metrics(database).get_sample_value(name, labels) != 300:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    tell(database, "ANALYZE event")
    assert metrics.archive_metrics(database).get_sample_value(name, labels) == 300


def test_while_the_database_is_away_that_is_said_and_nothing_else(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    up = sample("bigbrotr_database_up")
    with postgres15(tmp_path_factory.mktemp("away")) as server:
        database = in_database(server.url, "bigbrotr")
        with serving(tmp_path, database) as (port, process):
            assert scrape(port)[up] == 0  # there is no such database yet
            ensure_database(database)
            time.sleep(metrics.FRESH_SECONDS)
            assert sample("bigbrotr_table_rows", table="event") in scrape(port)
            server.stop()
            time.sleep(metrics.FRESH_SECONDS)
            away = scrape(port)
            assert away[up] == 0
            assert {name for name, _ in away} == {"bigbrotr_database_up", "bigbrotr_build_info"}
            server.start()
            time.sleep(metrics.FRESH_SECONDS)
            assert scrape(port)[up] == 1
            process.send_signal(signal.SIGTERM)
            _, stderr = process.communicate(timeout=120)
    assert process.returncode == 143
    lines = stderr.splitlines()
    assert len(lines) == 4, stderr
    begin = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ WARNING bigbrotr_dagster\.archive\.metrics: ")
    assert all(begin.match(line) for line in lines)


def test_a_database_without_our_tables_is_named(debian_server: str, caplog: pytest.LogCaptureFixture) -> None:
    found = metrics.archive_metrics(in_database(debian_server, "postgres"))
    assert found.get_sample_value("bigbrotr_database_up") == 0
    [record] = caplog.records
    assert 'relation "relay' in record.message
    assert "db migrate" in record.message


async def test_a_slow_query_is_given_up(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bigbrotr_dagster.archive.metrics.QUERY_SECONDS", 0.3)
    monkeypatch.setattr("bigbrotr_dagster.archive.metrics.CONNECT_SECONDS", 1)
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE sync_gap IN ACCESS EXCLUSIVE MODE")
        with within(3):
            assert metrics.archive_metrics(database).get_sample_value("bigbrotr_database_up") == 0
