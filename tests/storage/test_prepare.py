"""Signatures are verified by the cores that there are, and the event loop goes on meanwhile."""

import asyncio
from dataclasses import replace

import pytest

from bigbrotr_dagster.storage.ingest import prepare, verify_signatures
from bigbrotr_dagster.storage.ingest.prepare import SLICE
from tests.nostr.helpers import signed

GOOD = signed()
FORGED = replace(GOOD, sig="0" * 128)


@pytest.fixture(params=[0, 1, 3], ids=lambda threads: f"{threads} threads")
def _threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "THREADS", request.param)


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("count", [0, 1, SLICE, SLICE + 1, 5 * SLICE + 2])
async def test_each_verdict_is_of_its_event(count: int) -> None:
    events = [FORGED if number % 5 == 3 else GOOD for number in range(count)]
    assert await verify_signatures(events) == [event is GOOD for event in events]


@pytest.mark.usefixtures("_threads")
async def test_the_loop_goes_on_while_signatures_are_verified() -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(take_turns())
    await verify_signatures([GOOD] * 20 * SLICE)
    others.cancel()
    assert turns >= 20
