"""Practice relays on loopback, so that the archive can be seen at work without the internet.

    python -m bigbrotr_dagster.demo

They hold about 3,000 made-up, properly signed events of the last 30 days; each relay has about two thirds of
them, and more fall due every few minutes. Three are known from the start. Their events name the fourth, which is
there to be found, and three addresses that are no relays: one is silent, one lies, and at one nobody is.
Processes share them: a port that a practice relay already serves is used as it is.
"""

import asyncio
import errno
import http.client
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from websockets.asyncio.server import ServerConnection, serve

from bigbrotr_dagster.demo.events import HOST, LYING_PORT, PORTS, SILENT_PORT, on_relay, practice_events
from bigbrotr_dagster.demo.relay import MAX_MESSAGE_LENGTH, PracticeRelay
from bigbrotr_dagster.errors import CannotGoOn

__all__ = ["PORTS", "TO_BE_FOUND", "URLS", "PortInUse", "practice_relays"]

*URLS, TO_BE_FOUND = (f"ws://{HOST}:{port}" for port in PORTS)

_NAME = "bigbrotr-dagster practice relay"


class PortInUse(CannotGoOn):
    """A practice relay's port is taken by something that is not one; the message is one line."""


@asynccontextmanager
async def practice_relays() -> AsyncIterator[tuple[str, ...]]:
    """Serve the practice relays, and yield the URLs of those that are known from the start.

    Raises:
        PortInUse: if another program listens on one of `PORTS`.
    """
    events = practice_events(int(time.time()))
    async with AsyncExitStack() as servers:
        for index, port in enumerate(PORTS):
            relay = PracticeRelay(f"{_NAME} {index + 1}", [each for each in events if on_relay(each, index)])
            await _serve(relay, port, servers)
        for stranger, port in ((_say_nothing, SILENT_PORT), (_repeat, LYING_PORT)):
            with suppress(OSError):  # another process has it
                await servers.enter_async_context(serve(stranger, HOST, port, close_timeout=1))
        yield tuple(URLS)


async def _say_nothing(socket: ServerConnection) -> None:
    await socket.wait_closed()


async def _repeat(socket: ServerConnection) -> None:
    async for text in socket:
        await socket.send(text)


async def _serve(relay: PracticeRelay, port: int, servers: AsyncExitStack) -> None:
    server = serve(
        relay.answer,
        HOST,
        port,
        process_request=relay.inform,
        compression=None,  # loopback: there is nothing to save
        max_size=MAX_MESSAGE_LENGTH,
        close_timeout=1,
    )
    try:
        await servers.enter_async_context(server)
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE:
            raise
        if await asyncio.to_thread(_name_of, port) != relay.name:
            raise PortInUse(f"port {port} on {HOST} is in use by another program") from exc


def _name_of(port: int) -> str | None:
    """Return the name that a relay on `port` gives in its NIP-11 document, if there is one."""
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", "/", headers={"Accept": "application/nostr+json"})
        document = json.loads(connection.getresponse().read(64 * 1024))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    name = document.get("name") if isinstance(document, dict) else None
    return name if isinstance(name, str) else None
