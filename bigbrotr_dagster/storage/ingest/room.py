"""Room for so many bytes, which tasks share: who came first goes first, whatever others want."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Room:
    """`size` is in bytes. Who wants more than all of it has to wait until it is empty, and has it alone."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def taken(self, bytes: int) -> AsyncIterator[None]:
        """Hold so much of it; waits until that much is free, and all who came before have theirs."""
        wanted = min(bytes, self._size)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it had come
                self._free += wanted
            self._admit()
            raise
        try:
            yield
        finally:
            self._free += wanted
            self._admit()

    def _admit(self) -> None:
        while self._waiting:
            wanted, turn = self._waiting[0]
            if not turn.cancelled():
                if wanted > self._free:
                    return
                self._free -= wanted
                turn.set_result(None)
            self._waiting.popleft()
