"""Relays that do what a test tells them, on loopback, and events to tell them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from websockets.asyncio.server import ServerConnection, serve

from bigbrotr_dagster.nostr.connection import Reply, connect
from bigbrotr_dagster.nostr.event import Event, Tag
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.keys import sign_event
from bigbrotr_dagster.nostr.relay_url import RelayURL, parse_relay_url

KEY = bytes(31) + b"\x01"
Handler = Callable[[ServerConnection], Awaitable[None]]


def signed(created_at: int = 1_000, *, kind: int = 1, content: str = "", tags: list[Tag] | None = None) -> Event:
    return sign_event(
        KEY, created_at=created_at, kind=kind, tags=tags or [], content=content, aux_randomness=bytes(32)
    )


@asynccontextmanager
async def relay(handler: Handler, **options: Any) -> AsyncIterator[RelayURL]:
    """Serve `handler` on loopback; with `ssl` among the options it is a wss relay."""
    scheme = "wss" if "ssl" in options else "ws"
    async with serve(handler, "127.0.0.1", 0, compression=None, close_timeout=0.1, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield parse_relay_url(f"{scheme}://127.0.0.1:{port}")


@asynccontextmanager
async def tcp_server(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """Serve `handler` on a loopback port, and yield the port."""

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left
        finally:
            writer.close()

    server = await asyncio.start_server(closing, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def received(socket: ServerConnection, label: str) -> list[Any]:
    """Read the client's messages up to the next one with this label."""
    while True:
        message: list[Any] = orjson.loads(await socket.recv())
        if message[0] == label:
            return message


async def send(socket: ServerConnection, *parts: object) -> None:
    await socket.send(orjson.dumps(parts), text=True)


async def ask(
    handler: Handler,
    selection: Filter | None = None,
    *,
    timeout: float = 5,
    max_events: int = 100,
    max_bytes: int = 10_000_000,
    **options: Any,
) -> Reply:
    """Return the page that one request to a relay with this `handler` brings."""
    async with (
        relay(handler) as url,
        connect(url, timeout=timeout, allow_private=True, **options) as connection,
    ):
        return await connection.request(selection or Filter(limit=100), max_events=max_events, max_bytes=max_bytes)


A, B, C = (signed(created_at, content=name) for created_at, name in ((3_000, "a"), (2_000, "b"), (1_000, "c")))

FOREVER = 30.0  # seconds: longer than any test waits


def saying(*messages: Any, then_wait: bool = False) -> Handler:
    """Return a relay that answers every REQ with `messages`; "SUB" in them becomes the subscription's id."""

    async def handler(socket: ServerConnection) -> None:
        while True:
            _, id, *_ = await received(socket, "REQ")
            for message in messages:
                await socket.send(orjson.dumps(message).replace(b'"SUB"', orjson.dumps(id)), text=True)
            if then_wait:
                await socket.wait_closed()

    return handler


def event(of: Any) -> list[Any]:
    return ["EVENT", "SUB", of]
