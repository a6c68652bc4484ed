"""A conversation with a relay over a connection of ours, and one that was recorded.

    python -m tests.negentropy.over_websocket

records it anew, with nostr-sdk's LocalRelay: then our messages have changed, and somebody has to say why.
"""

import asyncio
import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bigbrotr_dagster.negentropy import Reconciliation
from bigbrotr_dagster.nostr.connection import ReconcileEnding, connect
from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.relay_url import parse_relay_url
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


class Overheard(Reconciliation):
    """One that keeps what it said and was told."""

    def __init__(self, items: Iterable[Item]) -> None:
        super().__init__(items)
        self.heard = Talk([], [])

    def open(self) -> bytes:
        """Say the first message."""
        self.heard.sent.append(super().open())
        return self.heard.sent[-1]

    def answered(self, answer: bytes) -> bytes | None:
        """Take an answer, and say the next message."""
        self.heard.received.append(answer)
        message = super().answered(answer)
        if message is not None:
            self.heard.sent.append(message)
        return message


async def talk_with(url: str, reconciliation: Overheard, selection: Filter | None = None) -> Talk:
    """Let `reconciliation` ask the relay at `url` until it has no more to ask."""
    async with connect(parse_relay_url(url), timeout=30, allow_private=True) as connection:
        result = await connection.reconcile(selection or Filter(), reconciliation)
    assert result.ending is ReconcileEnding.FINISHED, result
    assert result.rounds == len(reconciliation.heard.received)
    return reconciliation.heard


def main() -> None:
    ours, theirs = recorded_sets()
    with tempfile.TemporaryDirectory() as folder, local_relay(theirs, Path(folder)) as url:
        heard = asyncio.run(talk_with(url, Overheard(ours)))
    sides = {side: [one.hex() for one in said] for side, said in heard._asdict().items()}
    RECORDED.write_text(json.dumps(sides, indent=1) + "\n")


if __name__ == "__main__":
    main()
