"""Asking one relay: a request goes out; what comes goes to the walk, then to the writer, and is counted."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from itertools import count

from bigbrotr_dagster.nostr.connection import Connection, Reply
from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.relay_url import RelayURL
from bigbrotr_dagster.storage.ingest import BatchWriter, Cursor, Delivery, Quarantined, Tally
from bigbrotr_dagster.sync.claims import NOTHING, Claims
from bigbrotr_dagster.sync.distance import MOST_AT_ONCE, Distance
from bigbrotr_dagster.sync.history import History
from bigbrotr_dagster.sync.report import Progress
from bigbrotr_dagster.sync.stated import Stated
from bigbrotr_dagster.windowing.conduct import EVENTS_PER_PAGE, Conduct, Verdict
from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.intervals import Coverage
from bigbrotr_dagster.windowing.outcome import Ending, Outcome
from bigbrotr_dagster.windowing.policy import Reaction, reaction
from bigbrotr_dagster.windowing.tasks import Answer, Ask, Proof, Unproven
from bigbrotr_dagster.windowing.walk import Walk

PAGE_BYTES = 64 * 2**20
"""Bytes of one answer, or of all that come side by side."""


@dataclass(slots=True)
class Traffic:
    """What was exchanged with the relay."""

    requests: int = 0
    events_received: int = 0
    bytes_received: int = 0
    insecure: bool = False


class Asking:
    """The requests of one relay's sync; `cursor` tells what is settled by now."""

    def __init__(
        self,
        relay: RelayURL,
        habits: Habits,
        conduct: Conduct,
        stated: Stated,
        writer: BatchWriter,
        progress: Progress,
        cursor: Callable[[], Cursor | None],
    ) -> None:
        self.traffic = Traffic()
        self.tally = Tally()
        self.distance = Distance()
        self.claims = Claims(habits, self.distance, self.deliver)
        self.progress_at = time.monotonic()
        self._relay = relay
        self._habits = habits
        self._conduct = conduct
        self._stated = stated
        self._writer = writer
        self._progress = progress
        self._cursor = cursor
        self._most_unproved = 0  # events of an answer that settled nothing

    def connected(self, connection: Connection) -> None:
        """The next requests go out on this connection."""
        self.traffic.insecure |= connection.insecure

    async def one(self, connection: Connection, history: History, walk: Walk, ask: Ask) -> Outcome:
        """Send one request, and take its answer."""
        selection = history.selection(ask)
        if selection is None:
            page = Reply(Outcome(Ending.EOSE))
        else:
            self.claims.asked(selection, history, walk)
            page = await connection.request(
                selection,
                max_events=EVENTS_PER_PAGE * ask.limit,
                max_bytes=PAGE_BYTES,
                after_eose=self.claims.after_eose(ask),
                stay_open=True,
                intake=_Intake(self, connection, history),
            )
            self._count(page)
            await self.take_late(connection)
        outcome = page.outcome
        verdict = self._conduct.judge(ask, outcome, page.received)
        if verdict is Verdict.ANSWERED:
            self.claims.note_eose(history, ask, page)
        proof = _told(walk, ask, verdict, page)
        if verdict is Verdict.ANSWERED:
            self.distance.note_page(page.waited, page.lasted, ask, page.events, self._habits)
        elif verdict is Verdict.SET_ASIDE and not connection.closed:
            outcome = Outcome(Ending.EOSE)  # that is all the answer there will be, and it is taken
        if proof.gaps:
            gaps = await self._stated.estimated(connection, history, self._habits, proof.gaps)
            proof = replace(proof, gaps=gaps)
        await self._settle(history, walk, page, proof)
        return outcome

    async def probe(self, connection: Connection, history: History) -> Reply:
        """Ask for one event of the history, to see how that is answered; it proves nothing."""
        page = await connection.request(
            history.filter.narrowed(since=1, limit=1),
            max_events=EVENTS_PER_PAGE,
            max_bytes=PAGE_BYTES,
            intake=_Intake(self, connection, history),
        )
        self._count(page)
        await self.deliver(history, page, Proof())
        return page

    async def supply(self, walk: Walk) -> None:
        """Tell the walk of a crowded second: who was active then, and what the relay says it answers at once."""
        if walk.crowded is not None:
            authors = await self._writer.authors_around(walk.crowded)
            limits = await self._stated.limits()
            self._habits.heed_message_length(limits.max_message_length)
            walk.supply(authors, limits.max_limit)

    async def several(
        self,
        connection: Connection,
        history: History,
        walk: Walk,
        first: Sequence[Ask],
        more: Callable[[int], Sequence[Ask]],
    ) -> Outcome | None:
        """Keep several requests under way, and take their answers; returns one that calls for another connection.

        `more` is told how many are under way, and gives the asks that take the place of the one answered. What
        goes wrong here means nothing: that is asked again, with fewer beside it.
        """
        asked: dict[int, tuple[Ask, int]] = {}  # and how many were under way with it
        numbers = count()
        ended: Outcome | None = None

        async def begin(asks: Sequence[Ask]) -> list[Filter]:
            selections = []
            for ask in asks:
                selection = history.selection(ask)
                if selection is None:
                    await self._take(history, walk, ask, Reply(Outcome(Ending.EOSE)), len(asked) + 1)
                else:
                    self.claims.asked(selection, history, walk)
                    asked[next(numbers)] = ask, len(asked) + 1
                    selections.append(selection)
            return selections

        async def answered(number: int, page: Reply) -> list[Filter]:
            nonlocal ended
            ended = page.outcome
            self._count(page)
            await self.take_late(connection)
            ask, under_way = asked.pop(number)
            await self._take(history, walk, ask, page, under_way)
            return await begin(more(len(asked)))

        selections = await begin(first)
        if selections:
            most = EVENTS_PER_PAGE * max(ask.limit for ask in first)
            share = PAGE_BYTES // MOST_AT_ONCE
            intake = _Intake(self, connection, history)
            await connection.request_side_by_side(
                selections, answered, max_events=most, max_bytes=share, intake=intake
            )
        return ended if connection.closed else None

    async def _take(self, history: History, walk: Walk, ask: Ask, page: Reply, under_way: int) -> None:
        """One of several answers; when it was asked for, so many were under way."""
        proof = Proof()
        if reaction(page.outcome) is Reaction.PROVED:
            proof = walk.answered(ask, _answer(page))
            self.distance.note_answer(ask, page.events, self._habits)
        else:
            walk.failed(ask)
            if page.outcome.ending is Ending.CLOSED:
                self.distance.note_refusal(under_way)
            else:
                self.distance.alone = True
        await self._settle(history, walk, page, proof)

    async def take_late(self, connection: Connection) -> None:
        """Take what came for requests that had ended; what it disproves is pending again."""
        if connection.late.have_more:
            came = connection.late.collect()
            for late in came:
                self._count_events(late.page)
            await self.claims.take_late(came)

    async def deliver(self, history: History, page: Reply, proof: Proof, disproved: Coverage = NOTHING) -> None:
        """Have the writer store all that the page brought, what it proves, and what it disproves."""
        history.take_back(disproved)
        history.settle(proof)
        began = time.monotonic()
        await self._writer.put(
            Delivery(
                relay_url=self._relay.url,
                filter_hash=history.hash,
                filter=history.filter.to_dict(),
                seen_at=int(time.time()),
                tally=self.tally,
                events=[
                    event
                    for event in (*page.events, *page.outside)
                    if isinstance(event, Event) and history.wants(event.created_at)
                ],
                rejected=[Quarantined(item.reason, item.raw, item.id) for item in page.rejected],
                rejected_counts=page.rejected_counts,
                disproved=tuple(disproved),
                covered=proof.covered,
                again=history.proved_before,
                gaps=proof.gaps,
                cursor=self._cursor() if proof.covered or proof.gaps else None,
                weight=page.weight,
            )
        )
        self.progress_at += time.monotonic() - began  # that was our queue, and is not held against the relay

    def _count(self, page: Reply) -> None:
        self.traffic.requests += 1
        self.traffic.bytes_received += page.bytes
        self._count_events(page)

    def _count_events(self, page: Reply) -> None:
        self.traffic.events_received += page.received
        self._progress.events_received += page.received
        self._conduct.received(page.received)

    async def _settle(self, history: History, walk: Walk, page: Reply, proof: Proof) -> None:
        proof, disproved = self.claims.checked(history, walk, page, proof)
        if proof.reread is not None:
            history.audit.settle(proof.reread, [event.created_at for event in page.events])
        if proof.covered or proof.gaps or len(page.events) > self._most_unproved:
            self.progress_at = time.monotonic()
            self._most_unproved = max(self._most_unproved, 0 if proof.covered else len(page.events))
        await self.claims.write(history, walk, page, proof, disproved)


@dataclass(frozen=True, slots=True)
class _Intake:
    """Stores what a request of `history` brings before its end, and proves nothing by that."""

    asking: Asking
    connection: Connection
    history: History

    def room(self, weight: int) -> AbstractAsyncContextManager[None]:
        return self.asking._writer.room(weight)

    async def store(self, part: Reply) -> None:
        if part.weight:
            await self.asking.deliver(self.history, part, Proof())
        await self.asking.take_late(self.connection)


def _answer(page: Reply) -> Answer:
    """What the walk is told of a page."""
    off_filter = page.rejected_counts["off_filter"]
    return Answer(
        page.events,
        page.outcome,
        page.outside,
        page.refused,
        off_filter,
        page.rejected_at,
        page.duplicates,
        frozenset(page.refused_ids),
    )


def _told(walk: Walk, ask: Ask, verdict: Verdict, page: Reply) -> Proof:
    """Tell the walk what came of its ask; returns what that proves."""
    said = page.outcome.text
    match verdict:
        case Verdict.ANSWERED:
            return walk.answered(ask, _answer(page))
        case Verdict.SET_ASIDE if (refused := walk.refused(ask, str(page.outcome))) is not None:
            return refused
        case Verdict.BROKEN | Verdict.FLOODED:
            return walk.broken(ask, said, flood=verdict is Verdict.FLOODED)
        case Verdict.BURIED:
            proof = walk.broken(ask, said)
            return replace(proof, gaps=tuple(replace(gap, reason=Unproven.NO_EOSE) for gap in proof.gaps))
    walk.failed(ask)
    return Proof()
