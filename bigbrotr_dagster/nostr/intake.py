"""What comes of a request is handed over in parts, so that an answer of any size takes the same memory.

Theory of operation. Who asks gives an `Intake`, which stores what it is given, and has room for large messages
that all requests share. A request keeps at most `PART` by weight, and one large message; while it waits to hand
that over it does not read from its relay. It never waits for that room with anything in its hands, so that whoever
is in it can always go on.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from bigbrotr_dagster.nostr.deadline import Deadline
from bigbrotr_dagster.nostr.late import EndedSubscriptions
from bigbrotr_dagster.nostr.subscription import Reply, Subscription
from bigbrotr_dagster.nostr.weight import LARGE, PART, weight


class Intake(Protocol):
    """Takes what comes before a request has ended."""

    def room(self, weight: int) -> AbstractAsyncContextManager[None]:
        """Wait until so many bytes more may be decoded."""

    async def store(self, part: Reply) -> None:
        """Take a part of an answer, and all that came late; it may wait."""


class Parts:
    """Hands over what has come of requests, and for those that `ended`; without an intake, nothing."""

    def __init__(self, intake: Intake | None, ended: EndedSubscriptions) -> None:
        self._intake = intake
        self._ended = ended

    def are_large(self, raw: bytes) -> bool:
        """Whether a message has to wait for `room_for` it."""
        return len(raw) > LARGE and self._intake is not None

    def are_due(self, weight: int) -> bool:
        """Whether it is time to hand over, a request having kept so much."""
        return weight + self._ended.weight > PART and self._intake is not None

    @asynccontextmanager
    async def room_for(
        self, raw: bytes, requests: Collection[Subscription], deadline: Deadline
    ) -> AsyncIterator[None]:
        """Room to decode a large message, once all is handed over; what it holds is to be handed over in there."""
        if self._intake is None:
            yield
            return
        await self.hand_over(requests, deadline)
        deadline.suspend()
        async with self._intake.room(weight(raw)):
            deadline.resume()
            yield

    async def hand_over(self, requests: Collection[Subscription], deadline: Deadline) -> None:
        """Have all stored that these requests have brought by now."""
        if self._intake is None:
            return
        deadline.suspend()
        for request in list(requests):
            if request.weight or self._ended.weight:
                await self._intake.store(request.take_part())
        deadline.resume()
