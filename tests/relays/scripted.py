"""A small NIP-01 relay on loopback whose misbehaviour is given as a function of the REQ."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.nostr.filter import Filter


@dataclass(frozen=True, slots=True)
class Later:
    """Messages that are sent after so many seconds, whatever else is asked and answered meanwhile."""

    seconds: float
    messages: Sequence[list[object]]


CHALLENGE = b'["AUTH","who are you"]'

Messages = Sequence[list[object] | Later | None]
"""What to send for a REQ; None drops the connection."""


def early_eose(seconds: float, subscription: str, honest: list[list[object]]) -> Messages:
    """The answer with its EOSE first, and its events `seconds` later."""
    *events, eose = honest
    return [eose, Later(seconds, events)]


@dataclass(slots=True)
class ScriptedRelay:
    """Holds `events` and answers newest first, at most `cap` at a time.

    `twist` gets the number of the REQ (from 1), its subscription id and the honest answer, and returns what is
    sent instead. `delay` is a pause in seconds before every answer. With `counts` it answers COUNT (NIP-45), and
    with `limitation` it has a NIP-11 document. It lives at `path` only, if one is given.

    `restricts` are kinds that it gives to who has authenticated, as strfry does: only a filter of those kinds
    alone is refused until then, from any other's answer they are left out. `lets_in`: whether it takes our key;
    `challenges`: when it asks for one, "alone" (strfry), "at once", or at "any" REQ, which it answers as well.

    `answers` is a gate: the relay keeps every REQ after so many waiting, until a test sets it to None.
    """

    events: list[Event]
    cap: int = 500
    delay: float = 0.0
    twist: Callable[[int, str, list[list[object]]], Messages] | None = None
    counts: bool = False
    limitation: dict[str, object] | None = None
    path: str | None = None
    answers: int | None = None
    restricts: frozenset[int] = frozenset()
    lets_in: bool = True
    challenges: str = "alone"
    members: set[ServerConnection] = field(default_factory=set)
    counted: list[Filter] = field(default_factory=list)
    documents_sent: int = 0
    requests: list[Filter] = field(default_factory=list)
    connections: int = 0
    most_connections: int = 0
    url: str = ""
    on_auth: Callable[[dict[str, object]], list[object]] | None = None
    _sending: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, socket: ServerConnection) -> None:
        self.connections += 1
        self.most_connections = max(self.most_connections, self.connections)
        try:
            if self.challenges == "at once":
                await socket.send(CHALLENGE, text=True)
            async for raw in socket:
                message = orjson.loads(raw)
                if message[0] == "REQ":
                    await self._answer(socket, message[1], Filter.from_dict(message[2]))
                elif message[0] == "COUNT":
                    await self._count(socket, message[1], Filter.from_dict(message[2]))
                elif message[0] == "AUTH" and self.restricts:
                    await self._let_in(socket, message[1])
                elif message[0] == "AUTH" and self.on_auth is not None:
                    await socket.send(orjson.dumps(self.on_auth(message[1])), text=True)
        except ConnectionClosed:
            pass  # the client left in the middle of an answer
        finally:
            self.connections -= 1

    def inform(self, socket: ServerConnection, request: Request) -> Response | None:
        """Answer what is no handshake with the NIP-11 document, if there is one, and other paths with 404."""
        if self.path is not None and request.path != self.path:
            return socket.respond(404, "not here")
        if self.limitation is None or request.headers.get("Accept") != "application/nostr+json":
            return None
        self.documents_sent += 1
        return socket.respond(200, orjson.dumps({"limitation": self.limitation}).decode())

    async def _count(self, socket: ServerConnection, subscription: str, selection: Filter) -> None:
        self.counted.append(selection)
        if self.counts:
            count = sum(selection.matches(event) for event in self.events)
            await socket.send(orjson.dumps(["COUNT", subscription, {"count": count}]), text=True)

    async def _let_in(self, socket: ServerConnection, answer: dict[str, Any]) -> None:
        if self.lets_in and ["challenge", "who are you"] in answer["tags"]:
            self.members.add(socket)
        verdict = ["OK", answer["id"], self.lets_in, "" if self.lets_in else "restricted: not you"]
        await socket.send(orjson.dumps(verdict), text=True)

    async def _given(self, socket: ServerConnection, selection: Filter) -> list[Event] | None:
        """What matches, as far as the client may have it; None if it is to authenticate first."""
        alone = selection.kinds is not None and self.restricts.issuperset(selection.kinds)
        is_member = socket in self.members
        if self.restricts and not is_member and (alone or self.challenges == "any"):
            await socket.send(CHALLENGE, text=True)
        if alone and self.restricts and not is_member:
            return None
        hidden = frozenset() if alone or (is_member and self.challenges != "alone") else self.restricts
        return [event for event in self.events if event.kind not in hidden and selection.matches(event)]

    async def _gate(self, number: int) -> None:
        while self.answers is not None and number > self.answers:  # set by another thread: no Event of this loop's
            await asyncio.sleep(0.02)

    async def _answer(self, socket: ServerConnection, subscription: str, selection: Filter) -> None:
        self.requests.append(selection)
        number = len(self.requests)
        await asyncio.sleep(self.delay)
        await self._gate(number)
        matching = await self._given(socket, selection)
        if matching is None:
            refusal = ["CLOSED", subscription, "auth-required: requested kinds are restricted"]
            await socket.send(orjson.dumps(refusal), text=True)
            return
        matching.sort(key=lambda event: (-event.created_at, event.id))
        sent = matching[: min(self.cap, selection.limit or self.cap)]
        honest: list[list[object]] = [["EVENT", subscription, event] for event in sent]
        honest.append(["EOSE", subscription])
        messages = self.twist(len(self.requests), subscription, honest) if self.twist else honest
        for message in messages:
            if message is None:
                await socket.close()
                return
            if isinstance(message, Later):
                self._sending.add(asyncio.create_task(self._send_later(socket, message)))
            else:
                await socket.send(orjson.dumps(message), text=True)

    async def _send_later(self, socket: ServerConnection, later: Later) -> None:
        await asyncio.sleep(later.seconds)
        with suppress(ConnectionClosed):
            for message in later.messages:
                await socket.send(orjson.dumps(message), text=True)


@asynccontextmanager
async def scripted(
    events: list[Event],
    *,
    cap: int = 500,
    delay: float = 0.0,
    twist: Callable[[int, str, list[list[object]]], Messages] | None = None,
    tls: ssl.SSLContext | None = None,
    counts: bool = False,
    limitation: dict[str, object] | None = None,
    path: str | None = None,
    answers: int | None = None,
    restricts: frozenset[int] = frozenset(),
) -> AsyncIterator[ScriptedRelay]:
    """A running relay; its `url` is set."""
    relay = ScriptedRelay(
        events,
        cap,
        delay,
        twist,
        counts=counts,
        limitation=limitation,
        path=path,
        answers=answers,
        restricts=restricts,
    )
    options: dict[str, Any] = {
        "compression": None,
        "close_timeout": 0.1,
        "ssl": tls,
        "process_request": relay.inform,
    }
    async with serve(relay.serve, "127.0.0.1", 0, **options) as server:
        scheme = "wss" if tls else "ws"
        relay.url = f"{scheme}://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}{path or ''}"
        try:
            yield relay
        finally:
            for task in relay._sending:
                task.cancel()
