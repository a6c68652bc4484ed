"""NIP-77 in place of reading again: against nostr-sdk's LocalRelay, which is somebody else's, and liars."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bigbrotr_dagster.archive.proof import cursors_beyond_coverage
from bigbrotr_dagster.archive.registry import register_relays
from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.sync import sync_relays
from bigbrotr_dagster.sync.report import RelayReport
from tests.nostr.helpers import signed
from tests.relays.local_relay import LocalRelayProcess, load
from tests.sync.helpers import ask, config, stored_ids, tell

pytestmark = pytest.mark.slow

DAY = 86_400


def drawn(count: int, within: int, seed: int = 1) -> list[Event]:
    """So many events of the last `within` seconds."""
    now, draw = int(time.time()) - 120, random.Random(seed)
    return [signed(now - draw.randrange(within), content=f"{seed} {number}") for number in range(count)]


@contextmanager
def local_relay(folder: Path, events: list[Event]) -> Iterator[str]:
    path = folder / f"{len(list(folder.iterdir()))}.jsonl"
    path.write_bytes(b"\n".join(event.to_json() for event in events))
    with LocalRelayProcess(path) as relay:
        yield relay.url


async def synced(database: str, url: str, **processing: object) -> RelayReport:
    """One successful sync that leaves nothing open."""
    [report] = (await sync_relays(database, config(processing=processing), [url])).relays
    assert (report.ok, report.error, report.pending_seconds) == (True, None, 0)
    assert cursors_beyond_coverage(database, config()) == []
    return report


async def test_that_nothing_is_missing_costs_a_few_bytes(database: str, tmp_path: Path) -> None:
    events = drawn(3_000, DAY)
    with local_relay(tmp_path, events) as url:
        await synced(database, url)
        for _ in range(3):
            report = await synced(database, url)
            assert (report.gaps, report.events_new) == ([], 0)
            assert report.events_received <= 120
            assert report.bytes_received <= 60_000
    assert stored_ids(database) == {event.id for event in events}
    assert ask(database, "SELECT negentropy FROM relay_limits") == [("spoken",)]


async def test_what_comes_late_is_found_by_the_next_run_however_old_it_is(database: str, tmp_path: Path) -> None:
    late = drawn(50, DAY, seed=2) + drawn(50, 1_000 * DAY, seed=3)
    with local_relay(tmp_path, drawn(2_000, 1_000 * DAY)) as url:
        await synced(database, url)
        await synced(database, url)  # finds out that it can be reconciled with
        await load(url, [event.to_json() for event in late])
        report = await synced(database, url)
    assert {event.id for event in late} <= stored_ids(database)
    assert report.late_events == len(late)
    assert sum(report.late_by.values()) == len(late)
    assert report.late_by["year"] + report.late_by["more"] > 30
    assert report.events_received <= 3 * len(late)


async def test_what_another_relay_has_brought_is_not_sent_again(database: str, tmp_path: Path) -> None:
    events = drawn(3_000, DAY)
    only_there = drawn(20, DAY, seed=4)
    with local_relay(tmp_path, events) as first, local_relay(tmp_path, [*events, *only_there]) as second:
        await synced(database, first)
        report = await synced(database, second)
        assert report.events_received <= 700
        assert report.events_claimed >= 2_400
        assert stored_ids(database, second) == {event.id for event in (*events, *only_there)}
        again = await synced(database, second)
    assert (again.events_new, again.gaps, report.gaps) == (0, [], [])


async def test_a_gap_of_a_first_sync_that_broke_off_is_listed_too(database: str, tmp_path: Path) -> None:
    events = drawn(1_500, DAY)
    with local_relay(tmp_path, events) as first, local_relay(tmp_path, events) as second:
        await synced(database, first)
        register_relays(database, [second])
        tell(
            database,
            "INSERT INTO sync_gap (relay_url, filter_hash, since, until, reason, tries, last_try)"
            f" SELECT '{second}', filter_hash, 0, {int(time.time())}, 'no-eose', 1, now() FROM sync_coverage",
        )
        report = await synced(database, second)
    assert (report.gaps_before, report.gaps) == (1, [])
    assert stored_ids(database, second) == {event.id for event in events}


async def test_without_trust_each_event_has_to_come(database: str, tmp_path: Path) -> None:
    events = drawn(1_500, DAY)
    with local_relay(tmp_path, events) as first, local_relay(tmp_path, events) as second:
        await synced(database, first)
        report = await synced(database, second, trust_claims=False)
    assert report.events_claimed == 0
    assert report.events_received >= len(events)
    assert stored_ids(database, second) == {event.id for event in events}


async def test_what_a_relay_holds_no_more_is_noted_and_stays_stored(database: str, tmp_path: Path) -> None:
    events = drawn(1_500, DAY)
    with local_relay(tmp_path, events) as url:
        await synced(database, url)
        port = int(url.rpartition(":")[2])
    path = tmp_path / "fewer.jsonl"
    path.write_bytes(b"\n".join(event.to_json() for event in events[30:]))
    with LocalRelayProcess(path, port=port) as relay:
        report = await synced(database, relay.url)
        assert report.events_gone == 30
        assert (await synced(database, relay.url)).events_gone == 0
        assert ask(database, "SELECT count(*) FROM gone_event") == [(30,)]
        await load(relay.url, [event.to_json() for event in events[:10]])
        assert (await synced(database, relay.url)).events_new == 0
        assert ask(database, "SELECT count(*) FROM gone_event") == [(20,)]
    assert stored_ids(database) == {event.id for event in events}
