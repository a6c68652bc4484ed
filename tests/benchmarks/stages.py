"""What the stages of an event cost one by one, and how much more than their sum a sync costs."""

import tempfile
from pathlib import Path

import orjson

from tests.benchmarks.archives import archives
from tests.benchmarks.events import events_file
from tests.benchmarks.figures import Options, Result
from tests.benchmarks.processes import run_module, serving

EVENTS = 20_000
REPEAT = 3
PAGE = 500

BAR = 1.5
"""The most that a sync may cost, as a multiple of the sum of its stages."""


def page_ends(events: Path) -> list[int]:
    """`until` of each page of `PAGE` events, newest first."""
    newest_first = [orjson.loads(line)["created_at"] for line in events.read_bytes().splitlines()][::-1]
    return newest_first[::PAGE]


def measure(options: Options) -> Result:
    count, repeat = options.events or EVENTS, options.repeat or REPEAT
    result = Result("stages", {"events": count, "repeat": repeat, "unit": "µs of client CPU an event"})
    events = events_file(options.build, count)
    paging = {"untils": page_ends(events), "limit": PAGE}
    with archives() as server, serving("tests.relays.file_relay", 5_000, events) as relay:
        for _ in range(repeat):
            with server.fresh() as database, tempfile.TemporaryDirectory() as folder:
                given = paging | {"database": database, "relay": f"ws://127.0.0.1:{relay.port}/0"}
                ran = run_module("tests.benchmarks.stage_client", Path(folder), **given)
            floor, sync = ran.output["floor"], ran.output["sync"]
            total = sum(floor.values())
            result.add("stages", floor | {"sum": total})
            result.add("beside", ran.output["beside"])
            row = {"cpu": sync, "cpu_by_sum": sync / total, "events_per_second": ran.output["rate"]}
            result.add("sync", row)
    for label in result.runs:
        result.figures[label] = result.medians(label)
    result.bars[f"a sync costs at most {BAR} times its stages"] = result.figures["sync"]["cpu_by_sum"] <= BAR
    return result
