"""deploy/compose.yaml at work, as processes: two workers under one cap, one killed, both servers restarted."""

import time
from collections.abc import Iterator
from urllib.error import HTTPError

import pytest

from tests.defs.helpers import Relays, some_events
from tests.deploy.stack import Stack, running_stack
from tests.e2e.graphql import eventually
from tests.postgres15 import Server
from tests.relays.scripted import ScriptedRelay
from tests.sync.helpers import ask, stored_ids

pytestmark = pytest.mark.slow

CAP = 4
"""Relays at once, over both workers."""

OPTIONS = f"""
allow_private: true
networks: {{clearnet: {{timeout: 600, max_tasks: {CAP}, max_per_host: {CAP}}}}}
timeouts: {{idle: 3600}}
processing: {{end_lag: 0, since: 1789990000}}
partitions_per_run: 6
dead_run_seconds: 10
"""
"""Two runs for 12 relays, which may be silent for long; the interval is that of all archives, 300 s."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Server]]:
    with running_stack(tmp_path_factory.mktemp("stack"), OPTIONS) as started:
        yield started


def runs(stack: Stack) -> dict[str, tuple[str, str, set[str]]]:
    """Of each run its status, its worker's host name, and its tags."""
    query = "{runsOrError {... on Runs {results {runId status tags {key value}}}}}"
    found = {}
    for run in stack.ui.ask(query)["runsOrError"]["results"]:
        tags = {tag["key"]: tag["value"] for tag in run["tags"]}
        found[run["runId"]] = run["status"], tags.get("bigbrotr/process", " ").split(" ")[0], set(tags)
    return found


def said_of(stack: Stack, run_id: str) -> str:
    query = """query ($id: ID!) {logsForRun(runId: $id) {... on EventConnection {events {
        ... on MessageEvent {message}}}}}"""
    return "\n".join(one["message"] for one in stack.ui.ask(query, id=run_id)["logsForRun"]["events"])


def test_a_killed_worker_and_servers_that_restart_cost_nothing(
    servers: tuple[Stack, Server], relay_server: Relays
) -> None:
    stack, server = servers
    relay = relay_server.serve(some_events(12), cap=6, answers=0)
    urls = [f"{relay.url}/{number:02}" for number in range(15)]
    scheduled, filled = urls[:12], urls[12:]
    stack.run("worker", "bigbrotr-dagster", "relays", "add", "--allow-private", *urls)
    never = f"INSERT INTO relay_limits (relay_url, attempted_at) SELECT url, now() + interval '1 hour' FROM relay"
    ask(stack.owner_url, f"{never} WHERE url = ANY('{{{','.join(filled)}}}') RETURNING 1")
    stack.start_daemon()
    stack.start("webserver")
    for name in ("worker-1", "worker-2"):
        stack.start("worker", name)

    eventually(stack.ui.answers, 60)
    eventually(lambda: stack.ui.partitions() >= set(urls), 60)
    backfill = stack.ui.backfill(filled)
    begun = eventually(lambda: all_begun(stack, 3), 90)
    assert {host for _, host, _ in begun.values()} == {"worker-1", "worker-2"}
    assert len([run for run, (_, _, tags) in begun.items() if "dagster/backfill" in tags]) == 1
    eventually(lambda: relay.connections == CAP, 30)

    stack.kill("worker-1")
    killed_at = time.monotonic()
    lost = {run for run, (_, host, _) in begun.items() if host == "worker-1"}
    stack.start("worker", "worker-3")
    stack.restart_redis()
    server.restart()
    time.sleep(1)
    relay.answers = None
    ended = eventually(lambda: all_ended(stack, 3 + len(lost)), 150)
    print(f"{time.monotonic() - killed_at:.0f} s")
    print(ended)
    for run in lost:
        assert ended[run][0] == "FAILURE"
        assert "held no lock and left no event" in said_of(stack, run)
    assert {status for run, (status, _, _) in ended.items() if run not in lost} == {"SUCCESS"}
    assert stack.ui.green() == set(urls)
    everything = {event.id for event in relay.events}
    assert all(stored_ids(stack.owner_url, url) == everything for url in urls)
    assert relay.most_connections == CAP
    assert stack.ui.backfill_status(backfill) == "COMPLETED_SUCCESS"


def all_begun(stack: Stack, count: int) -> dict[str, tuple[str, str, set[str]]] | None:
    found = runs(stack)
    are_begun = len(found) == count and all(status == "STARTED" and host for status, host, _ in found.values())
    return found if are_begun else None


def all_ended(stack: Stack, count: int) -> dict[str, tuple[str, str, set[str]]] | None:
    try:
        found = runs(stack)
    except HTTPError:
        return None  # the web server's connection to PostgreSQL was cut; it takes another one now
    are_ended = len(found) >= count and all(status in ("SUCCESS", "FAILURE") for status, _, _ in found.values())
    return found if are_ended else None


@pytest.fixture
def relay_server() -> Iterator[Relays]:
    with Relays() as serving:
        yield serving
