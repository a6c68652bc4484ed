"""How far a relay is, in time, and what to ask it for side by side because of that.

A page costs the way there and back, and the time that its events take to arrive. Where the way is the greater
part, one request at a time leaves the line idle: pages of disjoint windows are asked for at once. Their windows
are laid out by how many seconds a page was long so far; a guess that is wrong costs requests, never events.
"""

from bigbrotr_dagster.nostr.connection import Connection
from bigbrotr_dagster.windowing.habits import Habits, Order

FAR = 0.03
"""Seconds there and back, from which on a relay is far."""

IDLE_SHARE = 3
"""Of the time that the answers take, at most one in so many is to be spent waiting."""

MOST_AT_ONCE = 16
"""Requests side by side."""

ALLOWED_AT_ONCE = 8
"""Subscriptions that a relay is taken to allow which does not say: nostream allows 10, strfry 20."""

EVENTS_AT_ONCE = 10_000
"""Events that all the answers of one round may hold."""

FIRST_PAGES = 3
"""Pages asked for one at a time, in which the relay shows its habits."""

CHUNK_PAGES = (4, 32)
"""Pages that a window is laid out for: at first, and at the most. Each window costs a request more than one."""


ANSWERS_TO_GROW = 8
"""Answers side by side after which windows are laid out for twice the pages."""


class Distance:
    """What is known of the way to one relay, on one connection."""

    def __init__(self) -> None:
        self.alone = False
        """Something went wrong side by side: one request at a time is all that this relay gets."""
        self.round_trip: float | None = None
        """Seconds that a ping took."""
        self._waited = float("inf")  # seconds until an answer began, at best
        self._transfer = 0.0  # seconds that a page's events took
        self._pages = 0
        self._answers = 0  # of requests side by side
        self._page_seconds = 1.0  # of the relay's time
        self._chunk_pages = CHUNK_PAGES[0]
        self._is_sparse = False  # the last window asked for was empty: the rest may be, too

    def note_page(self, waited: float, lasted: float, events: int, seconds: int, largest: int) -> None:
        """A page of `events` that covered so many `seconds`; `largest` is what a full one holds."""
        if not _tells_density(events, seconds, largest):
            return
        self._pages += 1
        self._waited = min(self._waited, waited)
        self._transfer = lasted - waited if self._pages == 1 else (self._transfer + lasted - waited) / 2
        self._page_seconds = seconds * largest / events
        self._is_sparse = False

    def note_answer(self, events: int, seconds: int, largest: int) -> None:
        """One of several pages: its events, and the seconds that it covered."""
        self._answers += 1
        if _tells_density(events, seconds, largest):
            self._page_seconds = (self._page_seconds + seconds * largest / events) / 2
        self._is_sparse = not events
        if self._answers % ANSWERS_TO_GROW == 0:
            self._chunk_pages = min(2 * self._chunk_pages, CHUNK_PAGES[1])

    async def is_far(self, connection: Connection) -> bool:
        """Whether the way is long; a relay that is slow to begin its answers is not far for that."""
        if self.alone or self._pages < FIRST_PAGES or self._waited < FAR:
            return False
        if self.round_trip is None:
            self.round_trip = await connection.round_trip()
        return self.round_trip >= FAR

    def width(self, habits: Habits, allowed: int | None) -> int:
        """Requests to have under way at once; `allowed` is what the relay says of subscriptions (NIP-11)."""
        if self.round_trip is None or not self.suits(habits):
            return 1
        enough = int(IDLE_SHARE * self.round_trip / max(self._transfer, 0.001)) + 1
        bounds = (enough, allowed or ALLOWED_AT_ONCE, MOST_AT_ONCE, EVENTS_AT_ONCE // habits.largest)
        return max(1, min(bounds))

    def suits(self, habits: Habits) -> bool:
        """Whether the relay is one that can be asked for several windows at once."""
        plain = habits.order is Order.NEWEST_FIRST and not habits.varies and not habits.hides
        return plain and not habits.is_restrained

    @property
    def chunk_seconds(self) -> int | None:
        """How long a window is made for one of the requests side by side; None if there is no use in that."""
        return None if self._is_sparse else int(self._chunk_pages * self._page_seconds) + 1


def _tells_density(events: int, seconds: int, largest: int) -> bool:
    """Whether a page was cut by the relay, rather than by the end of its window."""
    return events >= max(2, largest // 2) and seconds > 0
