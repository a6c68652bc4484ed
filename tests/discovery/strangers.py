"""Servers on loopback that somebody may call a relay: those that are, and those that are not."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path

import orjson
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bigbrotr_dagster.nostr.event import Event
from tests.relays.scripted import ScriptedRelay

CERTIFICATE = Path(__file__).parents[1] / "nostr" / "self_signed.pem"

Handler = Callable[[ServerConnection], Awaitable[None]]


async def _silent(socket: ServerConnection) -> None:
    await socket.wait_closed()


async def _echo(socket: ServerConnection) -> None:
    async for text in socket:
        await socket.send(text)


async def _closes(socket: ServerConnection) -> None:
    await socket.close()


async def _junk(socket: ServerConnection) -> None:
    async for _ in socket:
        await socket.send("<html>welcome</html>")
        await socket.send(orjson.dumps(["EVENT", "x", {"id": "no"}]), text=True)
        await socket.send(orjson.dumps(["EOSE", "another"]), text=True)


async def _forger(socket: ServerConnection) -> None:
    """Sends what looks like an event, and never ends its answer."""
    async for text in socket:
        _, id, *_ = orjson.loads(text)
        event = {"id": "ab" * 32, "pubkey": "cd" * 32, "created_at": 1, "kind": 1, "tags": [], "content": ""}
        await socket.send(orjson.dumps(["EVENT", id, event | {"sig": "ef" * 64}]), text=True)


async def _says(*message: object, socket: ServerConnection) -> None:
    """Answers every REQ with one message; None in it stands for the subscription's id."""
    async for text in socket:
        id = orjson.loads(text)[1]
        await socket.send(orjson.dumps([id if part is None else part for part in message]), text=True)


async def _challenges(socket: ServerConnection) -> None:
    await socket.send(orjson.dumps(["AUTH", "who are you"]), text=True)
    await socket.wait_closed()


def saying(*message: object) -> Handler:
    return lambda socket: _says(*message, socket=socket)


FALSE: dict[str, Handler] = {"silent": _silent, "echo": _echo, "closes": _closes, "junk": _junk, "forger": _forger}
"""Servers that complete the handshake and speak no Nostr."""

TERSE: dict[str, Handler] = {
    "eose": saying("EOSE", None),
    "closed": saying("CLOSED", None, "restricted: members only"),
    "notice": saying("NOTICE", "go away"),
    "auth": _challenges,
}
"""Relays that give nothing, and say so as NIP-01 has it."""


@dataclass(slots=True)
class Strangers:
    """Starts servers, and counts the connections to each (by URL)."""

    connections: Counter[str] = field(default_factory=Counter)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def relay(self, events: Iterable[Event] = ()) -> str:
        """A relay that has these events."""
        return await self.server(ScriptedRelay(list(events)).serve)

    async def server(self, handler: Handler, **options: object) -> str:
        """A server that completes the handshake."""
        url = ""

        async def handle(socket: ServerConnection) -> None:
            self.connections[url] += 1
            with suppress(ConnectionClosed):  # who asked has heard enough
                await handler(socket)

        server: Server = await self._stack.enter_async_context(
            serve(handle, "127.0.0.1", 0, compression=None, close_timeout=0.1, **options)  # type: ignore[arg-type]
        )
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return url

    async def web_page(self) -> str:
        """An HTTP server that has a page for everybody."""
        urls: list[str] = []

        def inform(socket: ServerConnection, request: object) -> object:
            self.connections[urls[0]] += 1
            return socket.respond(HTTPStatus.OK, "hello\n")

        urls.append(await self.server(_silent, process_request=inform))
        return urls[0]

    async def bad_certificate(self) -> str:
        """A relay at wss:// whose certificate nobody has signed."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        url = await self.server(saying("EOSE", None), ssl=context)
        return url.replace("ws://", "wss://")

    async def deaf(self) -> str:
        """A server that accepts connections and says nothing at all."""
        urls: list[str] = []

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections[urls[0]] += 1
            await reader.read()  # until the other side leaves
            writer.close()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self._stack.push_async_callback(partial(_close, server))
        urls.append(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        return urls[0]


async def _close(server: asyncio.Server) -> None:
    server.close()


@asynccontextmanager
async def strangers() -> AsyncIterator[Strangers]:
    started = Strangers()
    async with started._stack:
        yield started
