"""Options whose effect is what a relay is sent, or how long it is waited for."""

import re
import time

import pytest

from bigbrotr_dagster.sync import sync_relays
from bigbrotr_dagster.windowing.kinds import RESTRICTED_KINDS
from tests.nostr.helpers import signed
from tests.relays.scripted import scripted
from tests.sync.helpers import ask, config, stored_ids

EVENTS = [signed(number) for number in range(1, 40)]


async def test_limit_is_that_of_every_req(database: str) -> None:
    async with scripted(EVENTS) as relay:
        await sync_relays(database, config(limit=10), [relay.url])
    walked = [request for request in relay.requests if request.kinds != RESTRICTED_KINDS]
    assert {request.limit for request in walked} == {10}
    assert all(request.since is not None for request in relay.requests)
    assert len(stored_ids(database)) == len(EVENTS)


async def test_end_lag_leaves_the_newest_seconds_for_later(database: str) -> None:
    now = int(time.time())
    async with scripted([signed(now - 5), signed(now - 500)]) as relay:
        [report] = (await sync_relays(database, config(end_lag=100), [relay.url])).relays
    assert report.events_new == 1
    assert report.lag_seconds is not None
    assert 100 <= report.lag_seconds < 160


async def test_seconds_that_have_not_happened_are_never_covered(database: str) -> None:
    now = int(time.time())
    async with scripted([signed(now - 5), signed(now + 5_000)]) as relay:
        [report] = (await sync_relays(database, config(processing={"until": now + 9_000}), [relay.url])).relays
    assert report.cursor is not None
    assert now <= report.cursor.timestamp < now + 60


async def test_idle_ends_a_relay_that_brings_nothing(database: str) -> None:
    def limited(number: int, subscription: str, honest: list[list[object]]) -> list[list[object]]:
        return [["CLOSED", subscription, "rate-limited: later"]]

    async with scripted(EVENTS, twist=limited) as relay:
        [report] = (await sync_relays(database, config(timeouts={"idle": 0.5}), [relay.url])).relays
    assert report.error is not None
    assert re.fullmatch(r"nothing new for \d+ s", report.error)


async def test_the_timeout_of_a_network_ends_a_silent_request(database: str) -> None:
    def silent(number: int, subscription: str, honest: list[list[object]]) -> list[list[object]]:
        return []

    async with scripted(EVENTS, twist=silent) as relay:
        options = config(networks={"clearnet": {"timeout": 0.2}}, timeouts={"idle": 1})
        [report] = (await sync_relays(database, options, [relay.url])).relays
    assert report.error is not None
    assert report.error.startswith(("timeout", "nothing new"))
    assert ask(database, "SELECT * FROM sync_coverage") == []


async def test_an_event_beyond_max_event_size_is_quarantined(database: str) -> None:
    async with scripted([*EVENTS, signed(50, content="x" * 2_000)]) as relay:
        [report] = (await sync_relays(database, config(max_event_size=1024), [relay.url])).relays
    assert report.ok
    assert set(report.events_rejected) == {"too_large"}
    assert ask(database, "SELECT reason FROM event_quarantine") == [("too_large",)]
    assert len(stored_ids(database)) == len(EVENTS)


async def test_flush_interval_bounds_the_relays_of_a_transaction(database: str) -> None:
    async with scripted(EVENTS) as one, scripted(EVENTS) as two, scripted(EVENTS) as three:
        options = config(flush_interval=1, batch_size=10_000)
        report = await sync_relays(database, options, [one.url, two.url, three.url])
    assert all(relay.ok for relay in report.relays)
    transactions = "SELECT count(DISTINCT xmin::text) FROM sync_coverage"
    assert ask(database, transactions) == [(3,)]


async def test_a_lower_since_and_another_filter_are_filled_in(database: str) -> None:
    events = [signed(number) for number in range(100, 200)]
    async with scripted(events) as relay:
        for since, filters in ((150, [{"kinds": [1]}]), (120, [{"kinds": [1]}]), (120, [{"kinds": [1]}, {}])):
            options = config(processing={"end_lag": 0, "since": since, "filters": filters})
            [report] = (await sync_relays(database, options, [relay.url])).relays
            wanted = {
                event.id for event in events if event.created_at >= since and ({} in filters or event.kind == 1)
            }
            assert stored_ids(database) == wanted
            assert report.pending_seconds == 0


@pytest.mark.slow
async def test_a_relay_that_fails_is_left_alone_for_longer_each_time_up_to_a_day(database: str) -> None:
    options = config(interval=300)
    dead = "ws://127.0.0.1:2"
    for failures in range(12):
        [report] = (await sync_relays(database, options, [dead])).relays
        assert not report.ok
        [(wait,)] = ask(database, "SELECT extract(epoch FROM retry_at - attempted_at)::float FROM relay_limits")
        expected = min(300 * 2**failures, 86_400)
        assert 0.75 * expected <= wait <= 1.25 * expected + 5


@pytest.mark.slow
async def test_a_relay_that_failed_three_times_is_probed_with_one_request_until_it_answers(database: str) -> None:
    answers = False

    def silent(number: int, subscription: str, honest: list[list[object]]) -> list[list[object]]:
        return honest if answers else []

    asked = []
    async with scripted(EVENTS, twist=silent) as relay:
        options = config(networks={"clearnet": {"timeout": 0.4}})
        for _ in range(5):
            before = len(relay.requests)
            await sync_relays(database, options, [relay.url])
            asked.append(len(relay.requests) - before)
        answers = True
        [report] = (await sync_relays(database, options, [relay.url])).relays
    assert asked == [4, 4, 4, 1, 1]
    assert report.ok
    assert len(stored_ids(database)) == len(EVENTS)
