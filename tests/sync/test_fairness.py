"""Time and room for everyone: relays without end, beside honest ones that have to have their turn."""

import asyncio
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from bigbrotr_dagster.archive.registry import register_relays
from bigbrotr_dagster.archive.turns import due_relays
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.sync import LEFT_OUT_NAMED, CycleReport, sync_relays
from tests.nostr.helpers import signed
from tests.relays.distant import distant
from tests.relays.endless import EndlessRelay, endless
from tests.relays.nameserver import nameserver
from tests.relays.scripted import ScriptedRelay, scripted
from tests.sync.helpers import ask, config, stored_ids, tell

PATHS = 25


def slots(
    most: int, *, interval: float = 300, processing: dict[str, Any] | None = None, **timeouts: float
) -> SynchronizerConfig:
    return config(
        networks={"clearnet": {"max_tasks": most, "timeout": 5}},
        interval=interval,
        timeouts=timeouts,
        processing={"end_lag": 0} | (processing or {}),
    )


async def hogs(stack: AsyncExitStack, count: int) -> list[EndlessRelay]:
    return [await stack.enter_async_context(endless(key=number + 1)) for number in range(count)]


async def honest_ones(stack: AsyncExitStack, count: int) -> list[ScriptedRelay]:
    return [await stack.enter_async_context(scripted([signed(1_000 + number)])) for number in range(count)]


def oldest_covered(database: str) -> dict[str, int]:
    """By relay, the first second (Unix time) that is covered."""
    return dict(ask(database, "SELECT relay_url, lower(covered) FROM sync_coverage"))


@pytest.mark.slow
async def test_an_endless_relay_leaves_at_its_budget_and_the_next_run_goes_on(database: str) -> None:
    async with AsyncExitStack() as stack:
        endless_ones = await hogs(stack, 2)
        [honest] = await honest_ones(stack, 1)
        urls = [relay.url for relay in (*endless_ones, honest)]
        options = slots(2, max_relay_duration=3)
        reports = [await sync_relays(database, options, urls)]
        reached = oldest_covered(database)
        for _ in range(10):  # on a busy machine, one answer for the newest seconds can take all of three seconds
            reports.append(await sync_relays(database, options, urls))
            gone_on = oldest_covered(database)
            if all(gone_on[url] < reached[url] for url in urls[:2]):
                break
    assert stored_ids(database, honest.url) == {event.id for event in honest.events}
    assert reports[0].left_out == []
    first = {one.url: one for one in reports[0].relays}
    assert all(one.ok for report in reports for one in report.relays)
    assert (first[honest.url].stopped_by, first[honest.url].pending_seconds) == (None, 0)
    for url in urls[:2]:
        stops = {one.stopped_by for report in reports for one in report.relays if one.url == url}
        assert stops == {"max_relay_duration (3 s)"}
        assert first[url].events_new > 0
        assert first[url].pending_seconds > 0
        assert 0 < gone_on[url] < reached[url]


@pytest.mark.slow
async def test_who_had_no_turn_in_a_cycle_is_named_and_has_the_first_one_in_the_next(database: str) -> None:
    async with AsyncExitStack() as stack:
        endless_ones = await hogs(stack, 2)
        honest = await honest_ones(stack, 3)
        urls = [relay.url for relay in (*endless_ones, *honest)]
        options = slots(2, max_duration=1.5)
        report = await sync_relays(database, options, urls)
        assert report.left_out == [relay.url for relay in honest]
        told = report.to_json_dict()
        assert (told["relays"], told["relays_ok"], told["relays_left_out"]) == (5, 2, 3)
        assert told["left_out"] == report.left_out
        assert {one["stopped_by"] for one in told["per_relay"]} == {"max_duration (1.5 s)"}
        register_relays(database, urls)
        tell(database, "UPDATE relay SET discovered_at = discovered_at - 60")
        due = due_relays(database, options, interval=0)["clearnet"]
        assert set(due[:3]) == set(report.left_out)
        await sync_relays(database, options, due)
    for relay in honest:
        assert stored_ids(database, relay.url) == {event.id for event in relay.events}


def test_of_many_that_were_left_out_some_are_named() -> None:
    report = CycleReport(left_out=[f"wss://relay{number}.example.com" for number in range(1_000)])
    told = report.to_json_dict()
    assert (told["relays"], told["relays_left_out"], len(told["left_out"])) == (1_000, 1_000, LEFT_OUT_NAMED)


@pytest.mark.parametrize(
    ("options", "stopped_by"),
    [
        ({"max_relay_events": 1_000}, "max_relay_events (1000)"),
        ({"max_relay_bytes": 200_000}, "max_relay_bytes (200000)"),
    ],
)
async def test_events_and_bytes_are_bounded_too(database: str, options: dict[str, int], stopped_by: str) -> None:
    async with endless() as relay:
        [report] = (await sync_relays(database, slots(2, processing=options), [relay.url])).relays
    assert (report.ok, report.stopped_by) == (True, stopped_by)
    assert report.events_received <= 1_000 + 500
    assert report.bytes_received <= 200_000 + 500 * 500 or "events" in stopped_by


@pytest.mark.slow
async def test_to_read_the_newest_seconds_again_does_not_use_up_what_older_ones_need(database: str) -> None:
    """The last day alone holds more than a run may take."""
    pending = []
    async with endless() as relay:
        options = slots(2, processing={"max_relay_events": 2_000})
        for _ in range(4):
            [report] = (await sync_relays(database, options, [relay.url])).relays
            pending.append(report.pending_seconds)
    assert all(later < earlier - 300 for earlier, later in pairwise(pending))


@pytest.mark.slow
async def test_one_filter_does_not_use_up_what_the_others_need(database: str) -> None:
    filters = [{"kinds": [1]}, {"kinds": [7]}]
    async with endless(kinds=(1, 7)) as relay:
        options = slots(2, processing={"max_relay_events": 4_000, "filters": filters})
        [report] = (await sync_relays(database, options, [relay.url])).relays
    assert report.stopped_by == "max_relay_events (4000)"
    assert report.events_received >= 4_000
    assert report.events_new - 1_500 > 1_500


@pytest.mark.slow
async def test_a_relay_that_drips_and_never_ends_its_answer_ends_in_bounded_time(database: str) -> None:
    async with AsyncExitStack() as stack:
        dripping = await stack.enter_async_context(endless(drip=0.1))
        [honest] = await honest_ones(stack, 1)
        options = config(
            networks={"clearnet": {"max_tasks": 2, "timeout": 0.5}}, timeouts={"max_relay_duration": 2}
        )
        async with asyncio.timeout(60):
            report = await sync_relays(database, options, [dripping.url, honest.url])
    assert {one.url for one in report.relays} == {dripping.url, honest.url}
    assert stored_ids(database, honest.url) == {event.id for event in honest.events}
    assert len(stored_ids(database, dripping.url)) > 0


@pytest.mark.slow
async def test_answers_without_end_beside_others_that_end_are_left_in_bounded_time(database: str) -> None:
    """A far relay has several answers under way; every seventh drips for ever, and the others never run out."""
    async with endless(drip=0.1, drip_every=7, page=50) as relay:
        async with distant(urlsplit(relay.url).port or 0, 0.1) as port:
            options = config(
                networks={"clearnet": {"max_tasks": 2, "timeout": 0.5}}, timeouts={"max_relay_duration": 8}
            )
            async with asyncio.timeout(60):
                [report] = (await sync_relays(database, options, [f"ws://127.0.0.1:{port}"])).relays
        assert relay.most_at_once > 1, "there were several answers under way"
    assert len(stored_ids(database)) > 0
    assert report.pending_seconds > 0


@pytest.mark.slow
async def test_waiting_for_the_database_is_not_held_against_a_relay(database: str) -> None:
    options = slots(2, processing={"max_relay_events": 5_000, "batch_size": 100}, idle=1)
    async with endless() as relay:
        with psycopg.connect(database) as other:
            other.execute("LOCK TABLE event IN ACCESS EXCLUSIVE MODE")
            running = asyncio.create_task(sync_relays(database, options, [relay.url]))
            await asyncio.sleep(4)
            assert not running.done()
        [report] = (await running).relays
    assert (report.ok, report.stopped_by) == (True, "max_relay_events (5000)")


@pytest.mark.slow
async def test_one_host_with_many_urls_holds_a_few_slots_and_not_for_hours(database: str) -> None:
    async with AsyncExitStack() as stack:
        [hog] = await hogs(stack, 1)
        honest = await honest_ones(stack, 8)
        paths = [f"{hog.url}/{number}" for number in range(PATHS)]
        options = slots(4, interval=2, max_relay_duration=6)
        urls = [*paths, *(relay.url for relay in honest)]
        report = await sync_relays(database, options, urls)
        served = [one.url for one in report.relays if one.url in paths]
        assert hog.most_connections == 2
        assert len(served) == 2
        assert report.left_out == paths[2:]
        ended = [one.url for one in report.relays]
        assert set(ended[: len(honest)]) == {relay.url for relay in honest}, "they ended first"
        register_relays(database, urls)
        tell(database, "UPDATE relay SET discovered_at = discovered_at - 60")
        due = due_relays(database, options, interval=0)["clearnet"]
        assert set(due[: PATHS - 2]) == set(report.left_out)
        again = await sync_relays(database, options, due)
    assert {one.url for one in again.relays} & set(served) == set()
    for relay in honest:
        assert stored_ids(database, relay.url) == {event.id for event in relay.events}


@pytest.mark.slow
async def test_many_urls_of_a_host_that_is_quick_all_have_their_turn_in_one_cycle(database: str) -> None:
    async with scripted([signed(1_000)], delay=0.05) as relay:
        urls = [f"{relay.url}/{number}" for number in range(PATHS)]
        report = await sync_relays(database, slots(4), urls)
    assert {one.url for one in report.relays if one.ok} == set(urls)
    assert relay.most_connections == 2


@pytest.mark.slow
async def test_the_cap_of_a_host_holds_over_two_processes(database: str) -> None:
    """Each cycle has its own session with the database, as each process has."""
    async with scripted([signed(1_000)], delay=0.1) as relay:
        urls = [f"{relay.url}/{number}" for number in range(12)]
        both = (sync_relays(database, slots(4), part) for part in (urls[:6], urls[6:]))
        reports = await asyncio.gather(*both)
    assert [len(report.relays) for report in reports] == [6, 6]
    assert relay.most_connections == 2


@pytest.mark.slow
async def test_names_that_lead_to_one_address_share_its_room(database: str) -> None:
    names = {f"relay{number}.example.org": ["127.0.0.1"] for number in range(10)}
    async with nameserver(names), scripted([signed(1_000)], delay=0.1) as relay:
        urls = [relay.url.replace("127.0.0.1", name) for name in names]
        report = await sync_relays(database, slots(4), urls)
    assert all(one.ok for one in report.relays)
    assert relay.most_connections == 2
