"""Several requests at once on one connection; against a real websocket server."""

import asyncio

import pytest
from websockets.asyncio.server import ServerConnection

from bigbrotr_dagster.nostr.connection import Connection, Conversation, Reply, connect
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.windowing.outcome import Ending, Outcome
from tests.nostr.helpers import FOREVER, KEY, A, received, relay, saying, send, signed


def ask(conversation: Conversation, times: int) -> None:
    for _ in range(times):
        conversation.ask(Filter(), max_events=9, max_bytes=9_999)


async def side_by_side(connection: Connection, selections: list[Filter], *, max_bytes: int) -> list[Reply]:
    """The pages in the order of asking; nothing more is asked for."""
    with connection.conversation() as conversation:
        numbers = [conversation.ask(each, max_events=9, max_bytes=max_bytes) for each in selections]
        pages = {number: page async for number, page in conversation}
    return [pages[number] for number in numbers]


async def test_a_request_takes_the_place_of_one_that_was_answered() -> None:
    async def handler(socket: ServerConnection) -> None:
        first, second = [await received(socket, "REQ") for _ in range(2)]
        await send(socket, "EOSE", second[1])
        assert (await received(socket, "CLOSE"))[1] == second[1]
        _, third, selection = await received(socket, "REQ")
        assert selection == {"limit": 7}
        await send(socket, "EVENT", third, signed())
        await send(socket, "EOSE", third)
        await send(socket, "EOSE", first[1])
        await socket.wait_closed()

    came: list[tuple[int, int]] = []
    async with relay(handler) as url, connect(url, timeout=2, allow_private=True) as connection:
        with connection.conversation() as conversation:
            ask(conversation, 2)
            async for number, page in conversation:
                came.append((number, len(page.events)))
                if number == 1:
                    conversation.ask(Filter(limit=7), max_events=9, max_bytes=9_999)
    assert came == [(1, 0), (2, 1), (0, 0)]


async def test_to_wait_for_the_archive_is_not_the_relays_silence() -> None:
    async def handler(socket: ServerConnection) -> None:
        first, second = [await received(socket, "REQ") for _ in range(2)]
        await send(socket, "EOSE", first[1])
        await send(socket, "EOSE", second[1])
        await socket.wait_closed()

    endings = []
    async with relay(handler) as url, connect(url, timeout=0.2, allow_private=True) as connection:
        with connection.conversation() as conversation:
            ask(conversation, 2)
            async for _, page in conversation:
                await asyncio.sleep(0.5)
                endings.append(page.outcome.ending)
    assert endings == [Ending.EOSE, Ending.EOSE]


async def test_answers_that_come_mixed_go_to_their_own_requests() -> None:
    events = [signed(second, content=str(number)) for second in (1, 2, 3) for number in range(4)]

    async def handler(socket: ServerConnection) -> None:
        asked = [await received(socket, "REQ") for _ in range(3)]
        for number in range(4):
            for _, id, selection in asked:
                chosen = [event for event in events if Filter.from_dict(selection).matches(event)]
                await send(socket, "EVENT", id, chosen[number])
        await send(socket, "NOTICE", "of nobody")
        await send(socket, "EOSE", asked[2][1])
        await send(socket, "CLOSED", asked[0][1], "rate-limited: slower")
        await send(socket, "EOSE", "another")
        await send(socket, "EOSE", asked[1][1])

    selections = [Filter(since=second, until=second) for second in (1, 2, 3)]
    async with relay(handler) as url, connect(url, timeout=2, allow_private=True) as connection:
        pages = await side_by_side(connection, selections, max_bytes=99_999)
    assert [page.outcome.ending for page in pages] == [Ending.CLOSED, Ending.EOSE, Ending.EOSE]
    assert [page.events for page in pages] == [events[:4], events[4:8], events[8:]]
    assert [page.ignored for page in pages] == [1, 1, 0]


async def test_what_has_not_ended_when_the_relay_falls_silent_or_leaves_is_no_answer() -> None:
    async def handler(socket: ServerConnection) -> None:
        first, second = [await received(socket, "REQ") for _ in range(2)]
        await send(socket, "EOSE", second[1])
        await send(socket, "EVENT", first[1], signed())
        if ending is Ending.DISCONNECTED:
            await socket.close()
        else:
            await socket.wait_closed()

    for ending in (Ending.TIMEOUT, Ending.DISCONNECTED):
        async with relay(handler) as url, connect(url, timeout=0.3, allow_private=True) as connection:
            pages = await side_by_side(connection, [Filter(), Filter()], max_bytes=9_999)
        assert [page.outcome.ending for page in pages] == [ending, Ending.EOSE]
        assert len(pages[0].events) == 1


async def test_the_bytes_of_each_answer_are_bounded() -> None:
    async def handler(socket: ServerConnection) -> None:
        asked = [await received(socket, "REQ") for _ in range(2)]
        for number in range(2):
            await send(socket, "EVENT", asked[0][1], signed(number, content="x" * 1_000))
        await send(socket, "EOSE", asked[1][1])

    async with relay(handler) as url, connect(url, timeout=2, allow_private=True) as connection:
        pages = await side_by_side(connection, [Filter(), Filter()], max_bytes=2_000)
    assert [page.outcome.ending for page in pages] == [Ending.PROTOCOL_ERROR, Ending.EOSE]
    assert len(pages[0].events) == 1


async def test_side_by_side_neither_a_notice_nor_a_challenge_is_judged() -> None:
    async def handler(socket: ServerConnection) -> None:
        _, second = [await received(socket, "REQ") for _ in range(2)]
        await send(socket, "NOTICE", "too many filters")
        await send(socket, "AUTH", "who")
        _, answer = await received(socket, "AUTH")
        await send(socket, "CLOSED", second[1], "auth-required: who are you")
        await send(socket, "OK", answer["id"], True, "")
        sent.append(await received(socket, "REQ"))

    sent: list[object] = []
    async with (
        relay(handler) as url,
        connect(url, timeout=1, allow_private=True, private_key=KEY) as connection,
    ):
        pages = await side_by_side(connection, [Filter(), Filter()], max_bytes=9_999)
    assert pages[0].outcome == Outcome(Ending.TIMEOUT, text="silent for 1 s")
    assert pages[1].outcome == Outcome(Ending.CLOSED, prefix="auth-required", text="who are you")
    assert sent == [], "so it was not asked again"


async def test_what_comes_late_for_a_request_that_was_given_up_is_kept() -> None:
    async def handler(socket: ServerConnection) -> None:
        first, _ = [await received(socket, "REQ") for _ in range(2)]
        closed = [(await received(socket, "CLOSE"))[1] for _ in range(2)]
        assert first[1] in closed
        await send(socket, "EVENT", first[1], A)
        _, id, *_ = await received(socket, "REQ")
        await send(socket, "EOSE", id)

    async with relay(handler) as url, connect(url, timeout=0.3, allow_private=True) as connection:
        pages = await side_by_side(connection, [Filter(kinds=(1,)), Filter()], max_bytes=9_999)
        await connection.request(Filter(), max_events=9, max_bytes=9_999)
        [late] = connection.late.collect()
    assert [page.outcome.ending for page in pages] == [Ending.TIMEOUT, Ending.TIMEOUT]
    assert (late.selection, late.page.events, late.contradict) == (Filter(kinds=(1,)), [A], False)


async def test_what_came_before_the_relay_left_is_read_to_its_end_whatever_else_is_asked() -> None:
    async def handler(socket: ServerConnection) -> None:
        first, second = [await received(socket, "REQ") for _ in range(2)]
        await send(socket, "EOSE", first[1])
        await send(socket, "EVENT", second[1], A)
        await send(socket, "EOSE", second[1])
        await socket.close()

    came = []
    async with relay(handler) as url, connect(url, timeout=FOREVER, allow_private=True) as connection:
        with connection.conversation() as conversation:
            ask(conversation, 2)
            async for number, page in conversation:
                came.append((number, page.outcome.ending, len(page.events)))
                while not connection.closed:
                    await asyncio.sleep(0.01)
                if number == 0:
                    ask(conversation, 1)
    assert came == [(0, Ending.EOSE, 0), (1, Ending.EOSE, 1), (2, Ending.DISCONNECTED, 0)]


async def test_what_is_asked_once_the_relay_was_silent_is_asked_all_the_same() -> None:
    async def handler(socket: ServerConnection) -> None:
        for _ in range(2):
            await received(socket, "REQ")
        _, id, *_ = await received(socket, "REQ")
        await send(socket, "EOSE", id)
        await socket.wait_closed()

    endings = []
    async with relay(handler) as url, connect(url, timeout=0.3, allow_private=True) as connection:
        with connection.conversation() as conversation:
            ask(conversation, 2)
            async for number, page in conversation:
                endings.append((number, page.outcome.ending))
                if number == 0:
                    ask(conversation, 1)
    assert endings == [(0, Ending.TIMEOUT), (1, Ending.TIMEOUT), (2, Ending.EOSE)]


async def test_who_has_asked_nothing_has_no_replies() -> None:
    async with relay(saying()) as url, connect(url, timeout=FOREVER, allow_private=True) as connection:
        with connection.conversation() as conversation:
            assert [page async for page in conversation] == []


async def test_others_have_the_connection_while_nothing_is_under_way() -> None:
    async def handler(socket: ServerConnection) -> None:
        for _ in range(2):
            await send(socket, "EOSE", (await received(socket, "REQ"))[1])
            await send(socket, "COUNT", (await received(socket, "COUNT"))[1], {"count": 7})

    counts = []
    async with relay(handler) as url, connect(url, timeout=5, allow_private=True) as connection:
        with connection.conversation(alone=True) as conversation:
            ask(conversation, 1)
            async for number, _ in conversation:
                counts.append(await connection.count(Filter()))
                if number == 0:
                    ask(conversation, 1)
    assert counts == [7, 7]


@pytest.mark.parametrize("alone", [True, False])
async def test_who_leaves_in_the_midst_gives_the_connection_back(alone: bool) -> None:
    async def handler(socket: ServerConnection) -> None:
        await received(socket, "REQ")
        asked.set()
        await send(socket, "EOSE", (await received(socket, "REQ"))[1])
        await socket.wait_closed()

    async def leaving(connection: Connection) -> None:
        with connection.conversation(alone=alone) as conversation:
            ask(conversation, 1)
            await anext(conversation)

    asked = asyncio.Event()
    async with relay(handler) as url, connect(url, timeout=FOREVER, allow_private=True) as connection:
        task = asyncio.create_task(leaving(connection))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        page = await connection.request(Filter(), max_events=9, max_bytes=9_999)
    assert page.outcome.ending is Ending.EOSE
