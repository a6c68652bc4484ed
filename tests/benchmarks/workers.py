"""One, two and three processes that sync side by side into one PostgreSQL, each from a relay of its own.

`new`: events that nobody has brought. `known`: the same events from the same files under another URL, so that all
of them are stored already. The relays, PostgreSQL and the processes share the machine's cores: where these are
busy, the rate says what the machine can do, and the CPU of each part what another machine could. The relays do not
answer to NIP-77, which is tried once the most is known: for `known` some seconds of silence are in the time, so
that only its CPU tells something.
"""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil

from tests.benchmarks.archives import Archives, archives, stored
from tests.benchmarks.events import events_file
from tests.benchmarks.figures import Options, Result, Row
from tests.benchmarks.processes import Ran, run_module, serving
from tests.benchmarks.usage import cpu_of

EVENTS = 20_000
"""Of each process's relay."""

REPEAT = 3
WORKERS = (1, 2, 3)
PAGE = 500


def figures(ran: list[Ran], postgres: float, events: int) -> Row:
    """`postgres`: its CPU seconds. The rate is that of all events in the time of the slowest process."""
    output = [one.output for one in ran]
    count = events * len(ran)
    return {
        "events_per_second": count / max(one["seconds"] for one in output),
        "client_us_per_event": sum(one["cpu_seconds"] for one in output) / count * 1e6,
        "postgres_us_per_event": postgres / count * 1e6,
    }


def side_by_side(server: Archives, database: str, urls: list[str], events: int) -> Row:
    """Sync each of `urls` by a process of its own, all at once."""
    watched = psutil.Process(server.pid)
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(len(urls)) as threads:

        def sync(number: int) -> Ran:
            folder = Path(name) / str(number)
            folder.mkdir()
            given = {"database": database, "relays": [urls[number]], "at_once": len(urls)}
            return run_module("tests.benchmarks.sync_client", folder, **given)

        before = cpu_of(watched)
        ran = list(threads.map(sync, range(len(urls))))
        return figures(ran, cpu_of(watched) - before, events)


def measure(options: Options) -> Result:
    """The ratio is of rates, by the rate of one process."""
    events, repeat = options.events or EVENTS, options.repeat or REPEAT
    result = Result("workers", {"events": events, "repeat": repeat})
    files = [events_file(options.build, events, seed) for seed in range(1, max(WORKERS) + 1)]
    with archives() as server, ExitStack() as relays:
        ports = [relays.enter_context(serving("tests.relays.file_relay", PAGE, file)).port for file in files]
        for _ in range(repeat):
            for workers in WORKERS:
                urls = [f"ws://127.0.0.1:{port}/0" for port in ports[:workers]]
                with server.fresh() as database:
                    for times, (phase, end) in enumerate((("new", ""), ("known", "/again")), start=1):
                        row = side_by_side(server, database, [url + end for url in urls], events)
                        if stored(database) != (workers * events, times * workers * events):
                            raise RuntimeError(f"{phase}: stored {stored(database)} by {workers} processes")
                        result.add(f"{phase}, {workers}", row)
    alone = result.medians("new, 1")["events_per_second"]
    for label in result.runs:
        result.figures[label] = result.medians(label)
    for workers in WORKERS:
        found = result.figures[f"new, {workers}"]
        found["ratio"] = found["events_per_second"] / alone
    return result
