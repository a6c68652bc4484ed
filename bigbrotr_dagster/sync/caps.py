"""Work on many relays at once, under caps that hold over all processes: per network, per host, per relay.

Theory of operation. Relays come in the given order. One host's relays hold a few slots at once. Those of them that
find no room stand aside until there is some, but not beyond `room_until`: it must not go on for hours only because
one host has many URLs. Whatever is done with relays is done under the same caps: they are the operator's.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bigbrotr_dagster.config import NetworkConfig, SynchronizerConfig
from bigbrotr_dagster.nostr.reach import ConnectError, find_way
from bigbrotr_dagster.nostr.relay_url import RelayURL
from bigbrotr_dagster.storage.locks import POLL, LockKeeper
from bigbrotr_dagster.sync.places import host_place, places
from bigbrotr_dagster.sync.work_queue import Refused, RelayQueue, by_network

__all__ = ["Caps", "Refused", "RelayQueue", "by_network", "each_relay"]

SLOT_SECONDS = 5.0
"""Seconds that a slot is kept from one relay to the next while another process waits for one."""

LONGEST_POLL = 5.0
"""Seconds that a worker waits at most before it looks again for room at a host."""


@dataclass(frozen=True, slots=True)
class Caps:
    """What many relays are worked on under. Times are of `time.monotonic()`."""

    config: SynchronizerConfig
    locks: LockKeeper
    deadline: float | None
    """After it no relay is begun; None is no such bound."""
    room_until: float
    """Up to it relays wait for room at their host."""
    purpose: str = ""
    """What is done: of one purpose, a relay is worked on once at a time."""
    busy_wait: float = 0.0
    """Seconds to wait for a relay that another process works on, when all others are done."""


Work = Callable[[NetworkConfig, RelayURL], Awaitable[None]]


async def each_relay(caps: Caps, queues: Mapping[str, RelayQueue], work: Work, busy: Work) -> None:
    """Do `work` on each relay, or tell `busy` of it where another process does; the queues keep what is left.

    Raises:
        ExceptionGroup: what `work` raised, or DatabaseUnavailable of the server that keeps the locks.
    """
    async with asyncio.TaskGroup() as group:
        for network, relays in queues.items():
            options = caps.config.networks.get(network)
            if options is not None:
                worker = _Worker(caps, network, options, relays, work, busy)
                for _ in range(min(options.max_tasks, len(relays.untried))):
                    group.create_task(worker.run())


@dataclass(frozen=True, slots=True)
class _Worker:
    """Takes one relay of a network after the other; several tasks run the same one."""

    caps: Caps
    network: str
    options: NetworkConfig
    waiting: RelayQueue
    work: Work
    busy: Work

    async def run(self) -> None:
        """Work, each time under a slot of the network that counts over all processes."""
        waiting, locks = self.waiting, self.caps.locks
        while waiting and not self._is_late():
            if not waiting.is_ready:
                if time.monotonic() >= self.caps.room_until:
                    return
                await _wait_for_room(waiting)
                continue
            async with locks.slot(self.network, self.options.max_tasks):
                taken = time.monotonic()
                while waiting.is_ready and not self._is_late():
                    await self._take_next()
                    if time.monotonic() - taken > SLOT_SECONDS and await locks.is_wanted(self.network):
                        break
            if waiting.is_ready:
                await asyncio.sleep(2 * POLL)  # whoever waits looks once in POLL seconds

    def _is_late(self) -> bool:
        return self.caps.deadline is not None and time.monotonic() >= self.caps.deadline

    async def _take_next(self) -> None:
        turn = self.waiting.next()
        if turn is None:
            return
        relay, once_more = turn
        held: list[str] = []
        async with AsyncExitStack() as room:
            crowded = await self._enter(relay, room, held)
            if crowded is not None:
                self.waiting.wait_at(crowded, relay)
                return
            wait = self.caps.busy_wait if once_more else 0
            if await room.enter_async_context(self.caps.locks.relay(relay.url, wait, self.caps.purpose)):
                await self.work(self.options, relay)
            elif once_more:
                await self.busy(self.options, relay)
            else:
                self.waiting.busy.append(relay)
        if time.monotonic() < self.caps.room_until:
            self.waiting.call(held)

    async def _enter(self, relay: RelayURL, room: AsyncExitStack, held: list[str]) -> str | None:
        """Take a place at the relay's host, and at its addresses; returns the first one that has no room.

        `held` are those taken. Where the way cannot be found, the work will say so.
        """
        wanted = [host_place(relay)]
        for place in wanted:
            if not await room.enter_async_context(self.caps.locks.place(place, self.options.most_per_host)):
                return place
            held.append(place)
            if len(held) == 1:
                wanted += await self._addresses(relay, but=place)
        return None

    async def _addresses(self, relay: RelayURL, but: str) -> list[str]:
        try:
            way = await find_way(
                relay,
                within=self.options.timeout,
                proxy_url=self.options.proxy_url,
                allow_private=self.caps.config.allow_private,
            )
        except ConnectError:
            return []
        return [place for place in places(way) if place != but]


async def _wait_for_room(waiting: RelayQueue) -> None:
    """Without a slot: others may use it. The more workers wait, the more seldom each of them looks."""
    waiting.idle += 1
    waiting.emptied.clear()
    try:
        async with asyncio.timeout(min(POLL * waiting.idle, LONGEST_POLL)):
            await waiting.emptied.wait()
    except TimeoutError:
        waiting.call()
    finally:
        waiting.idle -= 1
