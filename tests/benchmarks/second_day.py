"""What it costs to know that nothing is missing: a week of one relay, with NIP-77 and without.

The relay is nostr-sdk's LocalRelay; the clock is made to pass. `--events` is the number of events a day (100,000):
1% of them arrive late, by a minute to three days, and 2% are replaced by a later one. A run every 300 seconds.
`paged` is the same relay, of which it is said before each run that it does not speak NIP-77.
"""

import asyncio
import tempfile
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.sync import RelayReport, sync_relays
from tests.benchmarks.archives import archives
from tests.benchmarks.figures import Options, Result, Row
from tests.nostr.helpers import signed
from tests.relays.local_relay import LocalRelayProcess, load
from tests.sync.clock import Clock, clock
from tests.sync.helpers import ask, config, tell

A_DAY, DAYS, INTERVAL = 100_000, 7, 300
DAY = 86_400

LATE, REPLACED = 0.01, 0.02
LONGEST = 3 * DAY
"""Seconds that an event is late at most."""

BIGBROTR_TRANSFERS = 4.03
"""An event of BigBrotr 6.6.9, which reads each second once: measured on a first sync."""

Arrival = tuple[float, Event]


def arrivals(a_day: int, since: int) -> list[Arrival]:
    """The events of the week, with the second in which the relay gets each, in that order."""
    random = Random(1)
    found: list[Arrival] = []
    for number in range(a_day * DAYS):
        second = random.randrange(since, since + DAYS * DAY)
        late = 60 * (LONGEST / 60) ** random.random() if random.random() < LATE else 0.0
        event = signed(second, content=f"{number} " + "x" * random.randrange(400))
        found.append((second + late, event))
        if random.random() < REPLACED:
            found += _replaced(second, number, random)
    return sorted(found, key=lambda arrival: arrival[0])


def _replaced(second: int, number: int, random: Random) -> Iterator[Arrival]:
    """An addressable event, and the one that takes its place within the day."""
    for created_at in (second, second + random.randrange(60, DAY)):
        yield created_at, signed(created_at, kind=30_000, tags=[["d", str(number)]])


class Week:
    """One archive's week with the relay; `cpu` is what the syncs took, in seconds."""

    def __init__(self, database: str, url: str, *, paged: bool) -> None:
        self.reports: list[RelayReport] = []
        self.cpu = 0.0
        self.found_after: list[float] = []
        """Of each late event, the seconds until it was found by how late it was."""
        self._database = database
        self._url = url
        self._paged = paged

    async def live(self, now: Clock, due: Sequence[Arrival]) -> None:
        """Let the week pass, a run after each `INTERVAL`."""
        end, come = now.time() + DAYS * DAY, 0
        unfound: dict[str, tuple[float, float]] = {}
        while now.time() < end:
            now.forward(INTERVAL)
            before, come = come, bisect_right(due, now.time(), key=lambda arrival: arrival[0])
            fresh = due[before:come]
            await load(self._url, [event.to_json() for _, event in fresh])
            unfound |= {
                event.id: (at, at - event.created_at) for at, event in fresh if at - event.created_at >= 1_000
            }
            await self._sync()
            for id in self._stored(list(unfound)):
                at, late = unfound.pop(id)
                self.found_after.append((now.time() - at) / late)

    def _stored(self, ids: list[str]) -> list[str]:
        listed = ", ".join(f"'\\x{id}'" for id in ids)
        rows = ask(self._database, f"SELECT encode(id, 'hex') FROM event WHERE id IN ({listed})") if ids else []
        return [id for (id,) in rows]

    async def _sync(self) -> None:
        if self._paged:
            tell(self._database, "UPDATE relay_limits SET negentropy = 'unsupported', negentropy_at = now()")
        began = time.process_time()
        [report] = (await sync_relays(self._database, config(processing={"end_lag": 60}), [self._url])).relays
        self.cpu += time.process_time() - began
        if not report.ok or report.gaps:
            raise RuntimeError(f"{report.error or report.gaps}")
        self.reports.append(report)

    def row(self, events: int) -> Row:
        """By event of the week."""
        return {
            "transfers_per_event": sum(report.events_received for report in self.reports) / events,
            "bytes_per_event": sum(report.bytes_received for report in self.reports) / events,
            "requests_per_run": sum(report.requests for report in self.reports) / len(self.reports),
            "cpu_us_per_event": self.cpu / events * 1e6,
            "late_found": float(len(self.found_after)),
            "longest_wait_by_lateness": max(self.found_after, default=0.0),
        }


@contextmanager
def _empty_relay() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "none.jsonl"
        path.write_bytes(b"")
        with LocalRelayProcess(path) as relay:
            yield relay.url


def measure(options: Options) -> Result:
    a_day = options.events or A_DAY
    result = Result("second-day", {"events_a_day": a_day, "days": DAYS, "interval": INTERVAL})
    with archives() as server:
        for label in ("reconciled", "paged"):
            with server.fresh() as database, _empty_relay() as url, clock(database, -(DAYS + 1) * DAY) as now:
                due = arrivals(a_day, int(now.time()))
                events = len(due)
                week = Week(database, url, paged=label == "paged")
                asyncio.run(week.live(now, due))
                result.add(label, week.row(events))
    reconciled, paged = (result.figures.setdefault(label, result.medians(label)) for label in result.runs)
    result.figures["bigbrotr transfers_per_event"] = BIGBROTR_TRANSFERS
    result.bars["at most 1.15 transfers an event with NIP-77"] = reconciled["transfers_per_event"] <= 1.15
    result.bars["at most 5 without"] = paged["transfers_per_event"] <= 5
    result.bars["no late event later than the guarantee"] = paged["longest_wait_by_lateness"] <= 9.5
    return result
