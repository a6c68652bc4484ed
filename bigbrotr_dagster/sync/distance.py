"""How far a relay is, in time, and what to ask it for side by side because of that.

A page costs the way there and back, and the time that its events take to arrive. Where the way is the greater
part, one request at a time leaves the line idle: pages of disjoint windows are asked for at once, more of them
with every full page that comes. Their windows are laid out by how many seconds a page was long so far; a guess
that is wrong costs requests, never events.
"""

import asyncio
from collections.abc import Sequence

from bigbrotr_dagster.nostr.connection import Connection
from bigbrotr_dagster.windowing.cuts import Order
from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.tasks import Ask, Stamped
from bigbrotr_dagster.windowing.walk import Walk

FAR = 0.03
"""Seconds there and back, from which on a relay is far."""

IDLE_SHARE = 3
"""Of the time that the answers take, at most one in so many is to be spent waiting."""

FIRST_AT_ONCE = 4
"""Requests side by side, at first: fewer than any relay is known to allow. Each full page lets one more go out."""

MOST_AT_ONCE = 16
"""Requests side by side: strfry allows 20 subscriptions."""

EVENTS_AT_ONCE = 10_000
"""Events that all the answers under way may hold."""

PAGES_LAID_OUT = (2, 32)
"""Pages that a window is laid out for, at least and at the most. Each window costs two requests more than one."""


class Distance:
    """What is known of the way to one relay, in one run of its sync."""

    def __init__(self) -> None:
        self.alone = False
        """Something went wrong side by side: one request at a time is all that this relay gets."""
        self.round_trip: float | None = None
        """Seconds that a ping took."""
        self._ping: asyncio.Task[float] | None = None
        self._at_once = FIRST_AT_ONCE
        self._most = MOST_AT_ONCE
        self._waited = float("inf")  # seconds until an answer began, at best
        self._transfer = 0.0  # seconds that a page's events took
        self._pages = 0  # full ones
        self._page_seconds = 1.0  # of the relay's time
        self._is_sparse = False  # the last window asked for was empty: the rest may be, too

    def note_page(self, waited: float, lasted: float, ask: Ask, events: Sequence[Stamped], habits: Habits) -> None:
        """An answer that came alone: seconds until it began, and until it ended."""
        if self._learn_density(ask, events, habits):
            self._waited = min(self._waited, waited)
            self._transfer = lasted - waited if self._pages == 1 else (self._transfer + lasted - waited) / 2

    def note_answer(self, ask: Ask, events: Sequence[Stamped], habits: Habits) -> None:
        """One of several answers side by side."""
        self._is_sparse = not events
        if self._learn_density(ask, events, habits):
            self._at_once += 1

    def note_refusal(self, under_way: int) -> None:
        """The relay refused the last of so many requests that were under way."""
        self.heed(under_way - 1)

    def heed(self, allowed: int | None) -> None:
        """The relay says how many subscriptions it allows (NIP-11), if it says that."""
        if allowed is not None:
            self._most = min(self._most, allowed)

    def _learn_density(self, ask: Ask, events: Sequence[Stamped], habits: Habits) -> bool:
        """Learn how many seconds a full page is long; False where neither relay nor `limit` cut this one."""
        if len(events) < habits.enough(ask.limit):
            return False
        times = [event.created_at for event in events]
        seconds = float(max(times) - min(times) + 1)
        self._pages += 1
        self._page_seconds = seconds if self._pages == 1 else (self._page_seconds + seconds) / 2
        self._is_sparse = False
        return True

    def is_far(self, connection: Connection) -> bool:
        """Whether the way is known to be long; a relay that is slow to begin its answers is not far for that."""
        if self.alone or self._waited < FAR or not self._pages:
            return False
        if self._ping is None:
            self._ping = asyncio.create_task(connection.round_trip())  # the next page need not wait for it
        elif self._ping.done():
            self.round_trip = self._ping.result() or None
            self._ping = self._ping if self.round_trip else None
        return self.round_trip is not None and self.round_trip >= FAR

    def width(self, habits: Habits) -> int:
        """Requests to have under way at once."""
        if self.alone or self.round_trip is None or not _suits(habits):
            return 1
        enough = int(IDLE_SHARE * self.round_trip / max(self._transfer, 0.001)) + 1
        return max(1, min(enough, self._at_once, self._most, EVENTS_AT_ONCE // max(1, habits.largest)))

    def asks(self, walk: Walk, most: int) -> list[Ask]:
        """The next requests: if there is a use in it as many as can go out now."""
        if most > 1 and not self._is_sparse:
            walk.lay_out(most, *(int(pages * self._page_seconds) + 1 for pages in PAGES_LAID_OUT))
        asks = (walk.next() for _ in range(most))
        return [ask for ask in asks if ask is not None]


def _suits(habits: Habits) -> bool:
    """Whether the relay is one that can be asked for several windows at once: it has shown that it is plain."""
    plain = habits.order is Order.NEWEST_FIRST and habits.is_checked and not habits.varies and not habits.hides
    return plain and not habits.is_restrained and not habits.grace
