"""NIP-77 on a connection: what a relay may do in the course of a talk, and how each talk ends."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from websockets.asyncio.server import ServerConnection

from bigbrotr_dagster.negentropy import Reconciliation
from bigbrotr_dagster.nostr import line, reconciling
from bigbrotr_dagster.nostr.connection import Connection, Reconciled, ReconcileEnding, connect
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.relay_url import parse_relay_url
from bigbrotr_dagster.nostr.subscription import MAX_IGNORED
from bigbrotr_dagster.windowing.outcome import Ending
from tests.machine import within
from tests.negentropy.over_websocket import START, item, local_relay, numbered
from tests.negentropy.relay_side import FINGERPRINT, ID_LIST, INFINITY, Item, RelaySide, Sent, written
from tests.nostr.helpers import FOREVER, KEY, A, Handler, received, relay, send, signed

EVENTS = numbered(range(1_000))
OURS: list[Item] = [item(event) for event in EVENTS[:-5]]
WINDOW = Filter(since=START, until=START + 333)

Act = Callable[[ServerConnection, str, RelaySide], Awaitable[None]]
FINISHED, TOO_MANY, UNSUPPORTED = ReconcileEnding.FINISHED, ReconcileEnding.TOO_MANY, ReconcileEnding.UNSUPPORTED
REFUSED, LIED, DISCONNECTED = ReconcileEnding.REFUSED, ReconcileEnding.LIED, ReconcileEnding.DISCONNECTED


def doing(*acts: Act) -> Handler:
    """A relay that does one thing for each message of NIP-77, and is honest from then on; it answers every REQ."""

    async def handler(socket: ServerConnection) -> None:
        side, left = RelaySide([item(event) for event in EVENTS]), list(acts)
        while True:
            label, id, *rest = await received_any(socket, "NEG-OPEN", "NEG-MSG", "REQ")
            if label == "REQ":
                await send(socket, "EVENT", id, A)
                await send(socket, "EOSE", id)
            elif left:
                await left.pop(0)(socket, id, side)
            else:
                await send(socket, "NEG-MSG", id, side.answer(bytes.fromhex(rest[-1])).hex())

    return handler


async def received_any(socket: ServerConnection, *labels: str) -> list[Any]:
    while True:
        message: list[Any] = orjson.loads(await socket.recv())
        if message[0] in labels:
            return message


def says(*parts: object) -> Act:
    """Say that, "ID" being the talk's."""

    async def act(socket: ServerConnection, id: str, _: RelaySide) -> None:
        await send(socket, *[id if part == "ID" else part for part in parts])

    return act


def both(*acts: Act) -> Act:
    async def act(socket: ServerConnection, id: str, side: RelaySide) -> None:
        for each in acts:
            await each(socket, id, side)

    return act


async def nothing(socket: ServerConnection, id: str, side: RelaySide) -> None:
    """Keep silent."""


async def differs(socket: ServerConnection, id: str, side: RelaySide) -> None:
    await send(socket, "NEG-MSG", id, written([Sent(INFINITY, FINGERPRINT, bytes(16))]).hex())


async def talk(
    handler: Handler,
    reconciliation: Reconciliation | None = None,
    *,
    timeout: float = 5,
    max_bytes: int = 10_000_000,
    then: Callable[[Connection], Awaitable[None]] | None = None,
    **options: Any,
) -> Reconciled:
    async with relay(handler) as url, connect(url, timeout=timeout, allow_private=True, **options) as connection:
        result = await connection.reconcile(WINDOW, reconciliation or Reconciliation(OURS), max_bytes=max_bytes)
        if then is not None:
            await then(connection)
    assert result.text.isprintable()
    return result


async def can_be_asked(connection: Connection) -> None:
    """A REQ has its answer."""
    page = await connection.request(Filter(), max_events=9, max_bytes=9_999)
    assert (page.outcome.ending, page.events) == (Ending.EOSE, [A])


# What is said


async def test_a_talk_with_a_relay_that_nobody_here_wrote(tmp_path: Path) -> None:
    with local_relay(EVENTS, tmp_path) as url:
        ours = Reconciliation([*OURS[10:], (START + 7, bytes(32))])
        async with connect(parse_relay_url(url), timeout=10, allow_private=True) as connection:
            result = await connection.reconcile(WINDOW.narrowed(limit=7), ours)
            assert (result.ending, result.text) == (FINISHED, "")
            assert 0 < result.rounds == ours.rounds
            assert result.bytes > 64 * len(ours.need)
            assert ours.need.keys() == {item(event)[1] for event in (*EVENTS[:10], *EVENTS[-5:])}
            assert ours.have.keys() == {bytes(32)}
            page = await connection.request(Filter(ids=(EVENTS[0].id,)), max_events=9, max_bytes=9_999)
            assert page.events == [EVENTS[0]]


async def test_the_messages_of_a_talk() -> None:
    heard: list[list[Any]] = []

    async def handler(socket: ServerConnection) -> None:
        side = RelaySide([item(event) for event in EVENTS])
        while len(heard) < 3:
            heard.append(await received_any(socket, "NEG-OPEN", "NEG-MSG", "NEG-CLOSE", "CLOSE"))
            if heard[-1][0] != "NEG-CLOSE":
                await send(socket, "NEG-MSG", heard[-1][1], side.answer(bytes.fromhex(heard[-1][-1])).hex())
        await socket.wait_closed()

    ours = Reconciliation(OURS)
    async with relay(handler) as url, connect(url, timeout=5, allow_private=True) as connection:
        result = await connection.reconcile(WINDOW.narrowed(limit=5, kinds=(1,)), ours)
    opening, message, end = heard
    assert result.ending is FINISHED
    assert opening[:3] == ["NEG-OPEN", opening[1], {"kinds": [1], "since": START, "until": START + 333}]
    assert bytes.fromhex(opening[3]) == Reconciliation(OURS).open()
    assert (message[:2], end) == (["NEG-MSG", opening[1]], ["NEG-CLOSE", opening[1]])
    assert len(ours.need) == 5


async def test_a_long_answer_is_worked_on_while_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciling, "LONG", 10)
    in_loop: list[bool] = []

    class Watched(Reconciliation):
        def answered(self, answer: bytes) -> bytes | None:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                in_loop.append(False)
            else:
                in_loop.append(True)
            return super().answered(answer)

    assert (await talk(doing(), Watched(OURS), then=can_be_asked)).ending is FINISHED
    assert in_loop == [False, False]
    equal = Watched(item(event) for event in EVENTS)  # an answer of one byte
    assert (await talk(doing(), equal, then=can_be_asked)).ending is FINISHED
    assert in_loop == [False, False, True]


# How it ends


@pytest.mark.parametrize(
    ("answer", "ending", "text"),
    [
        (("NEG-ERR", "ID", "blocked: too many query results", 1000), TOO_MANY, "blocked: too many query results"),
        (("NEG-ERR", "ID", "blocked: this query is too big", 1000), TOO_MANY, "blocked: this query is too big"),
        (("NEG-ERR", "ID", "RESULTS_TOO_BIG"), TOO_MANY, "RESULTS_TOO_BIG"),
        (("NEG-ERR", "ID", "error: too many records"), TOO_MANY, "error: too many records"),
        (("CLOSED", "ID", "blocked: too many results"), TOO_MANY, "blocked: too many results"),
        (("NOTICE", "blocked: too many query results"), TOO_MANY, "blocked: too many query results"),
        (("NEG-ERR", "ID", "PROTOCOL-ERROR"), UNSUPPORTED, "PROTOCOL-ERROR"),
        (("NEG-ERR", "ID", "rate-limited: too many results a minute"), UNSUPPORTED, "rate-limited: too many"),
        (("NEG-ERR", "ID", "closed: you took too long to respond!"), UNSUPPORTED, "closed: you took too long"),
        (("NEG-ERR", "ID"), UNSUPPORTED, ""),
        (("NEG-ERR", "ID", "error: \x1b[2J"), UNSUPPORTED, r"error: \x1b[2J"),
        (("CLOSED", "ID", "unsupported: what is that"), UNSUPPORTED, "unsupported: what is that"),
        (("NOTICE", "ERROR: bad msg: negentropy disabled"), UNSUPPORTED, "ERROR: bad msg: negentropy disabled"),
        (("NOTICE", "ERROR: bad msg: unknown cmd"), UNSUPPORTED, "ERROR: bad msg: unknown cmd"),
        (("NOTICE", "ERROR: too many concurrent NEG requests"), UNSUPPORTED, "ERROR: too many concurrent NEG"),
        (("NEG-ERR", "ID", "auth-required: who are you"), REFUSED, "auth-required: who are you"),
        (("NEG-ERR", "ID", "restricted: not you"), REFUSED, "restricted: not you"),
        (("CLOSED", "ID", "restricted: not you"), REFUSED, "restricted: not you"),
        (("NOTICE", "restricted: not you"), REFUSED, "restricted: not you"),
        (("NEG-MSG", "ID", "6"), LIED, "NEG-MSG is not hex"),
        (("NEG-MSG", "ID", 61), LIED, "NEG-MSG lacks its fields"),
        (("NEG-MSG", "ID", "62"), LIED, "the relay speaks version 2"),
        (("NEG-MSG", "ID", ""), LIED, "the message is empty"),
    ],
)
async def test_what_ends_a_talk_at_once(answer: tuple[object, ...], ending: ReconcileEnding, text: str) -> None:
    with within(FOREVER / 2):
        result = await talk(doing(says(*answer)), timeout=FOREVER, then=can_be_asked)
    assert (result.ending, result.rounds) == (ending, 0)
    assert result.text.startswith(text)


@pytest.mark.parametrize("reason", ["rate-limited: wait", "blocked: too many query results"])
async def test_it_may_end_in_the_midst(reason: str) -> None:
    result = await talk(doing(differs, says("NEG-ERR", "ID", reason)), then=can_be_asked)
    assert (result.rounds, result.text) == (1, reason)


async def test_who_says_nothing_does_not_know_it() -> None:
    result = await talk(doing(nothing), timeout=0.3, then=can_be_asked)
    assert result == Reconciled(UNSUPPORTED, "silent for 0.3 s")


async def test_silence_is_bounded_whatever_the_connections_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciling, "SILENCE", 0.3)
    with within(FOREVER / 2):
        result = await talk(doing(differs, nothing), timeout=FOREVER, then=can_be_asked)
    assert (result.ending, result.text, result.rounds) == (UNSUPPORTED, "silent for 0.3 s", 1)


async def test_events_of_others_buy_no_time() -> None:
    async def drip(socket: ServerConnection, id: str, side: RelaySide) -> None:
        while True:
            await send(socket, "EVENT", "other", A)
            await asyncio.sleep(0.05)

    result = await talk(doing(drip), timeout=0.4)
    assert (result.ending, result.text) == (UNSUPPORTED, "silent for 0.4 s")
    assert result.bytes > 0


async def test_a_notice_that_an_answer_follows_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "NOTICE_GRACE", 0.3)
    result = await talk(doing(both(says("NOTICE", "welcome"), differs), nothing), timeout=0.5)
    assert (result.ending, result.text) == (UNSUPPORTED, "silent for 0.5 s")
    with within(FOREVER / 2):
        result = await talk(doing(says("NOTICE", "hm?")), timeout=FOREVER, then=can_be_asked)
    assert (result.ending, result.text) == (UNSUPPORTED, "hm?")


async def test_a_relay_that_leaves() -> None:
    async def leave(socket: ServerConnection, id: str, side: RelaySide) -> None:
        socket.transport.abort()

    async with relay(doing(leave)) as url, connect(url, timeout=5, allow_private=True) as connection:
        for _ in range(2):
            result = await connection.reconcile(WINDOW, Reconciliation(OURS))
            assert (result.ending, result.rounds) == (DISCONNECTED, 0)
            assert result.text
        assert connection.closed


async def test_more_than_we_want_to_hold_is_too_many() -> None:
    result = await talk(doing(), Reconciliation([], max_need=100), then=can_be_asked)
    assert (result.ending, result.text) == (TOO_MANY, "the relay lists 1000 ids that we do not have (max_need)")


# Bounds


async def test_a_talk_without_end() -> None:
    result = await talk(doing(*[differs] * 50), then=can_be_asked)
    assert result.ending is LIED
    assert "17 answers in a row settled nothing" in result.text


async def test_a_talk_that_takes_too_long() -> None:
    async def slowly(socket: ServerConnection, id: str, side: RelaySide) -> None:
        await asyncio.sleep(0.2)
        await differs(socket, id, side)

    result = await talk(doing(*[slowly] * 50), timeout=1, page_timeout=1.1, then=can_be_asked)
    assert (result.ending, result.text) == (LIED, "no end within 1.1 s")


async def test_more_bytes_than_allowed() -> None:
    async def lists(socket: ServerConnection, id: str, side: RelaySide) -> None:
        await send(socket, "NEG-MSG", id, written([Sent(INFINITY, ID_LIST, [bytes(32)] * 1_000)]).hex())

    result = await talk(doing(lists), max_bytes=50_000, then=can_be_asked)
    assert (result.ending, result.text, result.rounds) == (LIED, "more than 50000 bytes", 0)


async def test_a_message_larger_than_any() -> None:
    result = await talk(doing(says("NEG-MSG", "ID", "61" * 2_000)), max_message_size=1_000)
    assert result.ending is LIED
    assert "1009" in result.text


@pytest.mark.parametrize(
    "noise",
    [
        ["NEG-MSG", "other", "61"],
        ["NEG-MSG", "", "61"],
        ["NEG-MSG", "other", "6"],
        ["NEG-ERR", "other", "no"],
        ["EVENT", "x", {}],
    ],
)
async def test_what_is_not_for_us_has_a_bound(noise: list[object]) -> None:
    async def flood(socket: ServerConnection, id: str, side: RelaySide) -> None:
        for _ in range(MAX_IGNORED + 1):
            await send(socket, *noise)

    result = await talk(doing(flood), timeout=FOREVER)
    assert (result.ending, result.text) == (LIED, f"{MAX_IGNORED + 1} messages that were not asked for")


async def test_late_events_are_kept_up_to_a_bound() -> None:
    async def handler(socket: ServerConnection) -> None:
        _, first, _ = await received(socket, "REQ")
        await send(socket, "EOSE", first)
        await received(socket, "NEG-OPEN")
        for number in range(3_000):
            await send(socket, "EVENT", first, signed(5_000 + number, content="x" * 1_000))
        await socket.wait_closed()

    async with relay(handler) as url, connect(url, timeout=FOREVER, allow_private=True) as connection:
        await connection.request(Filter(), max_events=9_999, max_bytes=10**8)
        result = await connection.reconcile(WINDOW, Reconciliation(OURS))
        assert result.ending is LIED
        assert 2**20 < connection.late.weight < 2**20 + 10_000


async def test_late_events_of_a_talk_are_kept_for_what_they_are() -> None:
    async def handler(socket: ServerConnection) -> None:
        _, first, _ = await received(socket, "REQ")
        await send(socket, "EOSE", first)
        _, id, *_ = await received(socket, "NEG-OPEN")
        await send(socket, "EVENT", first, A)
        await send(socket, "NEG-MSG", id, "61")
        await send(socket, "NEG-MSG", id, "6262")
        _, second, _ = await received(socket, "REQ")
        await send(socket, "EOSE", second)
        await socket.wait_closed()

    async with relay(handler) as url, connect(url, timeout=5, allow_private=True) as connection:
        await connection.request(Filter(limit=7), max_events=9, max_bytes=9_999)
        result = await connection.reconcile(WINDOW, Reconciliation(OURS))
        assert (result.ending, result.rounds) == (FINISHED, 1)
        [late] = connection.late.collect()
        assert (late.selection, late.page.events) == (Filter(limit=7), [A])
        page = await connection.request(Filter(), max_events=9, max_bytes=9_999)
        assert (page.outcome.ending, page.ignored, page.garbage) == (Ending.EOSE, 1, 0)


async def test_subscriptions_left_open_are_closed_before() -> None:
    async def handler(socket: ServerConnection) -> None:
        _, first, _ = await received(socket, "REQ")
        await send(socket, "EOSE", first)
        assert await received_any(socket, "CLOSE", "NEG-OPEN") == ["CLOSE", first]
        _, id, *_ = await received(socket, "NEG-OPEN")
        await send(socket, "NEG-MSG", id, "61")
        await socket.wait_closed()

    async with relay(handler) as url, connect(url, timeout=5, allow_private=True) as connection:
        with connection.conversation(alone=True) as conversation:
            conversation.ask(Filter(), max_events=9, max_bytes=9_999, stay_open=True)
            await anext(conversation)
        assert (await connection.reconcile(WINDOW, Reconciliation(OURS))).ending is FINISHED


# Authentication


MEMBERS_ONLY = says("NEG-ERR", "ID", "auth-required: members only")


def challenging(*, accepts: bool, first: Act = MEMBERS_ONLY) -> tuple[Handler, list[list[Any]]]:
    """A relay that challenges at the first NEG-OPEN and does `first`; and what it hears of NIP-77."""
    heard: list[list[Any]] = []

    async def handler(socket: ServerConnection) -> None:
        side = RelaySide([item(event) for event in EVENTS])
        while True:
            message = await received_any(socket, "NEG-OPEN", "NEG-MSG", "NEG-CLOSE", "AUTH", "REQ")
            if message[0] == "AUTH":
                await send(socket, "OK", message[1]["id"], accepts, "" if accepts else "restricted: not you")
                continue
            if message[0] == "REQ":
                await send(socket, "EVENT", message[1], A)
                await send(socket, "EOSE", message[1])
                continue
            heard.append(message)
            if len(heard) == 1:
                await send(socket, "AUTH", "who are you")
                await first(socket, message[1], side)
            elif message[0] != "NEG-CLOSE":
                await send(socket, "NEG-MSG", message[1], side.answer(bytes.fromhex(message[-1])).hex())

    return handler, heard


async def test_once_let_in_the_same_is_asked_under_another_id() -> None:
    handler, heard = challenging(accepts=True)
    ours = Reconciliation(OURS)
    result = await talk(handler, ours, private_key=KEY, then=can_be_asked)
    assert (result.ending, result.rounds, len(ours.need)) == (FINISHED, 2, 5)
    assert [message[0] for message in heard] == ["NEG-OPEN", "NEG-OPEN", "NEG-MSG", "NEG-CLOSE"]
    assert heard[0][2:] == heard[1][2:]
    assert heard[0][1] != heard[1][1]


async def test_who_is_not_let_in_is_refused_in_the_relays_words() -> None:
    handler, heard = challenging(accepts=False)
    result = await talk(handler, private_key=KEY, then=can_be_asked)
    assert (result.ending, result.text) == (REFUSED, "not you")
    assert [message[0] for message in heard] == ["NEG-OPEN"]


async def test_who_is_never_challenged_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciling, "AUTH_GRACE", 0.3)
    refusing = doing(MEMBERS_ONLY)
    with within(FOREVER / 2):
        result = await talk(refusing, timeout=FOREVER, private_key=KEY, then=can_be_asked)
    assert (result.ending, result.text) == (REFUSED, "auth-required: members only")


async def test_it_is_asked_once_more_and_not_again() -> None:
    async def handler(socket: ServerConnection) -> None:
        while True:
            label, id, *_ = await received_any(socket, "NEG-OPEN", "AUTH")
            if label == "AUTH":
                await send(socket, "OK", id["id"], True, "")
            else:
                await send(socket, "AUTH", "who are you")
                await MEMBERS_ONLY(socket, id, RelaySide([]))

    result = await talk(handler, private_key=KEY)
    assert (result.ending, result.text) == (REFUSED, "auth-required: members only")


async def test_who_is_let_in_in_the_midst_begins_again() -> None:
    """What was answered before, anybody was answered."""

    async def as_to_anybody(socket: ServerConnection, id: str, side: RelaySide) -> None:
        await send(socket, "NEG-MSG", id, written([Sent(INFINITY, ID_LIST, [bytes(32)])]).hex())

    handler, heard = challenging(accepts=True, first=as_to_anybody)
    ours = Reconciliation(OURS[:31])
    result = await talk(handler, ours, private_key=KEY, then=can_be_asked)
    assert result.ending is FINISHED
    assert ours.need.keys() == {item(event)[1] for event in EVENTS[31:]}
    assert not ours.have
    assert [message[0] for message in heard].count("NEG-OPEN") == 2
    assert heard[0][2:] == next(message for message in heard[1:] if message[0] == "NEG-OPEN")[2:]


@pytest.mark.parametrize("key", [KEY, None])
async def test_who_is_not_let_in_goes_on_as_anybody(key: bytes | None) -> None:
    handler, heard = challenging(accepts=False, first=says("NEG-MSG", "ID", "61"))
    result = await talk(handler, private_key=key, then=can_be_asked)
    assert (result.ending, result.rounds) == (FINISHED, 1)
    assert [message[0] for message in heard] == ["NEG-OPEN", "NEG-CLOSE"]


async def test_a_verdict_that_never_comes_leaves_it_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciling, "VERDICT_GRACE", 0.3)
    with within(FOREVER / 2):
        challenge = both(says("AUTH", "who are you"), says("NEG-MSG", "ID", "61"))
        result = await talk(doing(challenge), timeout=FOREVER, private_key=KEY)
    assert (result.ending, result.rounds) == (FINISHED, 1)
