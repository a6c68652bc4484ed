"""Resident memory over a million events of one relay: it has to stay where it is after the first of them."""

import tempfile
from pathlib import Path

from tests.benchmarks.archives import archives, stored
from tests.benchmarks.events import events_file
from tests.benchmarks.figures import Options, Result
from tests.benchmarks.processes import run_module, serving
from tests.e2e.program import peak_memory

EVENTS = 1_000_000
REPEAT = 1
SAMPLES = 10


def measure(options: Options) -> Result:
    count, repeat = options.events or EVENTS, options.repeat or REPEAT
    result = Result("memory", {"events": count, "repeat": repeat, "unit": "MB of 1,000,000 bytes"})
    events = events_file(options.build, count)
    with archives() as server, serving("tests.relays.file_relay", 5_000, events) as relay:
        for _ in range(repeat):
            with server.fresh() as database, tempfile.TemporaryDirectory() as folder:
                urls = [f"ws://127.0.0.1:{relay.port}/0"]
                given = {"database": database, "relays": urls, "sample_every": count // SAMPLES}
                ran = run_module("tests.benchmarks.sync_client", Path(folder), **given)
                if stored(database) != (count, count):
                    raise RuntimeError(f"stored {stored(database)} of {count}")
            sizes = [size / 1e6 for _, size in ran.output["samples"]][:SAMPLES]
            result.add(
                "resident", {f"{100 * (n + 1) // SAMPLES}%": size for n, size in enumerate(sizes[:SAMPLES])}
            )
            summary = {"peak": ran.peak_bytes / 1e6, "growth": sizes[-1] - sizes[0]}
            result.add("summary", summary | {"growth_by_first": sizes[-1] / sizes[0] - 1})
            result.add("rate", {"events_per_second": count / ran.output["seconds"]})
        result.settings["peak_of_the_relay_mb"] = round(peak_memory(relay.pid) / 1e6)
    for label in result.runs:
        result.figures[label] = result.medians(label)
    return result
