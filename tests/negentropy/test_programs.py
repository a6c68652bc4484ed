"""Conversations with programs that nobody here wrote, byte by byte."""

from collections.abc import Iterator
from random import Random

import nostr_sdk  # type: ignore[import-untyped]
import orjson
import pytest
from websockets.asyncio.server import ServerConnection

from bigbrotr_dagster.negentropy import Reconciliation
from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.nostr.filter import Filter
from tests.negentropy.over_websocket import (
    START,
    Overheard,
    item,
    local_relay,
    numbered,
    recorded,
    recorded_sets,
    talk_with,
)
from tests.negentropy.relay_side import Item, RelaySide, talk
from tests.nostr.helpers import relay

pytestmark = pytest.mark.slow

HELD = 5_000
FRAME = 60_000
"""LocalRelay's, in bytes."""


@pytest.fixture(scope="module")
def events() -> list[Event]:
    """What the relay holds, and 50 more."""
    return numbered(range(HELD + 50))


@pytest.fixture(scope="module")
def url(events: list[Event], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with local_relay(events[:HELD], tmp_path_factory.mktemp("relay")) as url:
        yield url


def others(count: int) -> list[Item]:
    random = Random(16)
    return [(START + random.randrange(HELD // 3), random.randbytes(32)) for _ in range(count)]


async def sizes(url: str, events: list[Event], ours: list[Item]) -> tuple[list[int], list[int]]:
    """Have the conversation; the sizes of our messages and of the relay's, which are those of our own server."""
    client, held = Overheard(ours), [item(event) for event in events[:HELD]]
    heard = await talk_with(url, client)
    assert client.need.keys() == {id for _, id in held} - {id for _, id in ours}
    assert client.have.keys() == {id for _, id in ours} - {id for _, id in held}
    assert heard == talk(Reconciliation(ours), RelaySide(held, FRAME).answer)
    return [len(message) for message in heard.sent], [len(message) for message in heard.received]


async def test_equal_sets_are_proved_equal_by_one_byte(url: str, events: list[Event]) -> None:
    assert await sizes(url, events, [item(event) for event in events[:HELD]]) == ([322], [1])


async def test_all_is_listed_to_whoever_has_nothing_in_three_messages(url: str, events: list[Event]) -> None:
    sent, received = await sizes(url, events, [])
    assert sent == [5, 44, 44]
    assert len(received) == 3
    assert sum(received) < 32.1 * HELD


async def test_sets_with_nothing_in_common(url: str, events: list[Event]) -> None:
    sent, received = await sizes(url, events, others(5_000))
    assert len(sent) == len(received) <= 6
    assert sum(received) < 36 * HELD


async def test_fifty_missing_on_either_side(url: str, events: list[Event]) -> None:
    missing = set(Random(50).sample(range(HELD), 50))
    ours = [item(event) for number, event in enumerate(events) if number not in missing]
    sent, received = await sizes(url, events, ours)
    assert len(sent) == 2
    assert sum(sent) < 35_000
    assert sum(received) < 40_000


async def test_a_filter_bounds_what_is_compared(url: str, events: list[Event]) -> None:
    window = Filter(since=START + 100, until=START + 199)
    inside = [event for event in events if 100 <= event.created_at - START < 200]
    client = Overheard(item(event) for event in inside[10:])
    await talk_with(url, client, window)
    assert client.need.keys() == {bytes.fromhex(event.id) for event in inside[:10]}
    assert not client.have


def test_our_messages_are_those_of_the_recorded_conversation() -> None:
    ours, theirs = recorded_sets()
    before = recorded()
    answers = iter(before.received)
    client = Reconciliation(ours)
    assert talk(client, lambda _: next(answers)) == before
    assert client.need.keys() == {item(event)[1] for event in theirs} - {id for _, id in ours}
    assert client.have.keys() == {id for _, id in ours} - {item(event)[1] for event in theirs}
    assert (len(client.need), len(client.have), len(before.sent)) == (5, 3, 2)


def test_the_recorded_answers_are_those_of_our_own_server() -> None:
    _, theirs = recorded_sets()
    server = RelaySide([item(event) for event in theirs], FRAME)
    before = recorded()
    assert [server.answer(message) for message in before.sent] == before.received


@pytest.mark.parametrize("size", [0, 20, 3_000])
async def test_nostr_sdks_client_says_the_same(size: int) -> None:
    """While nothing exceeds a frame, our messages are the reference implementation's."""
    items = sorted(others(size))
    ours, server = items[: size - size // 100], RelaySide(items[size // 100 :], FRAME)
    heard: list[bytes] = []

    async def handler(socket: ServerConnection) -> None:
        async for raw in socket:
            message = orjson.loads(raw)
            if message[0] in ("NEG-OPEN", "NEG-MSG"):
                heard.append(bytes.fromhex(message[-1]))
                answer = server.answer(heard[-1]).hex()
                await socket.send(orjson.dumps(["NEG-MSG", message[1], answer]), text=True)

    async with relay(handler) as served:
        address = nostr_sdk.RelayUrl.parse(served.url)
        client = nostr_sdk.ClientBuilder().build()
        await client.add_relay(address)
        await client.connect()
        held = [
            nostr_sdk.NegentropyItem(
                id=nostr_sdk.EventId.from_bytes(id), timestamp=nostr_sdk.Timestamp.from_secs(time)
            )
            for time, id in ours
        ]
        connected = await client.relay(address)
        found = await connected.sync(nostr_sdk.Filter(), held, nostr_sdk.SyncOptions().dry_run())
        await client.shutdown()
    reconciliation = Reconciliation(ours)
    assert talk(reconciliation, server.answer).sent == heard
    assert reconciliation.need.keys() == {id.as_bytes() for id in found.remote}
    assert reconciliation.have.keys() == {id.as_bytes() for id in found.local}
