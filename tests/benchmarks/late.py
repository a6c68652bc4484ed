"""What it costs to find events that come late, anywhere in years: with NIP-77, on a relay that keeps them all.

nostr-sdk's LocalRelay on LMDB, with `--events` (200,000) over 1,000 days. After two syncs, 500 events are added
whose `created_at` is any second of these days. Then three more syncs.
"""

import asyncio
import tempfile
import time
from pathlib import Path
from random import Random

from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.sync import RelayReport, sync_relays
from tests.benchmarks.archives import archives
from tests.benchmarks.figures import Options, Result, Row
from tests.nostr.helpers import signed
from tests.relays.local_relay import LocalRelayProcess, load
from tests.sync.helpers import config, stored_ids

EVENTS, DAYS, LATE, RUNS = 200_000, 1_000, 500, 3


def drawn(count: int, seed: int) -> list[Event]:
    """So many events of the last `DAYS`."""
    now, random = int(time.time()) - 120, Random(seed)
    return [
        signed(now - random.randrange(DAYS * 86_400), content=f"{seed} {number}" + "x" * random.randrange(400))
        for number in range(count)
    ]


def measured(database: str, folder: Path, events: int) -> Row:
    """What the runs that follow received, and how many of them it took."""
    path, stored = folder / "events.jsonl", folder / "relay"
    path.write_bytes(b"\n".join(event.to_json() for event in drawn(events, 1)))
    late = drawn(LATE, 2)

    def synced(url: str) -> RelayReport:
        [report] = asyncio.run(sync_relays(database, config(), [url])).relays
        if not report.ok or report.gaps:
            raise RuntimeError(f"{report.error or report.gaps}")
        return report

    with LocalRelayProcess(path, folder=stored, ready_within=1_200) as relay:
        synced(relay.url)
        synced(relay.url)
        asyncio.run(load(relay.url, [event.to_json() for event in late]))
        row: dict[str, float] = {
            "found": 0.0,
            "runs": 0.0,
            "received_bytes": 0.0,
            "received_events": 0.0,
            "seconds": 0.0,
        }
        for _ in range(RUNS):
            report = synced(relay.url)
            row["received_bytes"] += report.bytes_received
            row["received_events"] += report.events_received
            row["seconds"] += report.seconds
            row["runs"] += row["found"] < LATE
            row["found"] = float(len(stored_ids(database) & {event.id for event in late}))
    return row


def measure(options: Options) -> Result:
    events = options.events or EVENTS
    result = Result("late", {"events": events, "days": DAYS, "late": LATE, "runs": RUNS})
    with archives() as server, server.fresh() as database, tempfile.TemporaryDirectory() as folder:
        result.add("reconciled", measured(database, Path(folder), events))
    figures = result.figures["reconciled"] = result.medians("reconciled")
    result.bars["all found by the next three runs"] = figures["found"] == LATE
    result.bars["with at most 5 MB received"] = figures["received_bytes"] <= 5e6
    return result
