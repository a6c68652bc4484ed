"""A relay with a NIP-11 document as a relay sends it: with its content type, on the WebSocket's own address."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.nostr.helpers import signed

EVENT = signed(1_000)


@dataclass(slots=True)
class DocumentedRelay:
    """Answers every REQ with `answers`, in which "SUB" is the subscription; the document is sent as it is.

    It keeps events if it `keeps` them, and answers a REQ for their ids; `refuses` says why it takes none.

    `delay`: seconds before each answer. `asked` are the paths of the documents, `connections` counts WebSockets.
    """

    body: bytes = b'{"name": "practice"}'
    content_type: str = "application/nostr+json"
    headers: dict[str, str] = field(default_factory=dict)
    answers: list[list[object]] = field(default_factory=lambda: [["EVENT", "SUB", EVENT], ["EOSE", "SUB"]])
    delay: float = 0.0
    keeps: bool = True
    refuses: str = ""
    kept: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    connections: int = 0
    url: str = ""

    async def serve(self, socket: ServerConnection) -> None:
        self.connections += 1
        try:
            async for raw in socket:
                message = orjson.loads(raw)
                if message[0] == "EVENT":
                    await self._take(socket, message[1])
                elif message[0] == "REQ" and "ids" in message[2]:
                    for id in set(message[2]["ids"]) & self.kept.keys():
                        await socket.send(orjson.dumps(["EVENT", message[1], self.kept[id]]), text=True)
                    await socket.send(orjson.dumps(["EOSE", message[1]]), text=True)
                elif message[0] == "REQ":
                    await asyncio.sleep(self.delay)
                    for answer in self.answers:
                        said = orjson.dumps(answer).replace(b'"SUB"', orjson.dumps(message[1]))
                        await socket.send(said, text=True)
        except ConnectionClosed:
            pass  # the client left

    async def _take(self, socket: ServerConnection, event: dict[str, Any]) -> None:
        if self.keeps and not self.refuses:
            self.kept[event["id"]] = event
        await socket.send(orjson.dumps(["OK", event["id"], not self.refuses, self.refuses]), text=True)

    def inform(self, socket: ServerConnection, request: Request) -> Response | None:
        if request.headers.get("Accept") != "application/nostr+json":
            return None
        self.asked.append(request.path)
        length = str(len(self.body))
        return Response(
            200,
            "OK",
            Headers({"Content-Type": self.content_type, "Content-Length": length, "Connection": "close"}),
            self.body,
        )

    def greet(self, socket: ServerConnection, request: Request, response: Response) -> None:
        for name, value in self.headers.items():
            if name in response.headers:
                del response.headers[name]
            response.headers[name] = value


@asynccontextmanager
async def documented(
    *, tls: ssl.SSLContext | None = None, port: int = 0, **options: Any
) -> AsyncIterator[DocumentedRelay]:
    """A running relay; its `url` is set."""
    relay = DocumentedRelay(**options)
    served: dict[str, Any] = {
        "compression": None,
        "close_timeout": 0.1,
        "ssl": tls,
        "process_request": relay.inform,
        "process_response": relay.greet,
    }
    async with serve(relay.serve, "127.0.0.1", port, **served) as server:
        scheme = "wss" if tls else "ws"
        relay.url = f"{scheme}://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield relay
