"""A conversation with a relay over a plain websocket, and one that was recorded.

    python -m tests.negentropy.over_websocket

records it anew, with nostr-sdk's LocalRelay: then our messages have changed, and somebody has to say why.
"""

import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from websockets.asyncio.client import connect

from bigbrotr_dagster.negentropy import Reconciliation
from bigbrotr_dagster.nostr.event import Event
from tests.negentropy.relay_side import Item, Talk
from tests.nostr.helpers import signed
from tests.relays.local_relay import LocalRelayProcess

RECORDED = Path(__file__).parent / "conversation.json"

START = 1_700_000_000


def numbered(numbers: range) -> list[Event]:
    """Events that are the same on every machine, three in a second."""
    return [signed(START + number // 3, content=str(number)) for number in numbers]


def item(event: Event) -> Item:
    return event.created_at, bytes.fromhex(event.id)


def recorded_sets() -> tuple[list[Item], list[Event]]:
    """What we hold in the recorded conversation, and what the relay does."""
    events = numbered(range(1_000))
    return [item(event) for number, event in enumerate(events) if number % 200 != 7], events[:-3]


def recorded() -> Talk:
    """The conversation in `conversation.json`."""
    sides = json.loads(RECORDED.read_text())
    return Talk(*([bytes.fromhex(message) for message in sides[side]] for side in Talk._fields))


@contextmanager
def local_relay(events: list[Event], folder: Path) -> Iterator[str]:
    """The URL of a LocalRelay that holds `events`."""
    path = folder / "events.jsonl"
    path.write_bytes(b"\n".join(event.to_json() for event in events))
    with LocalRelayProcess(path) as relay:
        yield relay.url


async def talk_with(url: str, reconciliation: Reconciliation, filter: dict[str, Any] | None = None) -> Talk:
    """Let `reconciliation` ask the relay at `url` until it has no more to ask."""
    heard = Talk([], [])
    async with connect(url, max_size=None, compression=None) as socket:
        message: bytes | None = reconciliation.open()
        while message is not None:
            heard.sent.append(message)
            ask = ["NEG-MSG", "sub"] if heard.received else ["NEG-OPEN", "sub", filter or {}]
            await socket.send(orjson.dumps([*ask, message.hex()]), text=True)
            label, subscription, said = orjson.loads(await socket.recv())
            assert (label, subscription) == ("NEG-MSG", "sub"), said
            heard.received.append(bytes.fromhex(said))
            message = reconciliation.answered(heard.received[-1])
        await socket.send(orjson.dumps(["NEG-CLOSE", "sub"]), text=True)
    return heard


def main() -> None:
    ours, theirs = recorded_sets()
    with tempfile.TemporaryDirectory() as folder, local_relay(theirs, Path(folder)) as url:
        heard = asyncio.run(talk_with(url, Reconciliation(ours)))
    sides = {side: [one.hex() for one in said] for side, said in heard._asdict().items()}
    RECORDED.write_text(json.dumps(sides, indent=1) + "\n")


if __name__ == "__main__":
    main()
