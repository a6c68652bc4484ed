"""How a request ends: EOSE, refusals, drops, authentication; against a real websocket server."""

import asyncio
from typing import Any

import orjson
import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from bigbrotr_dagster.nostr.connection import connect
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.relay_url import parse_relay_url
from bigbrotr_dagster.windowing.outcome import Ending, Hint, Outcome
from tests.nostr.helpers import FOREVER, KEY, A, B, C, Handler, ask, event, received, relay, saying, send
from tests.relays.distant import distant

# EOSE


@pytest.mark.parametrize(
    ("eose", "hint"),
    [
        (["EOSE", "SUB"], Hint.NONE),
        (["EOSE", "SUB", ["finish"]], Hint.FINISH),
        (["EOSE", "SUB", ["more"]], Hint.MORE),
    ],
)
async def test_eose_ends_the_page(eose: list[Any], hint: Hint) -> None:
    page = await ask(saying(event(A), event(B), eose))
    assert page.outcome == Outcome(Ending.EOSE, hint)
    assert page.events == [A, B]
    assert (page.received, page.ignored, page.duplicates) == (2, 0, 0)


async def test_every_request_has_a_subscription_id_of_its_own() -> None:
    ids = []

    async def handler(socket: ServerConnection) -> None:
        while True:
            ids.append((await received(socket, "REQ"))[1])
            await send(socket, "EOSE", ids[-1])

    async with relay(handler) as url, connect(url, timeout=5, allow_private=True) as connection:
        for _ in range(3):
            await connection.request(Filter(), max_events=1, max_bytes=1_000)
    assert len(set(ids)) == 3
    assert all(1 <= len(id) <= 64 for id in ids)


async def test_requests_made_at_once_take_turns() -> None:
    async with (
        relay(saying(event(A), ["EOSE", "SUB"])) as url,
        connect(url, timeout=5, allow_private=True) as connection,
    ):
        requests = [connection.request(Filter(), max_events=9, max_bytes=9_999) for _ in range(5)]
        pages = await asyncio.gather(*requests)
    assert [page.events for page in pages] == [[A]] * 5


async def sent_after(answer: list[Any], **options: Any) -> list[Any]:
    """Return what the client sends after the relay's `answer`."""
    heard: list[Any] = []

    async def handler(socket: ServerConnection) -> None:
        _, id, *_ = await received(socket, "REQ")
        for message in answer:
            await socket.send(orjson.dumps(message).replace(b"SUB", id.encode()), text=True)
        async for message in socket:
            heard.append([orjson.loads(message)[0], orjson.loads(message)[1] == id])

    await ask(handler, **options)
    return heard


async def test_close_is_sent_after_eose() -> None:
    assert await sent_after([["EOSE", "SUB"]]) == [["CLOSE", True]]


async def test_close_is_sent_after_too_many_events() -> None:
    assert await sent_after([event(A), event(B)], max_events=1) == [["CLOSE", True]]


async def test_close_is_not_sent_after_closed() -> None:
    assert await sent_after([["CLOSED", "SUB", "blocked: no"]]) == []


# Refusals


@pytest.mark.parametrize(
    ("text", "prefix", "rest"),
    [
        ("blocked: no scraping", "blocked", "no scraping"),
        ("restricted: pay", "restricted", "pay"),
        ("auth-required: who are you", "auth-required", "who are you"),
        ("go away", "", "go away"),
        ("", "", ""),
    ],
)
async def test_closed_says_why(text: str, prefix: str, rest: str) -> None:
    page = await ask(saying(event(A), ["CLOSED", "SUB", text]))
    assert page.outcome == Outcome(Ending.CLOSED, prefix=prefix, text=rest)
    assert page.events == [A]


async def test_closed_of_another_subscription_is_ignored() -> None:
    page = await ask(saying(["CLOSED", "other", "blocked: no"], ["EOSE", "other"], ["EOSE", "SUB"]))
    assert page.outcome.ending is Ending.EOSE
    assert page.ignored == 2


async def test_closed_after_eose_does_not_disturb_the_next_request() -> None:
    async with (
        relay(saying(event(A), ["EOSE", "SUB"], ["CLOSED", "SUB", ""])) as url,
        connect(url, timeout=5, allow_private=True) as connection,
    ):
        pages = [await connection.request(Filter(), max_events=9, max_bytes=9_999) for _ in range(2)]
    assert [page.outcome.ending for page in pages] == [Ending.EOSE, Ending.EOSE]
    assert [page.ignored for page in pages] == [0, 1]


async def test_late_events_of_an_earlier_subscription_are_counted_not_kept() -> None:
    async with (
        relay(saying(event(A), ["EOSE", "SUB"], event(B), event(C))) as url,
        connect(url, timeout=5, allow_private=True) as connection,
    ):
        await connection.request(Filter(), max_events=9, max_bytes=9_999)
        page = await connection.request(Filter(), max_events=9, max_bytes=9_999)
    assert page.events == [A]
    assert page.ignored == 2


# Drops


async def test_a_drop_without_a_close_frame_keeps_what_arrived() -> None:
    async def handler(socket: ServerConnection) -> None:
        _, id, *_ = await received(socket, "REQ")
        await send(socket, "EVENT", id, A)
        await send(socket, "EVENT", id, B)
        await asyncio.sleep(0.05)
        socket.transport.abort()

    page = await ask(handler)
    assert page.outcome.ending is Ending.DISCONNECTED
    assert page.events == [A, B]


@pytest.mark.parametrize("code", [1000, 1001, 1009, 1011, 4000])
async def test_a_close_frame_disconnects(code: int) -> None:
    async def handler(socket: ServerConnection) -> None:
        _, id, *_ = await received(socket, "REQ")
        await send(socket, "EVENT", id, A)
        await socket.close(code, "bye")

    page = await ask(handler)
    assert page.outcome.ending is Ending.DISCONNECTED
    assert str(code) in page.outcome.text
    assert page.events == [A]


async def test_a_request_on_a_closed_connection_is_disconnected() -> None:
    async def handler(socket: ServerConnection) -> None:
        await received(socket, "REQ")

    async with relay(handler) as url, connect(url, timeout=5, allow_private=True) as connection:
        assert not connection.closed
        await connection.request(Filter(), max_events=9, max_bytes=9_999)
        page = await connection.request(Filter(), max_events=9, max_bytes=9_999)
        assert connection.closed
    assert page.outcome.ending is Ending.DISCONNECTED


# AUTH (NIP-42)


def guarded(accept: bool = True, challenge_first: bool = False, refuse_after: bool = False) -> Handler:
    """Return a relay that serves A to clients that it has authenticated."""

    async def handler(socket: ServerConnection) -> None:
        if challenge_first:
            await send(socket, "AUTH", "who")
        authenticated = False
        try:
            while True:
                label, argument, *_ = orjson.loads(await socket.recv())
                if label == "AUTH":
                    assert ["challenge", "who"] in argument["tags"]
                    authenticated = accept
                    await send(socket, "OK", argument["id"], accept, "" if accept else "restricted: not you")
                elif label == "REQ" and authenticated and not refuse_after:
                    await send(socket, "EVENT", argument, A)
                    await send(socket, "EOSE", argument)
                elif label == "REQ":
                    await send(socket, "CLOSED", argument, "auth-required: who are you")
                    if not challenge_first:
                        await send(socket, "AUTH", "who")
        except ConnectionClosed:
            pass

    return handler


@pytest.mark.parametrize("challenge_first", [False, True])
async def test_authentication_is_answered_and_the_question_asked_again(challenge_first: bool) -> None:
    page = await ask(guarded(challenge_first=challenge_first), private_key=KEY)
    assert page.outcome == Outcome(Ending.EOSE)
    assert page.events == [A]


async def test_without_a_key_auth_required_is_a_refusal() -> None:
    page = await ask(guarded(), timeout=FOREVER)
    assert page.outcome == Outcome(Ending.CLOSED, prefix="auth-required", text="who are you")


async def test_refused_authentication_is_a_refusal() -> None:
    page = await ask(guarded(accept=False), private_key=KEY, timeout=FOREVER)
    assert page.outcome == Outcome(Ending.CLOSED, prefix="auth-required", text="not you")


async def test_auth_required_is_answered_once() -> None:
    page = await ask(guarded(refuse_after=True), private_key=KEY, timeout=FOREVER)
    assert page.outcome == Outcome(Ending.CLOSED, prefix="auth-required", text="who are you")


async def test_auth_required_without_a_challenge_is_a_refusal() -> None:
    handler = saying(["CLOSED", "SUB", "auth-required: who are you"], then_wait=True)
    page = await ask(handler, private_key=KEY, timeout=0.3)
    assert page.outcome == Outcome(Ending.CLOSED, prefix="auth-required", text="who are you")


# COUNT (NIP-45)


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        (["COUNT", "SUB", {"count": 238}], 238),
        (["COUNT", "SUB", {"count": 93_412_452, "approximate": True}], 93_412_452),
        (["COUNT", "SUB", {"count": -1}], None),
        (["COUNT", "SUB", {"count": "many"}], None),
        (["COUNT", "SUB"], None),
        (["COUNT", "other", {"count": 1}], None),
        (["CLOSED", "SUB", "auth-required: no"], None),
        (["NOTICE", "unknown command"], None),
        (["EVENT", "SUB", {}], None),
    ],
)
async def test_a_relay_counts_or_it_does_not(answer: list[Any], count: int | None) -> None:
    async def handler(socket: ServerConnection) -> None:
        _, id, selection = await received(socket, "COUNT")
        assert selection == {"kinds": [1]}
        await send(socket, *(id if part == "SUB" else part for part in answer))
        _, id, _ = await received(socket, "REQ")
        await send(socket, "EOSE", id)

    async with relay(handler) as url, connect(url, timeout=0.3, allow_private=True) as connection:
        assert await connection.count(Filter(kinds=(1,))) == count
        page = await connection.request(Filter(), max_events=1, max_bytes=999)
        assert page.outcome.ending is Ending.EOSE


async def test_a_connection_that_ends_counts_nothing() -> None:
    async def handler(socket: ServerConnection) -> None:
        await received(socket, "COUNT")

    async with relay(handler) as url, connect(url, timeout=1, allow_private=True) as connection:
        assert await connection.count(Filter()) is None


async def test_a_round_trip_is_that_of_a_ping() -> None:
    async def handler(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with relay(handler) as near, distant(near.port, 0.1) as port:
        far = parse_relay_url(f"ws://127.0.0.1:{port}")
        async with connect(far, timeout=2, allow_private=True) as connection:
            assert await connection.round_trip() >= 0.1
        async with connect(far, timeout=2, allow_private=True) as connection:
            pass
        assert await connection.round_trip() == 0
