"""This project and BigBrotr 6.6.9: the same events, relay program and PostgreSQL server, turn and turn about.

`new`: a relay into an empty archive. `known`: then the same events from a second relay, so that all there is to
store is who has them. Both are configured as they come, but for `end_lag: 0` and relays on loopback; both write
without fsync. Figures in the process are from the first REQ to after the last commit, without Dagster on our side;
`command` is the whole process of what a user would start; its `new` begins in an empty folder.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from tests.benchmarks.archives import BIGBROTR, OURS, archives, stored
from tests.benchmarks.events import events_file
from tests.benchmarks.figures import Options, Result, Row, medians
from tests.benchmarks.processes import Ran, run, run_module
from tests.e2e.program import environment
from tests.relays.local_relay import LocalRelayProcess

EVENTS = 20_000
REPEAT = 3

PINS = ("bigbrotr==6.6.9", "nostr-sdk==0.44.2")
RUNNER = Path(__file__).with_name("bigbrotr_runner.py")

Client = Callable[[str, str, Path], Ran]
"""Syncs the archive at a URL from the relay at another, with a folder to work in."""


def install_bigbrotr(build: Path) -> Path:
    """Python of a virtual environment that holds BigBrotr; made once."""
    folder = build / "-".join(PINS).replace("==", "-")
    done = folder / "installed"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, *PINS], check=True)
        done.touch()
    return folder / "bin" / "python"


def sync(database: str, relay: str, folder: Path) -> Ran:
    return run_module("tests.benchmarks.sync_client", folder, database=database, relays=[relay])


def command(database: str, relay: str, folder: Path) -> Ran:
    """`bigbrotr-dagster sync --once`: with Dagster, its instance and its event log."""
    words = ["sync", "--once", "--relay", relay, "--allow-private", "--json"]
    return run(
        [sys.executable, "-m", "bigbrotr_dagster", *words],
        folder,
        environment(folder, BIGBROTR_DATABASE_URL=database),
    )


def bigbrotr(python: Path) -> Client:
    def client(database: str, relay: str, folder: Path) -> Ran:
        where = conninfo_to_dict(database)
        given = f'{{"host": "{where["host"]}", "database": "{where["dbname"]}", "relay": "{relay}"}}'
        return run([str(python), str(RUNNER), given], folder, os.environ)

    return client


def figures(ran: Ran, events: int) -> Row:
    """Rates and costs of one run; those of the process alone where it measured itself."""
    row = {
        "whole_seconds": ran.seconds,
        "whole_cpu_us_per_event": ran.cpu_seconds / events * 1e6,
        "peak_mb": ran.peak_bytes / 1e6,
    }
    if "cpu_seconds" in ran.output:
        row["events_per_second"] = events / ran.output["seconds"]
        row["cpu_us_per_event"] = ran.output["cpu_seconds"] / events * 1e6
    return row


def measure(options: Options) -> Result:
    count, repeat = options.events or EVENTS, options.repeat or REPEAT
    result = Result("bigbrotr", {"events": count, "repeat": repeat, "against": " ".join(PINS)})
    clients: list[tuple[str, str, Client]] = [
        ("ours", OURS, sync),
        ("bigbrotr", BIGBROTR, bigbrotr(install_bigbrotr(options.build))),
        ("ours, command", OURS, command),
    ]
    events = events_file(options.build, count)
    with archives() as server, LocalRelayProcess(events) as first, LocalRelayProcess(events) as second:
        result.settings["postgresql"] = server.version()
        for number in range(repeat):
            for label, template, client in clients if number % 2 == 0 else reversed(clients):
                with server.fresh(template) as database, tempfile.TemporaryDirectory() as folder:
                    for phase, relay in (("new", first), ("known", second)):
                        ran = client(database, relay.url, Path(folder))
                        pairs = count if phase == "new" else 2 * count
                        if stored(database) != (count, pairs):
                            raise RuntimeError(f"{label}, {phase}: stored {stored(database)} of {count}")
                        result.add(f"{phase}, {label}", figures(ran, count))
    compare(result)
    return result


def compare(result: Result) -> None:
    """Medians of each, and how many times better ours are: the median over the pairs that ran side by side."""
    for label in result.runs:
        result.figures[label] = result.medians(label)
    for phase in ("new", "known"):
        pairs = zip(result.runs[f"{phase}, ours"], result.runs[f"{phase}, bigbrotr"], strict=True)
        factors = [advantage(ours, theirs) for ours, theirs in pairs]
        result.figures[f"{phase}, ours is better by a factor of"] = medians(factors)


def advantage(ours: Row, theirs: Row) -> Row:
    costs = ("cpu_us_per_event", "peak_mb", "whole_seconds")
    rate = ours["events_per_second"] / theirs["events_per_second"]
    return {"events_per_second": rate} | {cost: theirs[cost] / ours[cost] for cost in costs}
