"""One cycle over thousands of relays through the real daemon: `python -m tests.benchmarks.cycle`.

The relays are those of `many_relays`, in a process of their own beside everything else. Two cycles are measured:
the first sync of relays that were just registered, and the next one, when one relay in ten has 20 new events, the
others have nothing, and the dead are tried again. CPU is that of every process of Dagster and of PostgreSQL, ended
ones included. What the sync itself takes is measured by doing the same two cycles with `sync_relays` alone.

`--idle N` measures another thing: one cycle over N relays without anything new, in this process, as the command
`sync --once` does it.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import psutil
import psycopg

from bigbrotr_dagster.archive.registry import register_relays, registered_relays, remove_relays
from bigbrotr_dagster.config import load_config
from bigbrotr_dagster.defs.automation import sync_in_process
from bigbrotr_dagster.defs.instance import prepare_home
from bigbrotr_dagster.defs.runs.in_flight import IN_FLIGHT
from bigbrotr_dagster.storage import embedded
from bigbrotr_dagster.storage.address import database_url
from bigbrotr_dagster.storage.databases import ensure_database
from bigbrotr_dagster.storage.sessions import connect
from bigbrotr_dagster.sync import sync_relays
from tests.benchmarks.relay_program import Relays, many_relays
from tests.benchmarks.usage import cpu_of, watched
from tests.killing import kill_each
from tests.ports import free_port

# An interval that no cron line has: the schedule ticks every minute, and takes a relay once in seven.
CONFIG = "{allow_private: true, interval: 420, networks: {clearnet: {max_per_host: 25}}}"
PATIENCE = 1200.0
IDLE_SECONDS = 60.0

TRANSACTIONS = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
"""The number of the server's next transaction, in all its databases; only those that write take one."""


@dataclass
class Cost:
    """What a stretch of work took; CPU in seconds, of the programs and of PostgreSQL."""

    wall: float = 0.0
    cpu: float = 0.0
    postgres: float = 0.0

    def line(self, what: str, relays: int) -> str:
        each = 1000 / relays
        return (
            f"{what}: {self.wall:.0f} s wall, CPU {self.cpu:.1f} s ({self.cpu * each:.2f} ms a relay)"
            f" + PostgreSQL {self.postgres:.1f} s ({self.postgres * each:.2f} ms a relay)"
        )


@contextmanager
def measured(program: Callable[[], float], server: psutil.Process) -> Iterator[Cost]:
    cost = Cost()
    before, postgres, started = program(), cpu_of(server), time.monotonic()
    yield cost
    cost.wall = time.monotonic() - started
    cost.cpu, cost.postgres = program() - before, cpu_of(server) - postgres


def stop(process: psutil.Process) -> None:
    """End Dagster with all that it has started."""
    started = [process, *process.children(recursive=True)]
    process.terminate()
    _, left = psutil.wait_procs(started, timeout=30)
    kill_each(left)


def make_all_due(url: str) -> None:
    with connect(url) as connection:
        connection.execute("UPDATE relay_limits SET attempted_at = now() - interval '1 day', retry_at = NULL")


def without_dagster(server: psutil.Process, count: int) -> list[Cost]:
    """The same two cycles by `sync_relays` alone, in an archive of its own."""
    own = database_url().replace("/bigbrotr?", "/alone?")
    ensure_database(own)
    costs = []
    with many_relays(count) as relays:
        register_relays(own, relays.urls)
        for _ in range(2):
            with measured(time.process_time, server) as cost:
                asyncio.run(sync_relays(own, load_config(), relays.urls))
            costs.append(cost)
            relays.more()
    return costs


def answer(url: str, question: str, *values: object) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(question.encode(), values).fetchone()
    return row[0] if row else None


def wait_for_cycle(url: str, instance: dg.DagsterInstance, since: float, count: int) -> None:
    """Until every relay has been tried since then, and no run is left."""
    deadline = time.monotonic() + PATIENCE
    tried = "SELECT count(DISTINCT relay_url) FROM sync_attempt WHERE finished_at >= to_timestamp(%s)"
    while time.monotonic() < deadline:
        if answer(url, tried, since) == count and not instance.get_runs(dg.RunsFilter(statuses=IN_FLIGHT)):
            return
        time.sleep(1)
    raise TimeoutError(f"{answer(url, tried, since)} of {count} relays were tried within {PATIENCE:.0f} s")


def describe(url: str, instance: dg.DagsterInstance, since: float, relays: Relays) -> None:
    """What the cycle consisted of."""
    records = instance.get_run_records(
        filters=dg.RunsFilter(created_after=dg._time.datetime_from_timestamp(since))
    )
    spans = [(record.start_time or since, record.end_time or since) for record in records]
    print(
        f"  {len(records)} runs, from {min(start for start, _ in spans) - since:.0f} s to"
        f" {max(end for _, end in spans) - since:.0f} s after the relays were due:"
        f" {sorted({record.dagster_run.status.value for record in records})}"
    )
    attempts = "FROM sync_attempt WHERE finished_at >= to_timestamp(%s)"
    for what, column in (("ok", "count(*) FILTER (WHERE ok)"), ("failed", "count(*) FILTER (WHERE NOT ok)")):
        print(f"  {what}: {answer(url, f'SELECT {column} {attempts}', since)}", end="")
    print(f"; new events: {answer(url, f'SELECT sum(events_new) {attempts}', since)}", end="")
    print(f"; connections at once: {relays.most_connections()}")
    for state in instance.all_instigator_state():
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, after=since)
        took = [tick.end_timestamp - tick.timestamp for tick in ticks if tick.end_timestamp]
        if took:
            print(f"  tick of {state.instigator_name}: at most {max(took):.1f} s")


def through_the_daemon(folder: Path, server: psutil.Process, count: int) -> tuple[list[Cost], float]:
    """The cost of the cycles, and the CPU that a second takes in which nothing is due."""
    url = database_url()
    ensure_database(url)
    log = (folder / "daemon.log").open("wb")
    # As `bigbrotr-dagster dev` does it. (A daemon alone would start another code server every minute.)
    command = [
        sys.executable,
        "-m",
        "dagster",
        "dev",
        "-m",
        "bigbrotr_dagster.definitions",
        "-p",
        str(free_port()),
    ]
    costs = []
    with many_relays(count) as relays, dg.DagsterInstance.get() as instance:
        daemon = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            process = psutil.Process(daemon.pid)
            while not instance.all_instigator_state():  # its first ticks
                time.sleep(0.5)
            time.sleep(10)
            with measured(lambda: cpu_of(process), server) as idle_cost:
                time.sleep(IDLE_SECONDS)
            per_second = (idle_cost.cpu + idle_cost.postgres) / idle_cost.wall
            print(f"idle, without a relay: {100 * per_second:.1f}% of a core, PostgreSQL's part included")
            for number in range(2):
                since, first = time.time(), answer(url, TRANSACTIONS)
                with watched(process, server) as usage, measured(lambda: cpu_of(process), server) as cost:
                    if number == 0:
                        register_relays(url, relays.urls)
                    else:
                        make_all_due(url)
                        relays.more()
                    wait_for_cycle(url, instance, since, count)
                costs.append(cost)
                print(cost.line(f"cycle {number + 1} through the daemon", count), flush=True)
                describe(url, instance, since, relays)
                print(f"  transactions that wrote: {answer(url, f'{TRANSACTIONS} - {first}')}")
                for line in usage.lines():
                    print(f"  {line}", flush=True)
        finally:
            stop(process)

    return costs, per_second


def full(folder: Path, count: int, with_alone: bool) -> None:
    server = psutil.Process(embedded.status(folder).pid)
    found, idle_second = through_the_daemon(folder, server, count)
    if not with_alone:
        return
    for number, (alone, all_of_it) in enumerate(zip(without_dagster(server, count), found, strict=True), 1):
        print(alone.line(f"cycle {number} by sync_relays alone", count))
        share = all_of_it.cpu + all_of_it.postgres - alone.cpu - alone.postgres
        resting = idle_second * all_of_it.wall
        print(
            f"  Dagster's share: {1000 * share / count:.2f} ms of CPU a relay, PostgreSQL's part included;"
            f" {1000 * (share - resting) / count:.2f} ms without what it takes when nothing is due"
        )


def idle(folder: Path, count: int) -> None:
    url = database_url()
    ensure_database(url)
    server = psutil.Process(embedded.status(folder).pid)
    with many_relays(count * 10 // 6 + 10) as relays:
        urls = [relay for number, relay in enumerate(relays.urls) if 1 <= number % 10 <= 6][:count]
        remove_relays(url, [relay.url for relay in registered_relays(url)])
        register_relays(url, urls)
        for what in ("first sync", "nothing new"):
            with measured(time.process_time, server) as cost:
                report = sync_in_process(url, urls)
            assert not report.failed, report.failed[0]
            print(cost.line(f"{count} idle relays in process, {what}", count))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--relays", type=int, default=10_000)
    parser.add_argument("--idle", type=int, default=0, help="measure so many idle relays in process instead")
    parser.add_argument(
        "--no-comparison", action="store_true", help="leave out what the sync takes without Dagster"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cycle-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "synchronizer.yaml").write_text(CONFIG)
        os.environ |= {"BIGBROTR_DATA_DIR": name, "BIGBROTR_CONFIG": str(folder / "synchronizer.yaml")}
        os.environ.pop("BIGBROTR_DATABASE_URL", None)
        os.environ.pop("DAGSTER_HOME", None)
        os.environ["DAGSTER_HOME"] = str(prepare_home())
        database_url()
        try:
            if given.idle:
                idle(folder, given.idle)
            else:
                full(folder, given.relays, not given.no_comparison)
        finally:
            embedded.leave(folder)


if __name__ == "__main__":
    main()
