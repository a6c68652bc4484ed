"""One window compared with a relay (NIP-77): in as many talks as it takes, checked, and stored."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from bigbrotr_dagster.negentropy import Reconciliation
from bigbrotr_dagster.nostr.connection import Connection, ReconcileEnding
from bigbrotr_dagster.storage.holdings import Item, held_of_relay
from bigbrotr_dagster.storage.ingest import BatchWriter
from bigbrotr_dagster.storage.state import Nip77, SyncState
from bigbrotr_dagster.sync.asking import Asking
from bigbrotr_dagster.sync.differences import Differences
from bigbrotr_dagster.sync.history import History
from bigbrotr_dagster.windowing.intervals import Interval
from bigbrotr_dagster.windowing.policy import Reaction, reaction
from bigbrotr_dagster.windowing.tasks import TOLERATED_SHARE

MOST_ITEMS = 100_000
"""Events of ours that one talk compares."""

ITEM_WEIGHT = 400
"""Bytes of memory that an event takes while it is compared."""

ONE_IN = 16
"""Of so many talks one is checked against what the relay answers a REQ."""

FEWEST_CHECKED, CHECKED_EVENTS = 5, 100
CHECKED_SHARE = 1_000
"""Such a check is of one event in so many of a day's new ones: at 288 runs a day it costs 4% of what they cost."""

MUCH_GONE = 20
"""One event in so many that is gone from a window is a reason for a check."""


@dataclass(frozen=True, slots=True)
class ComparedWindow:
    """A `window` that is compared, and proved; `items` events of ours lie in it."""

    window: Interval
    items: int


class Talks:
    """The talks of one relay's run, and what they teach of it. `is_late`: the rest is left for another run."""

    def __init__(
        self,
        state: SyncState,
        asking: Asking,
        writer: BatchWriter,
        relay_url: str,
        *,
        trust_claims: bool,
        is_late: Callable[[], bool],
    ) -> None:
        self.differences = Differences(asking, writer, relay_url, trust_claims=trust_claims, is_late=is_late)
        self._state = state
        self._asking = asking
        self._writer = writer
        self._url = relay_url
        self._is_late = is_late
        self._is_checked = False
        self._longest: int | None = None  # seconds of a window that the relay took, after one that was too much

    def learn(self, what: Nip77) -> None:
        """Take note whether the relay can be reconciled with."""
        self._state.nip77, self._state.learned_nip77 = what, True

    async def compare(self, connection: Connection, history: History, window: Interval) -> bool:
        """Compare all of a window; returns whether that was possible.

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
        rest = window
        while not self._is_late():
            done = await self.compare_newest(connection, history, rest, MOST_ITEMS)
            if done is None:
                return False
            if done.window.since == window.since:
                return True
            rest = Interval(window.since, done.window.since - 1)
        return False

    async def compare_newest(
        self, connection: Connection, history: History, window: Interval, most: int
    ) -> ComparedWindow | None:
        """Compare the newest part of a window that holds at most so many events of ours, or one second.

        Returns what was compared; None where that was not possible.

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
        observed = self._state.observations + self._asking.tally.observations_new
        async with self._writer.room_to_compare(ITEM_WEIGHT * min(most, observed + CHECKED_EVENTS)):
            part, items = await self._newest(history, _newest_seconds(window, self._longest), most)
            while not connection.closed:
                ended = await self._talk(connection, history, part, items)
                if ended is ReconcileEnding.FINISHED:
                    if self._longest is not None:
                        self._longest = (2 if items else 64) * part.seconds
                    return ComparedWindow(part, len(items))
                if ended is not ReconcileEnding.TOO_MANY or part.seconds == 1 or self._is_late():
                    return None
                part = _newer_half(part, items)
                self._longest = part.seconds
                items = [item for item in items if item[0] >= part.since]
        return None

    async def _newest(self, history: History, window: Interval, most: int) -> tuple[Interval, list[Item]]:
        items = await self._held(history, window, most + 1)
        if len(items) <= most:
            return window, items
        oldest = items[-1][0]
        if oldest < window.until:
            return Interval(oldest + 1, window.until), [item for item in items if item[0] > oldest]
        return Interval(oldest, oldest), await self._held(history, Interval(oldest, oldest), 10 * MOST_ITEMS)

    async def _held(self, history: History, window: Interval, most: int) -> list[Item]:
        await self._writer.flush()
        return await self._writer.read(
            lambda connection: held_of_relay(connection, self._url, history.filter, window, most)
        )

    async def _talk(
        self, connection: Connection, history: History, window: Interval, items: list[Item]
    ) -> ReconcileEnding:
        """Have one talk, and store what comes of it; FINISHED only where all of it was stored, and is proved."""
        reconciliation = Reconciliation(items)
        selection = history.filter.narrowed(since=window.since, until=window.until)
        talked = await connection.reconcile(selection, reconciliation)
        self._asking.count_talk(talked.rounds, talked.bytes)
        await self._asking.take_late(connection)
        ended = talked.ending
        if ended is ReconcileEnding.FINISHED:
            ended = await self._doubt(connection, history, window, reconciliation, items) or ended
        if ended is ReconcileEnding.FINISHED:
            if self._state.nip77 is not Nip77.SPOKEN:
                self.learn(Nip77.SPOKEN)
            ended = await self.differences.resolve(connection, history, window, reconciliation)
        if ended is ReconcileEnding.LIED:
            self.learn(Nip77.DISTRUSTED)
        elif self._cannot(ended, window):
            self.learn(Nip77.UNSUPPORTED)
        return ended

    def _cannot(self, ended: ReconcileEnding, window: Interval) -> bool:
        """Whether the relay cannot be reconciled with. One that left may come back, if it ever spoke."""
        match ended:
            case ReconcileEnding.UNSUPPORTED | ReconcileEnding.REFUSED:
                return True
            case ReconcileEnding.TOO_MANY:
                return window.seconds == 1
            case ReconcileEnding.DISCONNECTED:
                return self._state.nip77 is Nip77.UNKNOWN
        return False

    async def _doubt(
        self,
        connection: Connection,
        history: History,
        window: Interval,
        reconciliation: Reconciliation,
        items: list[Item],
    ) -> ReconcileEnding | None:
        """LIED where a REQ brings what the relay said it does not hold, None where all is well.

        It is looked at where that is due. DISCONNECTED: the REQ was not answered. Of seconds that were never read
        it is always due, and just below what is known there: who says that there is no more has more to show.
        """
        is_unread = window.since not in history.proved_before
        much_is_gone = len(reconciliation.have) > 1 + len(items) // MUCH_GONE
        is_new = self._state.nip77 is not Nip77.SPOKEN and not self._is_checked
        most = CHECKED_EVENTS
        if not (is_unread or is_new or much_is_gone):
            if secrets.randbelow(ONE_IN):
                return None
            most = max(FEWEST_CHECKED, min(CHECKED_EVENTS, int(self._state.new_lately) // CHECKED_SHARE))
        places = [since for since, _ in reconciliation.need.values()] or [second for second, _ in items]
        until = window.until
        if places:
            until = min(places) if is_unread and not reconciliation.need else _place_above(places, most)
        until = min(max(until, window.since), window.until)
        selection = history.filter.narrowed(since=window.since, until=until, limit=most)
        page = await self._asking.fetch(connection, history, selection, most)
        shown = {bytes.fromhex(event.id) for event in page.events if event.created_at in window}
        said = {id for _, id in items} - reconciliation.have.keys() | reconciliation.need.keys()
        if len(shown - said) > 1 + len(shown) // TOLERATED_SHARE:
            return ReconcileEnding.LIED
        if reaction(page.outcome) is not Reaction.PROVED:
            return ReconcileEnding.DISCONNECTED
        self._is_checked = True
        return None


def _place_above(places: list[int], events: int) -> int:
    """One of these seconds by chance, with so many of them below it; the newest one if there are not so many."""
    return sorted(places, reverse=True)[secrets.randbelow(max(1, len(places) - events))]


def _newest_seconds(window: Interval, most: int | None) -> Interval:
    return window if most is None else Interval(max(window.since, window.until - most + 1), window.until)


def _newer_half(window: Interval, items: list[Item]) -> Interval:
    """By our events, where there are any."""
    middle = items[len(items) // 2][0] if items else (window.since + window.until + 1) // 2
    return Interval(min(max(middle, window.since + 1), window.until), window.until)
