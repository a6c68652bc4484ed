"""A signal in the middle of a run: what was received is stored, what is done is recorded, the rest is pending."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import orjson
import pytest

from tests.defs.helpers import Graph, Relays, some_events
from tests.sync.helpers import ask, stored_ids


def execute(urls: list[str], folder: Path) -> "subprocess.Popen[str]":
    """The run in a process of its own, as a code server would have it."""
    config = folder / "run.yaml"
    config.write_bytes(orjson.dumps({"ops": {"relay_cursor": {"config": {"relays": urls}}}}))
    arguments = ["job", "execute", "-m", "bigbrotr_dagster.definitions", "-j", "relay_sync", "-c", str(config)]
    return subprocess.Popen(
        [sys.executable, "-m", "dagster", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize(
    ("dev", "ends_as"),
    [(True, dg.DagsterRunStatus.CANCELED), (False, dg.DagsterRunStatus.FAILURE)],
    ids=["by the operator of dev", "by the machine"],
)
def test_a_run_that_is_interrupted_keeps_what_it_has(
    graph: Graph,
    relays: Relays,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dev: bool,
    ends_as: dg.DagsterRunStatus,
) -> None:
    if dev:
        monkeypatch.setenv("BIGBROTR_DEV", "1")
    quick = relays.serve(some_events(5, f"quick {dev}"))
    slow = relays.serve(some_events(60, f"slow {dev}"), cap=6, delay=0.4)
    graph.register(quick.url, slow.url)
    process = execute([quick.url, slow.url], tmp_path)
    deadline = time.monotonic() + 60
    while len(slow.requests) < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    try:
        said, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert time.monotonic() - started < 10

    [run] = graph.instance.get_runs(limit=1)
    assert run.status is ends_as, said
    records = graph.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey("relay_cursor"), asset_partitions=[quick.url]), limit=10
    ).records
    assert [record.run_id for record in records] == [run.run_id]
    have = stored_ids(graph.database, slow.url)
    assert 8 <= len(have) < 60  # some requests check what others brought
    covered = ask(
        graph.database,
        "SELECT lower(part), upper(part) FROM sync_coverage, unnest(covered) AS part"
        f" WHERE relay_url = '{slow.url}'",
    )
    for lower, upper in covered:
        assert {event.id for event in slow.events if lower <= event.created_at < upper} <= have

    slow.delay = 0
    asked = len(slow.requests)
    again = graph.sync(slow.url)
    assert again.success
    assert stored_ids(graph.database, slow.url) == {event.id for event in slow.events}
    left = graph.materializations(again)[slow.url]
    assert left["observations_new"] == 60 - len(have)
    assert len(slow.requests) - asked <= 1.3 * (60 - len(have)) // 5 + 8  # and some confirm the end
