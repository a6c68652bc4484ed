"""How long it takes to check thousands of relays, and the memory: `python -m tests.benchmarks.health`.

The relays are those of `many_relays`, with NIP-11 documents, in a process of their own beside all else: three in
ten are dead, and of these one in ten never says a word. CPU is that of this process and of PostgreSQL. In the
second round all documents but those of the round trips are stored already.
"""

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path

import psutil

from bigbrotr_dagster.archive.registry import register_relays
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.discovery.health import check_relays
from bigbrotr_dagster.storage import embedded
from bigbrotr_dagster.storage.address import database_url
from bigbrotr_dagster.storage.databases import ensure_database
from tests.benchmarks.cycle import measured
from tests.benchmarks.relay_program import many_relays
from tests.e2e.program import peak_memory

ROUNDS = 2


def measure(folder: Path, count: int, tasks: int) -> None:
    url = database_url()
    ensure_database(url)
    network = {"max_tasks": tasks, "max_per_host": tasks}
    config = SynchronizerConfig.model_validate({"allow_private": True, "networks": {"clearnet": network}})
    server = psutil.Process(embedded.status(folder).pid)
    with many_relays(count, documents=True) as relays:
        register_relays(url, relays.urls)
        for number in range(ROUNDS):
            with measured(time.process_time, server) as cost:
                report = asyncio.run(check_relays(url, config, relays.urls))
            print(cost.line(f"round {number + 1}, {count} relays, {tasks} at once", count))
            print(
                f"  {report.alive} alive, {len(report.relays)} checked, {dict(list(report.missed().items())[:3])}"
            )
            print(f"  {peak_memory(os.getpid()) / 1e6:.0f} MB at most, {relays.most_connections()} connections")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--relays", type=int, default=2_000)
    parser.add_argument("--tasks", type=int, default=25, help="networks.clearnet.max_tasks")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="health-", ignore_cleanup_errors=True) as folder:
        os.environ |= {"BIGBROTR_DATA_DIR": folder}
        os.environ.pop("BIGBROTR_DATABASE_URL", None)
        try:
            measure(Path(folder), given.relays, given.tasks)
        finally:
            embedded.leave(Path(folder))


if __name__ == "__main__":
    main()
