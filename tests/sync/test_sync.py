"""One relay and many: what is stored, what is claimed, and what a failure costs."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from bigbrotr_dagster.archive.proof import cursors_beyond_coverage, mark_gaps, relay_gaps
from bigbrotr_dagster.archive.registry import register_relays
from bigbrotr_dagster.archive.turns import due_relays
from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.sync import sync_relays
from tests.nostr.helpers import signed
from tests.ports import free_port
from tests.relays.scripted import scripted
from tests.sync.helpers import ask, config, stored_ids


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return [signed(1_000 + number // 2, content=str(number)) for number in range(60)]


async def test_a_relay_is_stored_whole_and_its_cursor_stands_at_the_end(
    any_database: str, events: list[Event]
) -> None:
    async with scripted(events, cap=20) as relay:
        report = await sync_relays(any_database, config(), [relay.url])
    [one] = report.relays
    assert one.ok
    assert stored_ids(any_database, relay.url) == {event.id for event in events}
    assert (one.events_new, one.pending_seconds, list(one.gaps)) == (60, 0, [])
    assert one.cursor is not None
    assert one.lag_seconds is not None
    assert one.lag_seconds < 60
    assert cursors_beyond_coverage(any_database, config()) == []


async def test_a_relay_at_a_path_with_a_trailing_slash_is_another_than_at_the_one_without(
    database: str, events: list[Event]
) -> None:
    async with scripted(events, path="/chat/") as relay:
        without = relay.url.removesuffix("/")
        assert register_relays(database, [without, relay.url]) == 2
        reports = {one.url: one for one in (await sync_relays(database, config(), [without, relay.url])).relays}
    assert reports[relay.url].ok
    assert stored_ids(database, relay.url) == {event.id for event in events}
    assert reports[without].error == "HTTP status 404 instead of 101"


async def test_a_second_sync_asks_only_for_what_is_new(database: str, events: list[Event]) -> None:
    async with scripted(events) as relay:
        await sync_relays(database, config(), [relay.url])
        relay.requests.clear()
        [again] = (await sync_relays(database, config(), [relay.url])).relays
    assert (again.events_new, again.events_received) == (0, 0)
    assert len(relay.requests) <= 1


async def test_one_relays_failure_never_stops_another(database: str, events: list[Event]) -> None:
    dead = f"ws://127.0.0.1:{free_port()}"
    async with scripted(events) as relay:
        report = await sync_relays(database, config(), [dead, relay.url, "http://no.relay", "wss://x.onion"])
    assert stored_ids(database) == {event.id for event in events}
    errors = {one.url: one.error for one in report.relays if not one.ok}
    assert set(errors) == {dead, "http://no.relay", "wss://x.onion"}
    assert all(error and "\n" not in error for error in errors.values())
    [(ok, error)] = ask(database, f"SELECT ok, error FROM sync_attempt WHERE relay_url = '{dead}'")
    assert (ok, error) == (False, errors[dead])


async def test_a_private_relay_is_refused_unless_that_is_allowed(database: str) -> None:
    [report] = (await sync_relays(database, config(allow_private=False), ["ws://127.0.0.1:2"])).relays
    assert report.error == "private address; allow_private is not set"


async def test_a_port_of_another_protocol_is_not_dialled(database: str) -> None:
    [report] = (await sync_relays(database, config(), ["ws://127.0.0.1:25"])).relays
    assert report.error == "'ws://127.0.0.1:25': port 25 is another protocol's, as browsers have it"
    assert report.requests == 0


@pytest.mark.slow
async def test_a_dropped_connection_costs_a_request_not_an_event(database: str, events: list[Event]) -> None:
    def drop_every_second(number: int, subscription: str, honest: list[list[object]]) -> list[list[object] | None]:
        return [*honest[:7], None] if number % 2 else list(honest)

    async with scripted(events, cap=20, twist=drop_every_second) as relay:
        [report] = (await sync_relays(database, config(), [relay.url])).relays
    assert report.ok
    assert stored_ids(database) == {event.id for event in events}


async def test_a_rate_limited_request_is_asked_again(database: str, events: list[Event]) -> None:
    def limit_every_third(number: int, subscription: str, honest: list[list[object]]) -> list[list[object]]:
        return [["CLOSED", subscription, "rate-limited: slow down"]] if number % 3 == 2 else honest

    async with scripted(events, cap=20, twist=limit_every_third) as relay:
        [report] = (await sync_relays(database, config(), [relay.url])).relays
    assert report.ok
    assert stored_ids(database) == {event.id for event in events}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (["CLOSED", "auth-required: members only"], "closed(auth-required: members only)"),
        (["CLOSED", "restricted: no scraping"], "closed(restricted: no scraping)"),
    ],
)
async def test_a_refusal_is_told_and_covers_nothing(
    database: str, events: list[Event], answer: list[str], error: str
) -> None:
    def refuse(number: int, subscription: str, honest: list[list[object]]) -> list[list[object]]:
        return [[answer[0], subscription, answer[1]]]

    async with scripted(events, twist=refuse) as relay:
        [report] = (await sync_relays(database, config(), [relay.url])).relays
    assert report.error == error
    assert ask(database, "SELECT * FROM sync_coverage") == []
    assert {str(gap) for gap in report.gaps} == {f"refused: {error}"}
    assert report.pending_seconds == 0


async def test_what_a_relay_sent_before_it_failed_is_kept(database: str, events: list[Event]) -> None:
    def one_page_then_nothing(number: int, subscription: str, honest: list[list[object]]) -> list[list[object]]:
        return honest if number == 1 else [["CLOSED", subscription, "blocked: enough"]]

    async with scripted(events, cap=20, twist=one_page_then_nothing) as relay:
        [report] = (await sync_relays(database, config(), [relay.url])).relays
        assert not report.ok
        assert report.events_new == 20
        relay.twist = None
        [again] = (await sync_relays(database, config(), [relay.url])).relays
    assert again.ok
    assert stored_ids(database) == {event.id for event in events}
    assert again.events_new == 40


async def test_several_filters_are_walks_of_their_own(database: str) -> None:
    events = [signed(number, kind=number % 3) for number in range(1, 61)]
    async with scripted(events, cap=10) as relay:
        options = config(processing={"end_lag": 0, "filters": [{"kinds": [0]}, {"kinds": [1]}]})
        [report] = (await sync_relays(database, options, [relay.url])).relays
    assert report.ok
    assert stored_ids(database) == {event.id for event in events if event.kind != 2}
    assert ask(database, "SELECT count(*) FROM sync_coverage") == [(2,)]


async def test_since_and_until_bound_the_archive(database: str) -> None:
    events = [signed(number) for number in range(100, 200)]
    async with scripted(events) as relay:
        options = config(processing={"end_lag": 0, "since": 120, "until": 150})
        [report] = (await sync_relays(database, options, [relay.url])).relays
    assert stored_ids(database) == {event.id for event in events if 120 <= event.created_at <= 150}
    assert report.cursor is not None
    assert report.cursor.timestamp == 150


async def test_max_duration_leaves_the_rest_pending_and_says_so(database: str, events: list[Event]) -> None:
    async with scripted(events, cap=5, delay=0.1) as relay:
        options = config(timeouts={"max_duration": 0.35})
        [report] = (await sync_relays(database, options, [relay.url])).relays
        assert report.ok
        assert report.pending_seconds > 0
        relay.delay = 0.0
        [rest] = (await sync_relays(database, config(), [relay.url])).relays
    assert rest.pending_seconds == 0
    assert stored_ids(database) == {event.id for event in events}


@pytest.mark.slow
async def test_the_cap_of_a_network_holds(database: str, events: list[Event]) -> None:
    async with AsyncExitStack() as stack:
        relays = [await stack.enter_async_context(scripted(events, delay=0.05)) for _ in range(8)]
        options = config(networks={"clearnet": {"max_tasks": 2, "timeout": 20}})
        running = asyncio.create_task(sync_relays(database, options, [relay.url for relay in relays]))
        most = 0
        while not running.done():
            most = max(most, sum(relay.connections for relay in relays))
            await asyncio.sleep(0.005)
        assert all(report.ok for report in (await running).relays)
    assert most == 2


async def test_a_cancelled_sync_keeps_what_it_proved(database: str, events: list[Event]) -> None:
    async with scripted(events, cap=5, delay=0.05) as relay:
        running = asyncio.create_task(sync_relays(database, config(), [relay.url]))
        while len(relay.requests) < 8:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert ask(database, "SELECT ok, error FROM sync_attempt") == [(False, "stopped")]
        before = len(stored_ids(database))
        assert before >= 15
        [report] = (await sync_relays(database, config(), [relay.url])).relays
    assert report.events_new == 60 - before


async def test_the_most_behind_relay_is_due_first_and_the_tried_one_is_not(database: str) -> None:
    register_relays(database, ["wss://a.example.com", "wss://b.example.com", "ws://c.onion"])
    ask(
        database,
        "INSERT INTO service_state VALUES ('synchronizer', 'cursor', 'wss://a.example.com', '{\"timestamp\": 9}')"
        " RETURNING 1",
    )
    options = config(networks={"clearnet": {}, "tor": {"enabled": True}})
    assert due_relays(database, options) == {}, "what was registered just now is for the sensor to begin"
    ask(database, "UPDATE relay SET discovered_at = discovered_at - 400 RETURNING 1")
    assert due_relays(database, options) == {
        "clearnet": ["wss://b.example.com", "wss://a.example.com"],
        "tor": ["ws://c.onion"],
    }
    ask(database, "INSERT INTO relay_limits (relay_url, attempted_at) VALUES ('ws://c.onion', now()) RETURNING 1")
    assert "tor" not in due_relays(database, options)


async def test_gaps_are_closed_once_the_relay_gives_in(database: str, events: list[Event]) -> None:
    def refuse(number: int, subscription: str, honest: list[list[object]]) -> list[list[object]]:
        return [["CLOSED", subscription, "restricted: no scraping"]]

    async with scripted(events, twist=refuse) as relay:
        await sync_relays(database, config(), [relay.url])
        relay.twist = None
        assert len(relay_gaps(database, relay.url)) == mark_gaps(database, relay.url) > 0
        [report] = (await sync_relays(database, config(), [relay.url])).relays
    assert report.ok
    assert stored_ids(database) == {event.id for event in events}
    assert ask(database, "SELECT count(*) FROM sync_gap JOIN sync_coverage USING (filter_hash)") == [(0,)]
