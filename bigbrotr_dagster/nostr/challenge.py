"""The dialogue of NIP-42: a relay challenges, we answer if we have a key; `auth` signs the answer."""

import asyncio
from contextlib import suppress

from websockets.exceptions import ConnectionClosed

from bigbrotr_dagster.nostr import messages
from bigbrotr_dagster.nostr.line import Line
from bigbrotr_dagster.nostr.subscription import decoded

INTRODUCTION = 3.0
"""Seconds for a relay to challenge us and to take our answer, before the first request."""


async def authenticate(line: Line, challenge: str) -> None:
    """Answer a challenge, if we can.

    Raises:
        ConnectionClosed: the connection ended before that.
    """
    line.spoke = True
    answer = line.authenticator.answer(challenge)
    if answer is not None:
        await line.socket.send(messages.auth(answer), text=True)


async def introduce(line: Line) -> None:
    """Answer the challenge of a relay that sends it at once, so that the first REQ is answered to whom we are.

    Relays that do not, answer at least a ping. If nothing comes within `INTRODUCTION` seconds, nothing is made of
    it.
    """
    socket, authenticator = line.socket, line.authenticator
    with suppress(TimeoutError, ConnectionClosed):
        async with asyncio.timeout(min(line.timeout, INTRODUCTION)):
            await (await socket.ping())
            for raw in socket.left():
                match decoded(raw):
                    case messages.AuthChallenge(challenge):
                        await authenticate(line, challenge)
            while authenticator.is_waiting:
                match decoded(await socket.receive()):
                    case messages.Ok() as verdict:
                        authenticator.receive(verdict)
