"""Three practice relays on loopback, so that the archive can be seen at work without the internet.

    python -m bigbrotr_dagster.demo

They hold about 3,000 made-up, properly signed events of the last 30 days; each relay has about two thirds of
them, and more fall due every few minutes. Processes share them: a port that a practice relay already serves
is used as it is.
"""

import asyncio
import errno
import http.client
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from websockets.asyncio.server import serve

from bigbrotr_dagster.demo.events import on_relay, practice_events
from bigbrotr_dagster.demo.relay import MAX_MESSAGE_LENGTH, PracticeRelay
from bigbrotr_dagster.errors import CannotGoOn

__all__ = ["PORTS", "URLS", "PortInUse", "practice_relays"]

HOST = "127.0.0.1"
PORTS = (17771, 17772, 17773)
URLS = tuple(f"ws://{HOST}:{port}" for port in PORTS)

_NAME = "bigbrotr-dagster practice relay"


class PortInUse(CannotGoOn):
    """A practice relay's port is taken by something that is not one; the message is one line."""


@asynccontextmanager
async def practice_relays() -> AsyncIterator[tuple[str, ...]]:
    """Serve the practice relays, and yield their URLs.

    Raises:
        PortInUse: if another program listens on one of `PORTS`.
    """
    events = practice_events(int(time.time()))
    async with AsyncExitStack() as servers:
        for index, port in enumerate(PORTS):
            relay = PracticeRelay(f"{_NAME} {index + 1}", [each for each in events if on_relay(each, index)])
            await _serve(relay, port, servers)
        yield URLS


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
