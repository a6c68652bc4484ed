"""What it costs to know that nothing is missing: a week of one relay, with NIP-77 and without.

The relay is nostr-sdk's LocalRelay; the clock is made to pass. `--events` is the number of events a day (100,000):
1% of them arrive late, by a minute to three days, and 2% are replaced by a later one. A run every 300 seconds.
`paged` is the same relay, of which it is said before each run that it does not speak NIP-77. BigBrotr's rule is
computed on the same events.
"""

import asyncio
import tempfile
import time
from bisect import bisect_left, bisect_right, insort
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

BIGBROTR_LAG, BIGBROTR_LIMIT = DAY, 500
"""BigBrotr 6.6.9's defaults: it reads each second once, when it is a day old."""

MOST_IN_MEMORY = 72_000
"""Events of a week; LocalRelay keeps 75,000 in memory."""

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


class BigBrotr:
    """What BigBrotr 6.6.9 asks a relay that answers newest first (its `utils/streaming.py`), by its rule."""

    def __init__(self) -> None:
        self.held: list[int] = []  # created_at, ascending
        self.sent = self.requests = 0
        self._replaceable: dict[str, int] = {}

    def publish(self, event: Event) -> None:
        insort(self.held, event.created_at)
        if event.kind == 30_000:
            name = str(event.tags[0][1])
            if name in self._replaceable:
                self.held.remove(self._replaceable[name])
            self._replaceable[name] = event.created_at

    def fetch(self, since: int, until: int, limit: int) -> list[int]:
        found = self.held[bisect_left(self.held, since) : bisect_right(self.held, until)][-limit:]
        self.requests += 1
        self.sent += len(found)
        return found

    def stream(self, since: int, end: int) -> None:
        """One window after the other, each verified by what is asked for again; halved where that shows more."""
        untils = [end]
        while untils:
            until = untils[-1]
            events = self.fetch(since, until, BIGBROTR_LIMIT)
            if not events or since == until or self._is_whole(since, events[0]):
                since = untils.pop() + 1
            else:
                untils.append(since + (until - since) // 2)

    def _is_whole(self, since: int, oldest: int) -> bool:
        again = self.fetch(since, oldest, BIGBROTR_LIMIT)
        return again[0] == oldest and not (oldest > since and self.fetch(since, oldest - 1, 1))


def by_bigbrotrs_rule(due: Sequence[Arrival], begin: int) -> Row:
    """The same week, a day later, for that is when it reads; events that come after that are not found."""
    relay, come, cursor, runs = BigBrotr(), 0, begin - 1, DAYS * DAY // INTERVAL
    late = [(at, event) for at, event in due if at - event.created_at >= 1_000]
    found = 0
    for run in range(1, runs + 1):
        now = begin + BIGBROTR_LAG + run * INTERVAL
        before, come = come, bisect_right(due, float(now), key=lambda arrival: arrival[0])
        for _, event in due[before:come]:
            relay.publish(event)
        found += sum(at <= now and cursor < event.created_at <= now - BIGBROTR_LAG for at, event in late)
        relay.stream(cursor + 1, now - BIGBROTR_LAG)
        cursor = now - BIGBROTR_LAG
    return {
        "transfers_per_event": relay.sent / len(due),
        "requests_per_run": relay.requests / runs,
        "late_found": float(found),
        "late_never_found": float(len(late) - found),
    }


@contextmanager
def _empty_relay(events: int) -> Iterator[str]:
    """A relay that will keep so many: more than some on the disk, which is slower."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "none.jsonl"
        path.write_bytes(b"")
        stored = Path(folder) / "relay" if events > MOST_IN_MEMORY else None
        if stored is not None:
            stored.mkdir()
        with LocalRelayProcess(path, folder=stored) as relay:
            yield relay.url


def measure(options: Options) -> Result:
    a_day = options.events or A_DAY
    result = Result("second-day", {"events_a_day": a_day, "days": DAYS, "interval": INTERVAL})
    with archives() as server:
        for label in ("reconciled", "paged"):
            with (
                server.fresh() as database,
                _empty_relay(a_day * DAYS) as url,
                clock(database, -(DAYS + 1) * DAY) as now,
            ):
                begin = int(now.time())
                due = arrivals(a_day, begin)
                week = Week(database, url, paged=label == "paged")
                asyncio.run(week.live(now, due))
                result.add(label, week.row(len(due)))
    result.add("bigbrotr's rule", by_bigbrotrs_rule(due, begin))
    reconciled, paged, _ = (result.figures.setdefault(label, result.medians(label)) for label in result.runs)
    result.bars["at most 1.15 transfers an event with NIP-77"] = reconciled["transfers_per_event"] <= 1.15
    result.bars["at most 5 without"] = paged["transfers_per_event"] <= 5
    result.bars["no late event later than the guarantee"] = paged["longest_wait_by_lateness"] <= 9.5
    return result
