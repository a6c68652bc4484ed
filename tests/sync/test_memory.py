"""Memory by what it costs: 25 relays whose events cost many times their bytes, beside 25 honest ones."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bigbrotr_dagster.archive.proof import cursors_beyond_coverage
from bigbrotr_dagster.sync import sync_relays
from tests.benchmarks.processes import run_module
from tests.nostr.helpers import signed
from tests.relays.costly import COSTLY
from tests.relays.endless import endless
from tests.relays.scripted import scripted
from tests.sync.helpers import ask, config, stored_ids

HOSTILE = HONEST = 25
PAGE = 12
"""Events: 12 to 25 MB, and up to 540 MB once decoded."""

MOST_BYTES = 300_000_000
"""Resident, of the whole process: the promise."""


async def test_an_answer_of_many_parts_is_stored_whole_and_proved(database: str) -> None:
    events = [signed(1_000 + second // 2, content=f"{second}" + "x" * 20_000) for second in range(300)]
    async with scripted(events) as relay:
        [report] = (await sync_relays(database, config(), [relay.url])).relays
    assert (report.ok, report.gaps, report.pending_seconds) == (True, [], 0)
    assert report.events_new == 300
    assert stored_ids(database, relay.url) == {event.id for event in events}
    assert cursors_beyond_coverage(database, config()) == []


async def test_what_came_before_a_large_answer_broke_off_is_kept(database: str) -> None:
    events = [signed(1_000 + second, content="x" * 20_000) for second in range(300)]

    def drop(number: int, subscription: str, honest: list[list[object]]) -> list[list[object] | None]:
        return [*honest[:250], None]

    async with scripted(events, twist=drop) as relay:
        await sync_relays(database, config(), [relay.url])
    assert {event.id for event in events[100:]} <= stored_ids(database, relay.url)


@pytest.mark.slow
async def test_relays_with_costly_events_take_bounded_memory_and_honest_ones_finish(
    database: str, tmp_path: Path
) -> None:
    options = {
        "networks": {"clearnet": {"max_tasks": HOSTILE + HONEST, "timeout": 30}},
        "processing": {"end_lag": 0, "max_relay_bytes": 8_000_000},
        "timeouts": {"max_relay_duration": 120},
    }
    async with AsyncExitStack() as stack:
        hostile = [
            await stack.enter_async_context(
                endless(make=COSTLY[number % len(COSTLY)], slow_to_make=True, page=PAGE)
            )
            for number in range(HOSTILE)
        ]
        honest = [
            await stack.enter_async_context(
                scripted([signed(1_000 + second, content=f"{number}") for second in range(600)])
            )
            for number in range(HONEST)
        ]
        urls = [relay.url for relay in (*hostile, *honest)]
        given = {"database": database, "relays": urls, "options": options}
        ran = await asyncio.to_thread(lambda: run_module("tests.sync.memory_client", tmp_path, **given))
    reports = {one["url"]: one for one in ran.output["per_relay"]}
    for relay in honest:
        assert reports[relay.url]["ok"], reports[relay.url]
        assert stored_ids(database, relay.url) == {event.id for event in relay.events}
    assert ran.output["events_rejected"]["too_large"] > 0
    assert ask(database, "SELECT count(*) FROM event WHERE length(content) > 900000") != [(0,)]
    assert ran.peak_bytes < MOST_BYTES
