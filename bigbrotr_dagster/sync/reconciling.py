"""Reconciling with a relay (NIP-77) in place of reading again, or of reading what is known from other relays.

Theory of operation. What the archive holds of this relay in a window is compared with what the relay says that it
holds. Where both are the same, a few bytes show it, and that is proof like an EOSE. What the relay holds and we do
not know of it is `need`: what is stored already was only not seen there, and becomes an observation by the relay's
word; the rest is fetched by its ids. What does not come is a gap (`withheld`), and is asked for again at growing
intervals. What we know of the relay and it holds no more (`have`) is noted as gone.

The newest seconds are compared in every run. Below them a pass goes down, some 100,000 events a run, and then the
next one. Where a relay's first answer holds what the archive knows, its whole history is compared at once.

A relay can claim what it does not hold, and hide what it holds. Its answers to REQ are compared with what it says
here, at first, now and then, and where much is gone. Who fails, or lies, is read as ever, and tried again after a
day.
"""

from collections.abc import Callable, Sequence

from bigbrotr_dagster.nostr.connection import Connection
from bigbrotr_dagster.storage.ingest import BatchWriter
from bigbrotr_dagster.storage.state import Nip77, SyncState
from bigbrotr_dagster.sync.asking import Asking
from bigbrotr_dagster.sync.history import History
from bigbrotr_dagster.sync.stated import Stated
from bigbrotr_dagster.sync.talks import MOST_ITEMS, Talks
from bigbrotr_dagster.windowing.intervals import Coverage, Interval
from bigbrotr_dagster.windowing.walk import Walk

MOST_TALKS = 24
"""Of one run about what is old: as many events as one talk compares at most."""

WORTH = 1_000
"""Events that a relay was seen with: of fewer, reading again costs less than to find out what it speaks."""

LEAST_SAMPLE, LEAST_SHARE = 100, 0.5
"""Events of a new relay's first answer, and the share of them that must be known for its ids to be listed."""

LISTED_AT_ONCE = 50_000
"""Ids that a talk about what was never read aims at."""


class Reconciling:
    """The reconciliations of one relay's run. `is_late` tells whether the rest is left for another one."""

    def __init__(
        self,
        state: SyncState,
        asking: Asking,
        writer: BatchWriter,
        stated: Stated,
        *,
        relay_url: str,
        trust_claims: bool,
        recent: int,
        is_late: Callable[[], bool],
    ) -> None:
        self._state = state
        self._asking = asking
        self._writer = writer
        self._stated = stated
        self._recent = recent
        self._is_late = is_late
        self._talks = Talks(state, asking, writer, relay_url, trust_claims=trust_claims, is_late=is_late)
        self._differences = self._talks.differences
        self._began = False
        self._looked = False  # whether the first answer holds what is known

    def takes(self, history: History) -> bool:
        """Whether what is due of this history is compared, not read again."""
        return self._state.nip77 is Nip77.SPOKEN and _is_comparable(history)

    async def go_through(self, connection: Connection, histories: Sequence[History]) -> list[History]:
        """Compare what is due, once a run, where the relay speaks NIP-77, or may; returns what has to be read yet.

        What this run alone has read is new, and a trial is of the newest seconds: they cost the least.

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
        known = [history for history in histories if history.proved_before and _is_comparable(history)]
        if self._began or connection.closed or not known:
            return []
        self._began = True
        if self._state.nip77 is not Nip77.SPOKEN:
            if await self._may_speak(WORTH):
                await self._compare_recent(connection, known[0])
            return []
        failed = []
        for history in known:
            if not await self._compare_recent(connection, history):
                failed.append(history)
            elif not self._is_late():
                await self._compare_old(connection, history)
        return failed

    async def _may_speak(self, least: int) -> bool:
        """Whether it is worth a try, and nothing the relay says of itself (NIP-11) speaks against it."""
        if self._state.nip77 is Nip77.SPOKEN:
            return True
        seen = self._state.observations + self._asking.tally.observations_new
        if self._state.nip77 is not Nip77.UNKNOWN or seen < least:
            return False
        nips = (await self._stated.limits()).supported_nips
        if nips is not None and 77 not in nips:
            self._talks.learn(Nip77.UNSUPPORTED)
            return False
        return True

    # -- what is proved already --

    async def _compare_recent(self, connection: Connection, history: History) -> bool:
        """Compare the newest seconds; returns whether that was possible."""
        newest = next(reversed(list(history.settled)), None)
        if newest is None:
            return True
        window = Interval(max(newest.since, newest.until - self._recent + 1), newest.until)
        return await self._talks.compare(connection, history, window)

    async def _compare_old(self, connection: Connection, history: History) -> None:
        """Go on with the pass through what is older; where that has ended, begin the next one."""
        newest = next(reversed(list(history.settled)), None)
        if newest is None:
            return
        all_old = history.settled & Coverage.between(0, newest.until - self._recent)
        old = all_old & Coverage.between(0, self._state.compared_from.get(history.hash, newest.until) - 1)
        old, left = old or all_old, MOST_ITEMS
        for _ in range(MOST_TALKS):
            if not old or left <= 0 or self._is_late() or connection.closed:
                break
            done = await self._talks.compare_newest(connection, history, list(old)[-1], left)
            if done is None:
                break
            left -= done.items
            self._state.compared[history.hash] = done.window.since
            old &= Coverage.between(0, done.window.since - 1)

    # -- what was never read --

    async def take_over(self, connection: Connection, history: History, walk: Walk) -> None:
        """List the ids of a relay that is new, once a run, where its first answer holds what others have brought.

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
        page = self._asking.first_page
        if self._looked or page is None or history.proved_before:
            return
        self._looked = True
        await self._writer.flush()
        tally = self._asking.tally
        is_known = tally.events_known >= LEAST_SHARE * (tally.events_known + tally.events_new)
        if (
            page.events < LEAST_SAMPLE
            or not is_known
            or not _is_comparable(history)
            or not await self._may_speak(0)
        ):
            return
        seconds = max(1, page.seconds * LISTED_AT_ONCE // page.events)
        while (left := history.unread(walk.pending)) and not self._is_late() and not connection.closed:
            newest = list(left)[-1]
            window = Interval(max(newest.since, newest.until - seconds + 1), newest.until)
            before = self._differences.listed
            if not await self._talks.compare(connection, history, window):
                break
            listed = self._differences.listed - before
            grown = min(16 * seconds, seconds * LISTED_AT_ONCE // listed) if listed else newest.until + 1
            seconds = max(1, grown)
        walk.proved_otherwise(history.unread(walk.pending))


def _is_comparable(history: History) -> bool:
    """What a filter without tags or ids lets through, the database finds as the relay does.

    Where something is left out by choice, the relay would list that as well, each time.
    """
    return not history.filter.tags and history.filter.ids is None and not history.filter.left_out
