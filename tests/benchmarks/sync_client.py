"""One cycle of our sync, without Dagster, in a process of its own; prints what it cost as a JSON object.

    python -m tests.benchmarks.sync_client '{"database": URL, "relays": [URL...], "sample_every": EVENTS}'

The clocks run from the first REQ until `sync_relays` has returned, which is after the last commit.
`samples` holds [events received, resident bytes] at every `sample_every` events.
"""

import asyncio
import json
import sys
from typing import Any

from bigbrotr_dagster.nostr.connection import Conversation
from bigbrotr_dagster.sync import Progress, sync_relays, watched
from tests.benchmarks.metering import Meter, resident_bytes
from tests.sync.helpers import config

SAMPLE_SECONDS = 0.005
"""Pause between two looks at the progress."""

TIMEOUT = 30
"""Seconds that a relay has to answer: several of the longest round trip."""


async def measured(database: str, relays: list[str], sample_every: int = 0, at_once: int = 0) -> dict[str, Any]:
    """Sync `relays`; report what it did and cost.

    `at_once` is the number of relays at once over all clients of the archive; 0: those of this one.

    Raises:
        RuntimeError: a relay failed, or left a gap.
    """
    meter = Meter()
    meter.watch(Conversation, "__anext__")  # sends what was asked
    progress = Progress()
    watched.set(progress)
    samples: list[tuple[int, int]] = []
    sampling = asyncio.create_task(_sample(progress, sample_every, samples)) if sample_every else None
    most = at_once or len(relays)
    all_at_once = {"max_tasks": most, "max_per_host": most}
    options = config(networks={"clearnet": {"timeout": TIMEOUT} | all_at_once})
    report = (await sync_relays(database, options, relays)).to_json_dict()
    cost = meter.read()
    if sampling is not None:
        sampling.cancel()
    if report["relays_failed"] or report["gaps"]:
        raise RuntimeError(f"the sync is not complete: {report}")
    del report["per_relay"]
    return cost | {"report": report, "samples": samples}


async def _sample(progress: Progress, every: int, samples: list[tuple[int, int]]) -> None:
    due = every
    while True:
        if progress.events_received >= due:
            samples.append((progress.events_received, resident_bytes()))
            due += every
        await asyncio.sleep(SAMPLE_SECONDS)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measured(**json.loads(sys.argv[1])))))
