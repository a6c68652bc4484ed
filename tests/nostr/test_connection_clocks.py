"""NOTICE and silence: the three clocks of a request."""

import asyncio
import time

import pytest
from websockets.asyncio.server import ServerConnection

from bigbrotr_dagster.nostr import connection as connection_module
from bigbrotr_dagster.nostr.connection import connect
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.windowing.outcome import Ending, Outcome
from tests.nostr.helpers import FOREVER, A, B, C, ask, event, received, relay, saying, send


async def test_a_notice_in_place_of_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "NOTICE_GRACE", 0.2)
    started = time.monotonic()
    page = await ask(saying(["NOTICE", "too many filters"]), timeout=FOREVER)
    assert page.outcome == Outcome(Ending.NOTICE, text="too many filters")
    assert time.monotonic() - started < 5


async def test_a_notice_before_a_normal_answer() -> None:
    page = await ask(saying(["NOTICE", "welcome"], event(A), ["EOSE", "SUB"]))
    assert page.outcome == Outcome(Ending.EOSE)
    assert page.events == [A]


async def test_a_notice_that_events_follow_is_not_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "NOTICE_GRACE", 0.2)
    page = await ask(saying(["NOTICE", "welcome"], event(A), then_wait=True), timeout=0.5)
    assert page.outcome == Outcome(Ending.TIMEOUT, text="silent for 0.5 s")
    assert page.events == [A]


async def test_a_stream_of_notices_does_not_buy_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "NOTICE_GRACE", 0.3)

    async def handler(socket: ServerConnection) -> None:
        await received(socket, "REQ")
        while True:
            await send(socket, "NOTICE", "one moment")
            await asyncio.sleep(0.05)

    page = await ask(handler, timeout=FOREVER)
    assert page.outcome == Outcome(Ending.NOTICE, text="one moment")


# Silence


async def test_silence_times_out() -> None:
    page = await ask(saying(event(A), then_wait=True), timeout=0.3)
    assert page.outcome == Outcome(Ending.TIMEOUT, text="silent for 0.3 s")
    assert page.events == [A]


async def test_a_slow_answer_is_waited_for() -> None:
    async def handler(socket: ServerConnection) -> None:
        _, id, *_ = await received(socket, "REQ")
        for each in (A, B, C):
            await asyncio.sleep(0.3)
            await send(socket, "EVENT", id, each)
        await send(socket, "EOSE", id)

    page = await ask(handler, timeout=0.6)
    assert page.outcome == Outcome(Ending.EOSE)
    assert page.events == [A, B, C]


async def test_a_relay_that_drips_is_cut_off() -> None:
    async def handler(socket: ServerConnection) -> None:
        _, id, *_ = await received(socket, "REQ")
        while True:
            await send(socket, "EVENT", id, A)
            await asyncio.sleep(0.05)

    page = await ask(handler, timeout=0.5, page_timeout=0.7)
    assert page.outcome == Outcome(Ending.TIMEOUT, text="no end within 0.7 s")


async def test_a_connection_survives_a_timeout() -> None:
    async def handler(socket: ServerConnection) -> None:
        await received(socket, "REQ")
        _, id, *_ = await received(socket, "REQ")
        await send(socket, "EOSE", id)

    async with relay(handler) as url, connect(url, timeout=0.3, allow_private=True) as connection:
        first = await connection.request(Filter(), max_events=9, max_bytes=9_999)
        second = await connection.request(Filter(), max_events=9, max_bytes=9_999)
    assert [first.outcome.ending, second.outcome.ending] == [Ending.TIMEOUT, Ending.EOSE]
