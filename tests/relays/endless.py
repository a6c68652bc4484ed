"""A polite relay with a signed history that has no end: an event in every second back to 1970, made on demand."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import orjson
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.keys import sign_event

# One thread: two would make the same event twice, before either has it in the cache.
MAKER = ThreadPoolExecutor(1, thread_name_prefix="maker of events")


@lru_cache(maxsize=100_000)
def signed_at(key: int, second: int, kind: int) -> bytes:
    secret = key.to_bytes(32)
    event = sign_event(secret, created_at=second, kind=kind, tags=[], content="", aux_randomness=bytes(32))
    return event.to_json()


@dataclass(slots=True)
class EndlessRelay:
    """Honours `since`, `until` and `limit`; `kinds` in a filter choose one of `kinds`.

    Two relays with the same `key` hold the same events: those that `make` signs for a key, a second and a kind.
    With `drip`, every `drip_every`th answer is an event in so many seconds, and never an EOSE; other answers go on
    beside it.
    With `slow_to_make`, a thread makes the events, one at a time: meanwhile the loop serves other relays, too.
    """

    kinds: tuple[int, ...] = (1,)
    drip: float | None = None
    drip_every: int = 1
    key: int = 1
    make: Callable[[int, int, int], bytes] = signed_at
    slow_to_make: bool = False
    page: int = 500
    requests: int = 0
    at_once: int = 0
    most_at_once: int = 0
    connections: int = 0
    most_connections: int = 0
    url: str = ""

    async def serve(self, socket: ServerConnection) -> None:
        self.connections += 1
        self.most_connections = max(self.most_connections, self.connections)
        try:
            async with asyncio.TaskGroup() as answers:
                with suppress(ConnectionClosed):  # without a word
                    async for raw in socket:
                        message = orjson.loads(raw)
                        if message[0] == "REQ":
                            wanted = Filter.from_dict(message[2])
                            answers.create_task(self._answer(socket, str(message[1]), wanted))
        finally:
            self.connections -= 1

    async def _answer(self, socket: ServerConnection, subscription: str, wanted: Filter) -> None:
        self.requests += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        drip = self.drip if self.requests % self.drip_every == 0 else None
        with suppress(ConnectionClosed):  # the client left in the middle of an answer
            events = islice(self._matching(wanted), min(self.page, wanted.limit or self.page))
            while event := await self._made(events):
                await socket.send(b'["EVENT","%s",%s]' % (subscription.encode(), event), text=True)
                await asyncio.sleep(drip or 0)
            if drip is None:
                await socket.send(b'["EOSE","%s"]' % subscription.encode(), text=True)
        self.at_once -= 1

    async def _made(self, events: Iterator[bytes]) -> bytes | None:
        if self.slow_to_make:
            return await asyncio.get_running_loop().run_in_executor(MAKER, next, events, None)
        return next(events, None)

    def _matching(self, wanted: Filter) -> Iterator[bytes]:
        kinds = [kind for kind in self.kinds if wanted.kinds is None or kind in wanted.kinds]
        newest = int(time.time())
        until = newest if wanted.until is None else min(wanted.until, newest)
        for second in range(until, (wanted.since or 0) - 1, -1) if kinds else ():
            yield self.make(self.key, second, kinds[0])


@asynccontextmanager
async def endless(**options: Any) -> AsyncIterator[EndlessRelay]:
    """The relay, running; its `url` is set."""
    relay = EndlessRelay(**options)
    async with serve(
        relay.serve, "127.0.0.1", 0, compression=None, close_timeout=0.1, ping_interval=None
    ) as server:
        relay.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield relay
