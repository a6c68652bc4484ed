"""deploy/compose.yaml at work, as processes: workers under one cap, killed and stopped; servers that restart."""

import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar
from urllib.error import HTTPError
from urllib.parse import urlsplit

import psutil
import pytest

from bigbrotr_dagster.defs.runs.run_process import PROCESS_TAG
from tests.defs.helpers import Relays, some_events
from tests.defs.test_caps import contenders
from tests.deploy.compose import compose
from tests.deploy.stack import Stack, running_stack
from tests.e2e.graphql import eventually
from tests.machine import timed
from tests.postgres15 import Server
from tests.relays.scripted import ScriptedRelay
from tests.sync.helpers import ask, stored_ids

pytestmark = pytest.mark.slow

T = TypeVar("T")

CAP = 4
"""Relays at once, over all workers."""

INTERVAL = 300
"""Seconds, as in every archive."""

OPTIONS = f"""
interval: {INTERVAL}
allow_private: true
networks: {{clearnet: {{timeout: 600, max_tasks: {CAP}, max_per_host: {CAP}}}}}
timeouts: {{idle: 3600}}
processing: {{end_lag: 0, since: 1789990000}}
partitions_per_run: 6
dead_run_seconds: 10
"""
"""Two runs for 12 relays, which may be silent for as long as a test keeps their gates shut."""

ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


class Run:
    """A run as the UI shows it: its status, its tags; and its worker's host name, which the UI does not."""

    def __init__(self, shown: dict[str, object], processes: dict[str, str]) -> None:
        self.id, self.status = str(shown["runId"]), str(shown["status"])
        self.tags = {tag["key"]: tag["value"] for tag in shown["tags"]}  # type: ignore[attr-defined]
        self.worker = processes.get(self.id, " ").split(" ")[0]
        self.parent = self.tags.get("dagster/parent_run_id", "")
        """The run that it is a retry of, if it is one."""

    def __repr__(self) -> str:
        return f"{self.id[:8]} {self.status} on {self.worker or 'none'}"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Server]]:
    with running_stack(tmp_path_factory.mktemp("stack"), OPTIONS) as started:
        yield started


@pytest.fixture
def relays() -> Iterator[Relays]:
    with Relays() as serving:
        yield serving


def patiently(look: Callable[[], T], seconds: float, every: float = 0.5) -> T:
    """As `eventually`, of a UI whose connections to PostgreSQL were cut: each of them fails one question."""

    def tried() -> T | None:
        try:
            return look()
        except HTTPError:
            return None

    return eventually(tried, seconds, every)


def runs(stack: Stack) -> list[Run]:
    query = "{runsOrError {... on Runs {results {runId status tags {key value}}}}}"
    shown = stack.ui.ask(query)["runsOrError"]["results"]
    processes = dict(ask(stack.dagster_url, f"SELECT run_id, value FROM run_tags WHERE key = '{PROCESS_TAG}'"))
    return [Run(one, processes) for one in shown]


def why(stack: Stack, run: Run) -> str:
    """All that the run's log says."""
    query = """query ($id: ID!) {logsForRun(runId: $id) {... on EventConnection {events {
        ... on MessageEvent {message}}}}}"""
    events = stack.ui.ask(query, id=run.id)["logsForRun"]["events"]
    return "\n".join(event.get("message", "") for event in events)


def begun(stack: Stack, count: int) -> list[Run] | None:
    """The runs that have begun and not ended, if there are so many."""
    found = [run for run in runs(stack) if run.status == "STARTED" and run.worker]
    return found if len(found) == count else None


def test_a_killed_worker_and_servers_that_restart_cost_nothing(
    servers: tuple[Stack, Server], relays: Relays
) -> None:
    stack, server = servers
    relay = gated(relays)
    urls = [f"{relay.url}/{number:02}" for number in range(15)]
    stack.run("worker", "bigbrotr-dagster", "relays", "add", "--allow-private", *urls)
    filled = leave_out(stack, urls[12:])
    killed, kept = stack.begin()

    first = eventually(lambda: begun(stack, 2), 90)
    assert {run.worker for run in first} == {killed, kept}
    eventually(lambda: contenders(stack.owner_url, "clearnet", CAP) == 2 and connections(relay) == CAP, 30)
    backfill = stack.ui.backfill(filled)
    stack.kill(killed)
    with timed() as recovery:
        replacement = stack.start_worker()
        stack.restart_redis()
        server.restart()
        [lost] = [run for run in first if run.worker == killed]
        second = patiently(lambda: begun(stack, 3), 90)
        assert {run.worker for run in second} == {killed, kept, replacement}, "it is not known to be dead"
        assert [run.worker for run in second if "dagster/backfill" in run.tags] == [replacement]
        eventually(lambda: contenders(stack.owner_url, "clearnet", CAP) == 2 and connections(relay) == CAP, 30)
        relay.answers = None
        ended = patiently(lambda: all_ended(stack, lost), INTERVAL)
    assert recovery.seconds < INTERVAL
    assert {run.id: run.status for run in ended if run.status != "SUCCESS"} == {lost.id: "FAILURE"}
    assert "The run held no lock and left no event for" in patiently(lambda: why(stack, lost), 30)
    assert [run.parent for run in ended if run.parent] == [lost.id]
    assert patiently(lambda: stack.ui.backfill_status(backfill) == "COMPLETED_SUCCESS", 60)
    assert patiently(stack.ui.green, 30) == set(urls)
    assert all(stored_ids(stack.owner_url, url) == {event.id for event in relay.events} for url in urls)


def gated(relays: Relays) -> ScriptedRelay:
    """A relay that answers nothing yet."""
    relay = relays.serve(some_events(12), cap=6, answers=0)
    relays.enter(opened_in_the_end(relay))
    return relay


@asynccontextmanager
async def opened_in_the_end(relay: ScriptedRelay) -> AsyncIterator[None]:
    try:
        yield
    finally:
        relay.answers = None


def connections(relay: ScriptedRelay) -> int:
    """Those that living processes have; the relay itself does not notice an end while its gate is shut."""
    port = urlsplit(relay.url).port
    found = psutil.net_connections("tcp4")
    return sum(bool(one.raddr) and one.raddr.port == port and one.pid is not None for one in found)


def leave_out(stack: Stack, urls: list[str]) -> list[str]:
    """Let nothing take these relays for due."""
    listed = ",".join(urls)
    ask(
        stack.owner_url,
        "INSERT INTO relay_limits (relay_url, attempted_at) SELECT url, now() + interval '1 hour'"
        f" FROM relay WHERE url = ANY('{{{listed}}}') RETURNING 1",
    )
    return urls


def all_ended(stack: Stack, lost: Run) -> list[Run] | None:
    """The runs, once none is left that goes on, and the lost one was started again."""
    found = runs(stack)
    are_ended = all(run.status in ENDED for run in found) and any(run.parent == lost.id for run in found)
    return found if are_ended else None


def launch(stack: Stack, relay: ScriptedRelay) -> Run:
    """Start a run of a relay that nothing takes for due; return once it is in the middle of it."""
    stack.run("worker", "bigbrotr-dagster", "relays", "add", "--allow-private", relay.url)
    leave_out(stack, [relay.url])
    stack.begin()
    launched = patiently(lambda: stack.ui.launch({"relays": [relay.url]}), 60)
    eventually(lambda: len(relay.requests) >= 6, 90)
    [run] = [run for run in runs(stack) if run.id == launched]
    return run


def test_a_worker_that_is_stopped_stores_what_it_has(servers: tuple[Stack, Server], relays: Relays) -> None:
    """As `docker compose stop` does it: by the service's signal, and within its time."""
    stack, _ = servers
    relay = relays.serve(some_events(60, "stopped"), cap=6, delay=0.2, answers=6)
    relays.enter(opened_in_the_end(relay))
    run = launch(stack, relay)
    process, service = stack.processes.pop(run.worker), compose()["services"]["worker"]
    [container] = psutil.Process(process.pid).children()
    with timed() as stopping:
        container.send_signal(signal.Signals[service["stop_signal"]])
        process.wait(120)
    assert stopping.seconds < float(service["stop_grace_period"].removesuffix("s"))
    assert 8 <= len(stored_ids(stack.owner_url, relay.url)) < 60
    relay.answers = None
    eventually(lambda: [one.status for one in runs(stack) if one.parent == run.id] == ["SUCCESS"], 90)
    assert stored_ids(stack.owner_url, relay.url) == {event.id for event in relay.events}


def test_terminate_ends_a_run_and_nothing_starts_it_again(servers: tuple[Stack, Server], relays: Relays) -> None:
    stack, _ = servers
    relay = relays.serve(some_events(600, "terminated"), cap=6, delay=0.2)
    run = launch(stack, relay)
    mutation = "mutation ($id: String!) {terminateRun(runId: $id) {__typename}}"
    assert stack.ui.ask(mutation, id=run.id)["terminateRun"]["__typename"] == "TerminateRunSuccess"
    ended = eventually(lambda: [one for one in runs(stack) if one.id == run.id and one.status in ENDED], 60)
    assert ended[0].status == "CANCELED"
    assert 8 <= len(stored_ids(stack.owner_url, relay.url)) < 600
    assert not [one for one in runs(stack) if one.parent == run.id]


def test_the_health_checks_see_what_is_well_and_what_is_not(servers: tuple[Stack, Server]) -> None:
    stack, _ = servers
    one, other = stack.begin()[:2]
    for service, name in [("code", ""), ("webserver", ""), ("daemon", ""), ("worker", one), ("worker", other)]:
        eventually(partial(stack.is_well, service, name), 90, every=2)
    stack.kill(one)
    assert not stack.is_well("worker", one)
    assert stack.is_well("worker", other)
