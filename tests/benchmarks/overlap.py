"""Ten relays at once, any two of which share 80% of their events: what comes again is the most of what comes.

`new`: into an empty archive. `known`: the same again from ten other relays, so that every event is stored
already. The events of one relay are drawn from all times, as on the public network.
"""

import tempfile
from pathlib import Path
from random import Random

from tests.benchmarks.archives import archives, stored
from tests.benchmarks.events import events_file
from tests.benchmarks.figures import Options, Result, Row
from tests.benchmarks.processes import Ran, run_module, serving

EVENTS = 50_000
"""Of all relays together, counting an event once for each relay that holds it."""

REPEAT = 3
RELAYS = 10
SHARED = 0.8


def split(events: Path, shared: int, folder: Path) -> list[Path]:
    """A file for each relay: `shared` events, drawn at random, are in all of them, each other event is in one."""
    lines = events.read_bytes().splitlines(keepends=True)
    draws = list(range(len(lines)))
    Random(1).shuffle(draws)
    files = []
    for number in range(RELAYS):
        held = sorted(draws[:shared] + draws[shared + number :: RELAYS])
        files.append(folder / f"{number}.jsonl")
        files[-1].write_bytes(b"".join(lines[index] for index in held))
    return files


def figures(ran: Ran, arrivals: int) -> Row:
    """Every arrival is an observation that is stored; an event is new where it is stored for the first time."""
    report = ran.output["report"]
    new = report["events_new"]
    row = {
        "arrivals_per_second": arrivals / ran.output["seconds"],
        "cpu_us_per_arrival": ran.output["cpu_seconds"] / arrivals * 1e6,
        "bytes_per_arrival": report["bytes_received"] / arrivals,
        "peak_mb": ran.peak_bytes / 1e6,
    }
    return row | {"bytes_per_new_event": report["bytes_received"] / new} if new else row


def measure(options: Options) -> Result:
    arrivals, repeat = options.events or EVENTS, options.repeat or REPEAT
    each = arrivals // RELAYS
    shared = int(SHARED * each)
    distinct = shared + RELAYS * (each - shared)
    settings = {
        "arrivals": RELAYS * each,
        "distinct": distinct,
        "relays": RELAYS,
        "shared": SHARED,
        "repeat": repeat,
    }
    result = Result("overlap", settings | {"repeat": repeat})
    events = events_file(options.build, distinct)
    with tempfile.TemporaryDirectory() as folder, archives() as server:
        files = split(events, shared, Path(folder))
        with serving("tests.relays.file_relay", 500, *files) as relay:
            urls = [f"ws://127.0.0.1:{relay.port}/{number}" for number in range(RELAYS)]
            for _ in range(repeat):
                with server.fresh() as database:
                    for times, (phase, end) in enumerate((("new", ""), ("known", "/again")), start=1):
                        given = {"database": database, "relays": [url + end for url in urls]}
                        ran = run_module("tests.benchmarks.sync_client", Path(folder), **given)
                        if stored(database) != (distinct, times * RELAYS * each):
                            raise RuntimeError(f"{phase}: stored {stored(database)} of {settings}")
                        result.add(phase, figures(ran, RELAYS * each))
    new, known = (result.figures.setdefault(phase, result.medians(phase)) for phase in ("new", "known"))
    result.figures["known by new"] = {
        "rate": known["arrivals_per_second"] / new["arrivals_per_second"],
        "cpu": known["cpu_us_per_arrival"] / new["cpu_us_per_arrival"],
    }
    return result
