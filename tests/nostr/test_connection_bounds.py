"""Events that are none, and relays without measure: what a page lets in."""

import asyncio
from contextlib import AsyncExitStack

import orjson
from websockets.asyncio.server import ServerConnection

from bigbrotr_dagster.nostr.connection import connect
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.rejected import MAX_RAW_KEPT
from bigbrotr_dagster.nostr.subscription import MAX_GARBAGE, MAX_IGNORED, MAX_REJECTED_KEPT
from bigbrotr_dagster.windowing.outcome import Ending, Outcome
from tests.machine import within
from tests.nostr.helpers import FOREVER, A, B, C, ask, event, received, relay, saying, send, signed


async def test_what_is_no_event_is_rejected_with_its_reason_and_raw_bytes() -> None:
    forged = orjson.loads(A.to_json()) | {"content": "forged"}
    malformed = orjson.loads(B.to_json()) | {"kind": "1"}
    page = await ask(saying(event(forged), event(malformed), event(7), event(C), ["EOSE", "SUB"]))
    assert page.outcome.ending is Ending.EOSE
    assert page.events == [C]
    assert page.rejected_counts == {"bad_id": 1, "malformed": 2}
    assert (page.refused, page.rejected_at) == (3, [A.created_at, B.created_at])
    assert [(each.reason, each.id) for each in page.rejected[:2]] == [("bad_id", A.id), ("malformed", B.id)]
    assert [orjson.loads(each.raw) for each in page.rejected[:2]] == [forged, malformed]


async def test_an_event_with_a_repeated_key_is_malformed() -> None:
    async def handler(socket: ServerConnection) -> None:
        _, id, *_ = await received(socket, "REQ")
        raw = A.to_json()[:-1] + b',"kind":1}'
        await socket.send(b'["EVENT","' + id.encode() + b'",' + raw + b"]", text=True)
        await send(socket, "EOSE", id)

    page = await ask(handler)
    assert page.rejected_counts == {"malformed": 1}


async def test_an_event_outside_the_window_is_set_apart() -> None:
    page = await ask(saying(*map(event, (A, B, C)), ["EOSE", "SUB"]), Filter(since=1_500, until=2_500))
    assert page.events == [B]
    assert page.outside == [A, C]


async def test_an_event_off_the_filter_is_rejected() -> None:
    page = await ask(saying(event(A), ["EOSE", "SUB"]), Filter(kinds=(7,)))
    assert page.rejected_counts == {"off_filter": 1}
    assert page.rejected[0].raw == A.to_json()
    assert page.events == page.outside == []


async def test_a_repeated_event_is_counted_once() -> None:
    page = await ask(saying(event(A), event(A), event(B), event(A), ["EOSE", "SUB"]))
    assert page.events == [A, B]
    assert page.duplicates == 2


async def test_a_large_event_is_rejected_and_its_bytes_are_cut() -> None:
    large = signed(content="x" * 100_000)
    page = await ask(saying(event(large), event(A), ["EOSE", "SUB"]), max_event_size=50_000)
    assert page.events == [A]
    assert page.rejected_counts == {"too_large": 1}
    assert len(page.rejected[0].raw) == MAX_RAW_KEPT


async def test_an_event_of_just_the_allowed_size_is_taken() -> None:
    page = await ask(saying(event(A), event(B), ["EOSE", "SUB"]), max_event_size=len(A.to_json()))
    assert page.events == [A, B]


async def test_garbage_is_counted_and_passed_over() -> None:
    page = await ask(saying({}, [], "hello", ["EVENT"], event(A), ["EOSE", "SUB"]))
    assert page.outcome.ending is Ending.EOSE
    assert page.events == [A]
    assert page.rejected_counts == {"malformed": 4}


# Bounds


async def test_more_events_than_allowed_is_a_protocol_error() -> None:
    page = await ask(saying(*map(event, (A, B, C)), ["EOSE", "SUB"]), max_events=2)
    assert page.outcome == Outcome(Ending.PROTOCOL_ERROR, text="more than 2 events")
    assert page.events == [A, B]


async def test_more_bytes_than_allowed_is_a_protocol_error() -> None:
    page = await ask(saying(*map(event, (A, B, C)), ["EOSE", "SUB"]), max_bytes=len(A.to_json()) * 2)
    assert page.outcome.ending is Ending.PROTOCOL_ERROR
    assert page.events == [A]


async def test_a_flood_of_garbage_is_a_protocol_error() -> None:
    page = await ask(saying(*["?"] * (MAX_GARBAGE + 1), then_wait=True), timeout=FOREVER)
    assert page.outcome.ending is Ending.PROTOCOL_ERROR
    assert len(page.rejected) == MAX_REJECTED_KEPT
    assert page.rejected_counts == {"malformed": MAX_GARBAGE}


async def test_a_flood_of_what_was_not_asked_for_is_a_protocol_error() -> None:
    flood = [["EVENT", "other", {}]] * (MAX_IGNORED + 1)
    page = await ask(saying(*flood, then_wait=True), timeout=FOREVER)
    assert page.outcome.ending is Ending.PROTOCOL_ERROR
    assert page.events == []


async def test_a_message_larger_than_allowed_is_a_protocol_error() -> None:
    large = signed(content="x" * 10_000)
    page = await ask(saying(event(A), event(large), then_wait=True), max_message_size=5_000, timeout=1)
    assert page.outcome.ending is Ending.PROTOCOL_ERROR
    assert "1009" in page.outcome.text
    assert page.events == [A]


async def test_a_message_of_endless_fragments_is_a_protocol_error() -> None:
    async def handler(socket: ServerConnection) -> None:
        await received(socket, "REQ")
        socket.transport.write(b"\x01\x00" + b"\x00\x00" * 10_000)  # text, then empty continuations
        await socket.wait_closed()

    page = await ask(handler, timeout=1)
    assert page.outcome.ending is Ending.PROTOCOL_ERROR


async def test_a_broken_frame_is_a_protocol_error() -> None:
    async def handler(socket: ServerConnection) -> None:
        await received(socket, "REQ")
        socket.transport.write(b"\xff\xff\xff\xff")
        await socket.wait_closed()

    page = await ask(handler, timeout=1)
    assert page.outcome.ending is Ending.PROTOCOL_ERROR
    assert "1002" in page.outcome.text


async def test_a_relay_that_pings_without_reading_is_dropped() -> None:
    async def handler(socket: ServerConnection) -> None:
        await received(socket, "REQ")
        socket.transport.pause_reading()
        pings = (b"\x89\x7d" + bytes(125)) * 1_000
        while not socket.transport.is_closing():
            socket.transport.write(pings)
            await asyncio.sleep(0.001)

    page = await ask(handler, timeout=FOREVER)
    assert page.outcome.ending is Ending.DISCONNECTED


async def test_leaving_a_relay_that_does_not_answer_the_close_takes_seconds_at_most() -> None:
    async def handler(socket: ServerConnection) -> None:
        _, id, *_ = await received(socket, "REQ")
        await send(socket, "EOSE", id)
        socket.transport.pause_reading()
        await asyncio.sleep(2.5)

    async with relay(handler) as url, AsyncExitStack() as leaving:
        connection = await leaving.enter_async_context(connect(url, timeout=FOREVER, allow_private=True))
        await connection.request(Filter(), max_events=9, max_bytes=9_999)
        with within(3.5):
            await leaving.aclose()
