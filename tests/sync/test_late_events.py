"""Events after the EOSE of their request: a false EOSE is found out, and live events disprove nothing."""

import time

import pytest

from bigbrotr_dagster.archive.proof import cursors_beyond_coverage
from bigbrotr_dagster.sync import sync_relays
from tests.nostr.helpers import signed
from tests.relays.scripted import Later, Messages, early_eose, scripted
from tests.sync.helpers import READ_AGAIN, ask, config, stored_ids, unread

pytestmark = pytest.mark.slow

EVENTS = [signed(number) for number in range(1_000, 1_300)]
ALL = {event.id for event in EVENTS}


def grace(database: str) -> float:
    [(seconds,)] = ask(database, "SELECT eose_grace FROM relay_limits")
    return float(seconds)


def is_covered(database: str, second: int) -> bool:
    return bool(ask(database, f"SELECT 1 FROM sync_coverage WHERE covered @> {second}::bigint"))


@pytest.mark.parametrize("seconds", [0, 0.3])
async def test_a_proxy_that_says_eose_first_is_archived_whole(database: str, seconds: float) -> None:
    async with scripted(EVENTS, cap=100, twist=lambda number, *answer: early_eose(seconds, *answer)) as relay:
        [report] = (await sync_relays(database, config(), [relay.url])).relays
    assert (report.ok, report.gaps, report.pending_seconds) == (True, [], 0)
    assert stored_ids(database) == ALL
    assert report.events_received >= len(EVENTS)
    assert grace(database) >= seconds
    assert cursors_beyond_coverage(database, config()) == []


async def test_a_relay_that_becomes_such_a_proxy_loses_nothing_and_its_claims_are_taken_back(
    database: str,
) -> None:
    now = int(time.time())
    async with scripted([*EVENTS, signed(now - 5_000)]) as relay:
        await sync_relays(database, config(), [relay.url])
        unread(database)
        relay.events += [signed(now - 4_000), signed(now - 30 * 86_400)]
        relay.twist = lambda number, *answer: early_eose(0.2, *answer)
        [report] = (await sync_relays(database, config(processing=READ_AGAIN), [relay.url])).relays
        assert (report.ok, report.gaps, report.pending_seconds) == (True, [], 0)
        assert signed(now - 4_000).id in stored_ids(database)
        assert grace(database) > 0.2
        relay.events.append(signed(now - 3_000))  # and the next reading knows
        unread(database)
        relay.requests.clear()
        [again] = (await sync_relays(database, config(processing=READ_AGAIN), [relay.url])).relays
    assert again.ok
    assert signed(now - 3_000).id in stored_ids(database)
    assert len(relay.requests) <= 4


async def test_what_was_claimed_before_the_events_came_is_covered_no_more(database: str) -> None:
    """The first page is honest, so that claims are written at once; a later one is not, and then nothing comes."""

    def late_below_the_first_page(number: int, subscription: str, honest: list[list[object]]) -> Messages:
        below = sum((request.until or 0) < 1_250 for request in relay.requests)
        if below == 1:
            return early_eose(0.3, subscription, honest)
        return honest if below == 0 else [honest[-1]] if below <= 3 else []

    options = config(networks={"clearnet": {"timeout": 0.5}})
    async with scripted(EVENTS, cap=100, twist=late_below_the_first_page) as relay:
        [report] = (await sync_relays(database, options, [relay.url])).relays
    late = {event.created_at for event in EVENTS if event.id in stored_ids(database)}
    missing = [event for event in EVENTS if event.id not in stored_ids(database)]
    assert len(late) > 100, "what came late was stored"
    assert missing
    assert not any(is_covered(database, event.created_at) for event in missing)
    assert not report.ok
    assert cursors_beyond_coverage(database, config()) == []


async def test_live_events_after_an_eose_disprove_nothing(database: str) -> None:
    """New ones lie above `until`; a back-dated one comes before the EOSE when its second is asked for again."""
    live = [signed(1_150, content="back-dated"), signed(int(time.time()) + 5, content="new")]

    def broadcasting(number: int, subscription: str, honest: list[list[object]]) -> Messages:
        if number == 4:
            relay.events.extend(live)
            return [*honest, *(["EVENT", subscription, event] for event in live)]
        return honest

    async with scripted(list(EVENTS), cap=100, twist=broadcasting) as relay:
        [report] = (await sync_relays(database, config(), [relay.url])).relays
        requests = len(relay.requests)
    assert (report.ok, report.gaps, report.pending_seconds) == (True, [], 0)
    assert stored_ids(database) >= {*ALL, live[0].id}
    assert grace(database) == 0
    assert requests <= 13


async def test_an_ephemeral_event_and_one_that_is_gone_are_not_waited_for(database: str) -> None:
    live = [signed(1_150, kind=20_001), signed(1_160, kind=1, content="deleted at once")]

    def broadcasting(number: int, subscription: str, honest: list[list[object]]) -> Messages:
        return [*honest, *(["EVENT", subscription, event] for event in live)] if number == 4 else honest

    async with scripted(EVENTS, cap=100, twist=broadcasting) as relay:
        [report] = (await sync_relays(database, config(), [relay.url])).relays
        requests = len(relay.requests)
    assert (report.ok, report.gaps, report.pending_seconds) == (True, [], 0)
    assert stored_ids(database) >= {*ALL, live[1].id}
    assert requests <= 16


async def test_a_relay_whose_events_always_come_too_late_ends_as_a_named_gap(database: str) -> None:
    """Longer than anybody waits: each EOSE is disproved while the next request is under way."""

    def ever_later(number: int, subscription: str, honest: list[list[object]]) -> Messages:
        return [
            honest[-1],
            Later(0.02, [["EVENT", fresh, signed(1_000 + number, content=fresh)] for fresh in earlier[-5:]]),
        ]

    earlier: list[str] = []

    def remembering(number: int, subscription: str, honest: list[list[object]]) -> Messages:
        messages = ever_later(number, subscription, honest)
        earlier.append(subscription)
        return messages

    async with scripted(EVENTS, twist=remembering) as relay:
        [report] = (await sync_relays(database, config(), [relay.url])).relays
        requests = len(relay.requests)
    assert not report.ok
    assert {gap.reason for gap in report.gaps} == {"no-eose"}
    assert report.pending_seconds == 0
    assert not ask(database, "SELECT 1 FROM sync_coverage WHERE covered <> '{}'")
    assert requests < 60


async def test_an_empty_relay_costs_a_moment_and_an_honest_one_nothing(database: str) -> None:
    async with scripted([]) as empty, scripted(EVENTS) as honest:
        [nothing] = (await sync_relays(database, config(), [empty.url])).relays
        await sync_relays(database, config(), [honest.url])
        assert (len(empty.requests), len(honest.requests)) == (4, 6)
    assert (nothing.ok, nothing.pending_seconds) == (True, 0)
    assert nothing.seconds >= 1


async def test_what_comes_late_in_place_of_events_disproves_an_eose_as_well(database: str) -> None:
    """Nothing of it can be read, so that nothing can be asked for again by its id."""

    def damaged_at_first(number: int, subscription: str, honest: list[list[object]]) -> Messages:
        *events, eose = honest
        damaged = [["EVENT", subscription, {"id": 1}] for _ in events]
        return [eose, Later(0.1, damaged)] if number <= 3 else [eose, Later(0.1, events)]

    async with scripted(EVENTS, cap=100, twist=damaged_at_first) as relay:
        [report] = (await sync_relays(database, config(), [relay.url])).relays
    assert (report.ok, report.pending_seconds) == (True, 0)
    assert stored_ids(database) == ALL
    assert report.events_rejected["malformed"] >= 100


@pytest.mark.parametrize("late", [4, 5])
async def test_what_an_answer_taught_that_ended_too_early_is_forgotten(database: str, late: int) -> None:
    """An answer that is empty where more is looks as if the relay removed events, or cut them at the wrong end."""

    def hesitant(number: int, subscription: str, honest: list[list[object]]) -> Messages:
        return early_eose(0.3 if number == late else 0, subscription, honest)

    async with scripted(EVENTS, cap=100, twist=hesitant) as relay:
        [report] = (await sync_relays(database, config(), [relay.url])).relays
    assert (report.ok, report.gaps, report.pending_seconds) == (True, [], 0)
    assert stored_ids(database) == ALL
    assert ask(database, "SELECT answer_order, cut_at, hides FROM relay_limits") == [("newest-first", 100, False)]
