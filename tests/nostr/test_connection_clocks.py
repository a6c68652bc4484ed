"""NOTICE and silence: the three clocks of a request."""

import asyncio
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from bigbrotr_dagster.nostr import line
from bigbrotr_dagster.nostr.connection import connect
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.windowing.outcome import NOISE, Ending, Outcome
from tests.machine import within
from tests.nostr.helpers import FOREVER, A, B, C, ask, event, received, relay, saying, send


async def test_a_notice_in_place_of_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "NOTICE_GRACE", 0.2)
    with within(5):
        page = await ask(saying(["NOTICE", "too many filters"]), timeout=FOREVER)
    assert page.outcome == Outcome(Ending.NOTICE, text="too many filters")


async def test_a_notice_before_a_normal_answer() -> None:
    page = await ask(saying(["NOTICE", "welcome"], event(A), ["EOSE", "SUB"]))
    assert page.outcome == Outcome(Ending.EOSE)
    assert page.events == [A]


async def test_a_notice_that_events_follow_is_not_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "NOTICE_GRACE", 0.2)
    page = await ask(saying(["NOTICE", "welcome"], event(A), then_wait=True), timeout=0.5)
    assert page.outcome.ending is Ending.TIMEOUT
    assert page.outcome.text == f"no answer for 0.5 s: 1 events, 1 other messages, {page.bytes} bytes"
    assert page.events == [A]


async def test_a_stream_of_notices_does_not_buy_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "NOTICE_GRACE", 0.3)

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


async def test_what_comes_in_place_of_an_answer_is_counted_and_told() -> None:
    async def challenging(socket: ServerConnection) -> None:
        await received(socket, "REQ")
        for number in range(200):
            await send(socket, "AUTH", f"{number} {'x' * 10_000}")
        await socket.wait_closed()

    page = await ask(challenging, timeout=0.5)
    assert (page.outcome.ending, page.outcome.prefix) == (Ending.TIMEOUT, NOISE)
    assert page.outcome.text == f"no answer for 0.5 s: 0 events, 200 other messages, {page.bytes:,} bytes"
    assert page.bytes > 2_000_000


@pytest.mark.parametrize(
    ("message", "most", "said"),
    [
        (["AUTH", "who"], 10_000, "that were not asked for"),
        (["NOTICE", "buy"], 10_000, "that were not asked for"),
        (["OK", "0" * 64, True, ""], 10_000, "that were not asked for"),
        (["EVENT", "other", {}], 10_000, "that were not asked for"),
        ("garbage", 1_000, "that are not NIP-01's"),
    ],
    ids=str,
)
async def test_a_flood_of_anything_but_answers_is_noise(message: Any, most: int, said: str) -> None:
    page = await ask(saying(*[message] * (most + 1), then_wait=True), timeout=FOREVER)
    assert (page.outcome.ending, page.outcome.prefix) == (Ending.PROTOCOL_ERROR, NOISE)
    assert page.outcome.text.startswith(f"more than {most} messages {said}: 0 events, {most + 1} other messages")


async def test_a_slow_answer_is_waited_for() -> None:
    async def handler(socket: ServerConnection) -> None:
        _, id, *_ = await received(socket, "REQ")
        for each in (A, B, C):
            await asyncio.sleep(0.8)
            await send(socket, "EVENT", id, each)
        await send(socket, "EOSE", id)

    page = await ask(handler, timeout=2)
    assert page.outcome == Outcome(Ending.EOSE)
    assert page.events == [A, B, C]


async def test_a_relay_that_drips_is_cut_off() -> None:
    async def handler(socket: ServerConnection) -> None:
        _, id, *_ = await received(socket, "REQ")
        while True:
            await send(socket, "EVENT", id, A)
            await asyncio.sleep(0.05)

    page = await ask(handler, timeout=5, page_timeout=0.7)
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
