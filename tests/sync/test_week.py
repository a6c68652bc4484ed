"""A week that is made to pass: every late event is found in time, for few transfers and few requests."""

from bisect import bisect_right
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random

import pytest

from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.sync import RelayReport, sync_relays
from tests.nostr.helpers import signed
from tests.relays.scripted import ScriptedRelay, scripted
from tests.sync.clock import Clock, clock
from tests.sync.helpers import ask, config, stored_ids

pytestmark = pytest.mark.slow

HOUR, DAY = 3_600, 86_400


@dataclass
class Life:
    """What a relay gets, with the second in which it does, in that order."""

    arrivals: list[tuple[float, Event]]
    relay: ScriptedRelay
    reports: list[RelayReport] = field(default_factory=list)

    def live(self, now: float) -> None:
        """Let arrive what has by now."""
        come = bisect_right(self.arrivals, now, key=lambda arrival: arrival[0])
        self.relay.events += [event for _, event in self.arrivals[:come]]
        del self.arrivals[:come]


def life(a_day: int, since: int, days: int, *, late_share: float = 0.0) -> list[tuple[float, Event]]:
    """Events of so many days from `since` on; that share arrives a minute to two days late."""
    random = Random(a_day)
    arrivals = []
    for number in range(a_day * days):
        second = random.randrange(since, since + days * DAY)
        late = 60 * (2 * DAY / 60) ** random.random() if random.random() < late_share else 0.0
        arrivals.append((second + late, signed(second, content=str(number))))
    return sorted(arrivals, key=lambda arrival: arrival[0])


async def lives(database: str, now: Clock, interval: int, all_arrivals: Sequence[list[tuple[float, Event]]]):  # type: ignore[no-untyped-def]
    """Sync relays with these arrivals as long as the caller wants: yields them after each cycle."""
    async with AsyncExitStack() as stack:
        relays = [
            Life(arrivals, await stack.enter_async_context(scripted([], cap=500))) for arrivals in all_arrivals
        ]
        while True:
            for one in relays:
                one.live(now.time())
            done = await sync_relays(
                database, config(processing={"end_lag": 60}), [one.relay.url for one in relays]
            )
            for one in relays:
                one.reports += [report for report in done.relays if report.url == one.relay.url]
            yield relays
            now.forward(interval)


async def test_a_quiet_relay_is_asked_two_requests_a_run(database: str) -> None:
    """Averaged over a day of runs, the first sync not counted; its few events come some twenty times."""
    with clock(database, -3 * DAY) as now:
        since = int(now.time()) - DAY
        async for relays in lives(database, now, 300, [life(number, since, 3) for number in (0, 400)]):
            if len(relays[0].reports) == 289:
                break
    for one in relays:
        runs = one.reports[1:]
        assert all(report.ok and not report.gaps and not report.pending_seconds for report in runs)
        assert sum(report.requests for report in runs) <= 2 * len(runs)
        assert sum(report.events_received for report in runs) <= 24 * len(one.relay.events)


async def test_late_events_are_found_in_time_for_few_transfers(database: str) -> None:
    with clock(database, -8 * DAY) as now:
        since = int(now.time())
        late: dict[str, tuple[float, float]] = {}
        arrivals = [life(a_day, since, 7, late_share=0.05) for a_day in (200, 3_000)]
        for second, event in (arrival for each in arrivals for arrival in each):
            if second > event.created_at:
                late[event.id] = (event.created_at, second - event.created_at)
        found = 0
        async for relays in lives(database, now, HOUR, arrivals):  # noqa: B007
            for id in stored_ids(database) & late.keys():
                del late[id]
                found += 1
            overdue = {
                id: (second, seconds)
                for id, (second, seconds) in late.items()
                if second + 9 * seconds + 1_536 + HOUR + 60 < now.time()
            }
            assert not overdue
            if now.time() >= since + 7 * DAY:
                break
    assert found > 900
    [(counted,)] = ask(database, "SELECT sum(late_events) FROM sync_attempt")
    assert 0.4 * found < counted <= found, "but those that came before their second was read first"
    busy = relays[1]
    assert all(report.ok and not report.gaps for report in busy.reports)
    assert sum(report.events_received for report in busy.reports) <= 5 * len(busy.relay.events)


async def test_six_runs_after_the_first_bring_half_as_many_events_at_most(database: str) -> None:
    """Of a relay whose last day alone is many pages."""
    with clock(database, -DAY) as now:
        since = int(now.time()) - DAY
        async for relays in lives(database, now, 300, [life(20_000, since, 2)]):
            if len(relays[0].reports) == 1:
                first = len(relays[0].relay.events)
            if len(relays[0].reports) == 7:
                break
    reports = relays[0].reports
    assert first > 19_000
    assert sum(report.events_received for report in reports) <= 1.5 * first
    assert stored_ids(database) >= {
        event.id for event in relays[0].relay.events if event.created_at < now.time() - 400
    }
