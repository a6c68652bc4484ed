"""Giving a relay an event: one EVENT, and its verdict (NIP-01). What else comes meanwhile is noted as late."""

import asyncio

from websockets.exceptions import ConnectionClosed

from bigbrotr_dagster.nostr import messages
from bigbrotr_dagster.nostr.challenge import authenticate
from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.nostr.line import Line
from bigbrotr_dagster.nostr.subscription import decoded
from bigbrotr_dagster.nostr.weight import PART


async def published(line: Line, event: Event) -> str:
    """Send an event; returns why the relay did not take it, or nothing where it did."""
    try:
        async with asyncio.timeout(line.timeout):
            await line.socket.send(messages.event(event), text=True)
            return await _verdict(line, event)
    except TimeoutError:
        return f"no verdict within {line.timeout:g} s"
    except ConnectionClosed as exc:
        return line.lost(exc).text


async def _verdict(line: Line, event: Event) -> str:
    while line.late.weight <= PART:
        raw = await line.socket.receive()
        message = decoded(raw)
        match message:
            case messages.Ok(event_id, accepted, prefix, text) if event_id == event.id:
                said = ": ".join(part for part in (prefix, text) if part)
                return "" if accepted else said or "refused"
            case messages.AuthChallenge(challenge):
                await authenticate(line, challenge)
            case _:
                line.late.take(message, raw)
    return "too much else came before a verdict"
