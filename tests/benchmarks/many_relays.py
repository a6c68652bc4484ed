"""Thousands of relays in one process: `python -m tests.benchmarks.many_relays 10000` prints their URLs' parts.

All of them listen on one port, each under a path of its own. Of every ten, number 0 has 20 events, numbers 1 to 6
have nothing, and numbers 7 to 9 are dead: nine in ten of those refuse the connection, one accepts it and never
says a word. "more" on stdin gives each relay that has events 20 others on top.
"""

import argparse
import asyncio
import hashlib
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.keys import sign_event

NEW_EVENTS = 20
KEY = hashlib.sha256(b"a key of the benchmarks").digest()


@dataclass(frozen=True)
class Ports:
    """Where the living relays, those that never answer, and those that refuse are."""

    alive: int
    silent: int
    refusing: int

    def url(self, number: int) -> str:
        dead = self.silent if is_silent(number) else self.refusing
        return f"ws://127.0.0.1:{self.alive if number % 10 < 7 else dead}/{number}"


def is_silent(number: int) -> bool:
    """One dead relay of ten."""
    return number % 10 == 7 and number // 10 % 10 in (0, 3, 6)


def events_of(number: int, generation: int, now: int) -> list[Event]:
    """The relay's events of one generation, in the hour before `now`."""
    return [
        sign_event(
            KEY,
            created_at=now - 120 - index,
            kind=1,
            tags=[],
            content=f"event {index} of generation {generation} on relay {number}",
            aux_randomness=bytes(32),
        )
        for index in range(NEW_EVENTS)
    ]


class ManyRelays:
    def __init__(self, count: int) -> None:
        self.events: dict[str, list[tuple[Event, bytes]]] = {}
        self.count = count
        self.generation = 0
        self.connections = 0
        self.most_connections = 0

    def more(self) -> None:
        """Give each relay that has events others on top."""
        now = int(time.time())
        for number in range(0, self.count, 10):
            fresh = [(event, event.to_json()) for event in events_of(number, self.generation, now)]
            self.events.setdefault(f"/{number}", [])[:0] = fresh
        self.generation += 1

    async def answer(self, connection: ServerConnection) -> None:
        self.connections += 1
        self.most_connections = max(self.most_connections, self.connections)
        held = self.events.get(connection.request.path if connection.request else "", [])
        try:
            async for raw in connection:
                message = orjson.loads(raw)
                if message[0] == "REQ":
                    await self._stored(connection, message[1], Filter.from_dict(message[2]), held)
        except ConnectionClosed:
            pass  # the client left
        finally:
            self.connections -= 1

    async def _stored(
        self,
        connection: ServerConnection,
        subscription: str,
        selection: Filter,
        held: Sequence[tuple[Event, bytes]],
    ) -> None:
        matching = [encoded for event, encoded in held if selection.matches(event)]
        name = orjson.dumps(subscription)
        for encoded in matching[: selection.limit or 500]:
            await connection.send(b'["EVENT",' + name + b"," + encoded + b"]", text=True)
        await connection.send(b'["EOSE",' + name + b"]", text=True)


async def _silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await reader.read(-1)
    except ConnectionError:
        pass  # the client gave up
    finally:
        writer.close()


DOCUMENT = orjson.dumps(
    {
        "name": "a relay of the benchmarks",
        "description": "It holds twenty events. " * 20,
        "software": "python",
        "version": "1.0",
        "supported_nips": [1, 11, 42, 45, 77],
        "limitation": {"max_limit": 500, "max_subscriptions": 20, "auth_required": False},
    }
)


def _document(socket: ServerConnection, request: Request) -> Response | None:
    if request.headers.get("Accept") != "application/nostr+json":
        return None
    headers = Headers({"Content-Type": "application/nostr+json", "Content-Length": str(len(DOCUMENT))})
    return Response(200, "OK", headers, DOCUMENT)


async def _main(count: int, documents: bool) -> None:
    relays = ManyRelays(count)
    relays.more()
    refusing = socket.socket()
    refusing.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port
    async with (
        serve(
            relays.answer,
            "127.0.0.1",
            0,
            compression=None,
            close_timeout=0.1,
            backlog=512,
            process_request=_document if documents else None,
        ) as alive,
        await asyncio.start_server(_silence, "127.0.0.1", 0, backlog=512) as silent,
    ):
        ports = [next(iter(server.sockets)).getsockname()[1] for server in (alive, silent)]
        print(*ports, refusing.getsockname()[1], flush=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            if line.strip() == "more":
                relays.more()
            print(relays.most_connections, flush=True)
            relays.most_connections = relays.connections
    refusing.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int)
    parser.add_argument("--documents", action="store_true", help="each has a NIP-11 document")
    given = parser.parse_args()
    asyncio.run(_main(given.count, given.documents))
