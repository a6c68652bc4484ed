"""What a relay sends is received in order, whatever it comes with, and only as fast as it is taken."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from bigbrotr_dagster.nostr.dial import dial
from bigbrotr_dagster.nostr.relay_socket import MAX_UNREAD, RelaySocket
from bigbrotr_dagster.nostr.relay_url import RelayURL, parse_relay_url
from tests.nostr.helpers import FOREVER, relay, tcp_server

ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3

MANY = 200 * MAX_UNREAD
"""Bytes: far more than what the socket, its peer and the kernel hold together."""


@asynccontextmanager
async def opened(url: RelayURL) -> AsyncIterator[RelaySocket]:
    socket, _ = await dial(
        url,
        within=FOREVER,
        proxy_url=None,
        allow_private=True,
        allow_insecure=False,
        max_message_size=1_000_000,
    )
    try:
        yield socket
    finally:
        await socket.close()


def text(payload: bytes) -> bytes:
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


def by_hand(
    pieces: Callable[[bytes], list[bytes]],
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """A server that sends `pieces` of its response to the handshake and of what follows."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        key = next(line.split(b": ")[1] for line in head.splitlines() if line.startswith(b"Sec-WebSocket-Key"))
        accept = base64.b64encode(hashlib.sha1(key + ACCEPT_GUID).digest())
        response = (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        for piece in pieces(response):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.001)
        await reader.read()

    return handler


@pytest.mark.parametrize("size", [1, 7, 150, 100_000], ids=lambda size: f"{size} bytes at once")
async def test_messages_may_come_with_the_handshake(size: int) -> None:
    expected = [b"at once", b"", b"x" * 200]

    def pieces(response: bytes) -> list[bytes]:
        stream = response + b"".join(map(text, expected))
        return [stream[start : start + size] for start in range(0, len(stream), size)]

    async with tcp_server(by_hand(pieces)) as port, opened(parse_relay_url(f"ws://127.0.0.1:{port}")) as socket:
        assert [await socket.receive() for _ in expected] == expected


async def test_a_message_of_several_frames_keeps_its_place() -> None:
    async def handler(socket: ServerConnection) -> None:
        await socket.send("first")
        await socket.send(["sec", "o", "nd"])
        await socket.send(b"third")
        await socket.send("fourth")
        await socket.wait_closed()

    async with relay(handler) as url, opened(url) as socket:
        assert [await socket.receive() for _ in range(4)] == [b"first", b"second", b"third", b"fourth"]


async def test_what_came_before_the_close_is_received() -> None:
    async def handler(socket: ServerConnection) -> None:
        await socket.send("one")
        await socket.send("two")

    async with relay(handler) as url, opened(url) as socket:
        await socket.wait_closed()
        assert [await socket.receive(), await socket.receive()] == [b"one", b"two"]
        with pytest.raises(ConnectionClosed):
            await socket.receive()


async def test_a_relay_is_not_read_while_nobody_takes_its_messages() -> None:
    sent = 0

    async def handler(socket: ServerConnection) -> None:
        nonlocal sent
        with suppress(ConnectionClosed):
            while sent < MANY:
                await socket.send(f"{sent:010000}")
                sent += 10_000

    async with relay(handler) as url, opened(url) as socket:
        assert await socket.receive() == b"0" * 10_000
        before = -1
        while sent > before:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < MANY / 2
        for number in range(1, MANY // 10_000):
            assert int((await socket.receive())[-10:]) == 10_000 * number


async def test_waiting_can_be_given_up_and_begun_again() -> None:
    async def handler(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send("late")
        await socket.wait_closed()

    async with relay(handler) as url, opened(url) as socket:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await socket.receive()
        await socket.send("now")
        assert await socket.receive() == b"late"
