"""How the rate falls with distance: the same relay behind a proxy that adds 0, 50, 300 and 900 ms a round trip.

The relay is LocalRelay with the limits of a strict public one: 500 events an answer, 20 subscriptions at once.
"""

import tempfile
from pathlib import Path

from tests.benchmarks.archives import archives, stored
from tests.benchmarks.events import events_file
from tests.benchmarks.figures import Options, Result
from tests.benchmarks.processes import run_module, serving
from tests.relays.local_relay import LocalRelayProcess

EVENTS = 70_000
REPEAT = 3

ROUND_TRIPS = (0, 50, 300, 900)
"""Milliseconds."""

BAR = (300, 0.6)
"""At so many milliseconds, the least share of the rate without delay."""


def measure(options: Options) -> Result:
    count, repeat = options.events or EVENTS, options.repeat or REPEAT
    result = Result("rtt", {"events": count, "repeat": repeat, "cap": 500, "subscriptions": 20})
    events = events_file(options.build, count)
    with archives() as server, LocalRelayProcess(events, cap=500, subscriptions=20) as relay:
        for _ in range(repeat):
            alone = 0.0
            for milliseconds in ROUND_TRIPS:
                with (
                    serving("tests.relays.distant", relay.port, milliseconds / 1000) as proxy,
                    server.fresh() as database,
                    tempfile.TemporaryDirectory() as folder,
                ):
                    url = f"ws://127.0.0.1:{proxy.port}"
                    ran = run_module("tests.benchmarks.sync_client", Path(folder), database=database, relays=[url])
                    if stored(database) != (count, count):
                        raise RuntimeError(f"{milliseconds} ms: stored {stored(database)} of {count}")
                rate = count / ran.output["seconds"]
                alone = alone or rate
                row = {"events_per_second": rate, "of_the_rate_at_0_ms": rate / alone}
                result.add(f"{milliseconds} ms", row | {"requests": ran.output["report"]["requests"]})
    for label in result.runs:
        result.figures[label] = result.medians(label)
    milliseconds, share = BAR
    reached = result.figures[f"{milliseconds} ms"]["of_the_rate_at_0_ms"]
    result.bars[f"at {milliseconds} ms at least {share:.0%} of the rate at 0 ms"] = reached >= share
    return result
