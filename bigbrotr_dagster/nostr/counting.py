"""COUNT (NIP-45): how many events a relay says it has. Many do not know it, and it proves nothing."""

import asyncio

from websockets.exceptions import ConnectionClosed

from bigbrotr_dagster.nostr import messages
from bigbrotr_dagster.nostr.challenge import authenticate
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.line import Line, new_id
from bigbrotr_dagster.nostr.subscription import decoded
from bigbrotr_dagster.nostr.weight import PART

COUNT_TIMEOUT = 3.0
"""Seconds that a relay has to answer a COUNT: many do not know it, and say nothing."""


async def counted(line: Line, selection: Filter) -> int | None:
    """Ask how many events the relay has; None where it does not say, or does not say it soon."""
    id = new_id()
    try:
        async with asyncio.timeout(min(line.timeout, COUNT_TIMEOUT)):
            await line.socket.send(messages.count(id, selection), text=True)
            return await _answer(line, id)
    except (TimeoutError, ConnectionClosed):
        return None


async def _answer(line: Line, id: str) -> int | None:
    """The answer to the COUNT with this id; None as well where more comes beside it than is to be kept."""
    while line.late.weight <= PART:
        raw = await line.socket.receive()
        message = decoded(raw)
        match message:
            case messages.Count(subscription, events) if subscription == id:
                return events
            case messages.Closed(subscription=subscription) if subscription == id:
                return None
            case messages.Notice():  # most likely: "unknown command"
                return None
            case messages.AuthChallenge(challenge):
                await authenticate(line, challenge)
            case _:
                line.late.take(message, raw)
    return None
