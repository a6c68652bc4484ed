"""Asking one relay: a request goes out; what comes goes to the walk, then to the writer, and is counted."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace

from bigbrotr_dagster.nostr.connection import Connection, Conversation, Reply
from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.relay_url import RelayURL
from bigbrotr_dagster.storage.ingest import BatchWriter, Compared, Cursor, Delivery, Quarantined, Tally
from bigbrotr_dagster.sync.claims import NOTHING, Claims
from bigbrotr_dagster.sync.distance import MOST_AT_ONCE, Distance
from bigbrotr_dagster.sync.history import History
from bigbrotr_dagster.sync.report import Progress
from bigbrotr_dagster.sync.stated import Stated
from bigbrotr_dagster.sync.telling import answer_of, told
from bigbrotr_dagster.windowing.conduct import EVENTS_PER_PAGE, Conduct, Verdict
from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.intervals import Coverage
from bigbrotr_dagster.windowing.outcome import Ending, Outcome
from bigbrotr_dagster.windowing.policy import Reaction, reaction
from bigbrotr_dagster.windowing.tasks import Ask, Proof
from bigbrotr_dagster.windowing.walk import Walk

NOTHING_COMPARED = Compared()

PAGE_BYTES = 64 * 2**20
"""Bytes of one answer, or of all that come side by side."""


@dataclass(slots=True)
class Traffic:
    """What was exchanged with the relay."""

    requests: int = 0
    events_received: int = 0
    bytes_received: int = 0
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class FirstPage:
    """How many events a relay's first answer held, and how many seconds these span."""

    events: int
    seconds: int


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
        self.first_page: FirstPage | None = None
        self._most_unproved = 0  # events of an answer that settled nothing

    def connected(self, connection: Connection) -> None:
        """The next requests go out on this connection."""
        self.traffic.insecure |= connection.insecure

    async def converse(
        self,
        connection: Connection,
        history: History,
        walk: Walk,
        asks: Sequence[Ask],
        more: Callable[[int], Sequence[Ask]],
    ) -> Outcome | None:
        """Ask for one thing, or for several side by side, and take the answers.

        Returns how the one was answered. Of several it returns an outcome only if that calls for another
        connection: what goes wrong there means nothing else, and is asked again, with fewer beside it. `more` is
        told how many are under way, and gives the asks that take the place of the one answered.

        Raises:
            DatabaseUnavailable: what came cannot be stored.
        """
        is_alone = len(asks) == 1
        intake = _Intake(self, connection, history)
        with connection.conversation(alone=is_alone, intake=intake) as conversation:
            talk = _Talk(connection, conversation, history, walk, is_alone)
            await self._ask(talk, asks)
            async for number, page in conversation:
                self._count(page)
                await self.take_late(connection)
                talk.outcome = page.outcome
                ask, under_way = talk.asked.pop(number)
                await self._take(talk, ask, page, under_way)
                if not is_alone:
                    await self._ask(talk, more(len(talk.asked)))
        return talk.outcome if is_alone or connection.closed else None

    async def _ask(self, talk: "_Talk", asks: Sequence[Ask]) -> None:
        """Ask for these; where this filter has nothing of what one is for, that is the answer."""
        for ask in asks:
            under_way = len(talk.asked) + 1
            selection = talk.history.selection(ask)
            if selection is None:
                await self._take(talk, ask, Reply(Outcome(Ending.EOSE)), under_way)
                continue
            self.claims.asked(selection, talk.history, talk.walk)
            number = talk.conversation.ask(
                selection,
                max_events=EVENTS_PER_PAGE * ask.limit,
                max_bytes=PAGE_BYTES if talk.is_alone else PAGE_BYTES // MOST_AT_ONCE,
                after_eose=self.claims.after_eose(ask),
                stay_open=talk.is_alone,
            )
            talk.asked[number] = ask, under_way

    async def _take(self, talk: "_Talk", ask: Ask, page: Reply, under_way: int) -> None:
        """Settle what came of an ask; when it was asked for, so many were under way."""
        if talk.is_alone:
            proof = await self._judged(talk, ask, page)
        else:
            proof = self._proof(talk.walk, ask, page, under_way)
        await self._settle(talk, ask, page, proof)

    async def _judged(self, talk: "_Talk", ask: Ask, page: Reply) -> Proof:
        """What an answer that came alone proves; whatever it was, something is learned of the relay."""
        talk.outcome = page.outcome
        verdict = self._conduct.judge(ask, page.outcome, page.received)
        if verdict is Verdict.ANSWERED:
            self.claims.note_eose(talk.history, ask, page)
        proof = told(talk.walk, ask, verdict, page)
        if verdict is Verdict.ANSWERED:
            self.distance.note_page(page.waited, page.lasted, ask, page.events, self._habits)
        elif verdict is Verdict.SET_ASIDE and not talk.connection.closed:
            talk.outcome = Outcome(Ending.EOSE)  # that is all the answer there will be, and it is taken
        if proof.gaps:
            gaps = await self._stated.estimated(talk.connection, talk.history, self._habits, proof.gaps)
            proof = replace(proof, gaps=gaps)
        return proof

    def _proof(self, walk: Walk, ask: Ask, page: Reply, under_way: int) -> Proof:
        """What one of several answers proves; if it is none, fewer are asked for from now on."""
        if reaction(page.outcome) is Reaction.PROVED:
            proof = walk.answered(ask, answer_of(page))
            self.distance.note_answer(ask, page.events, self._habits)
            return proof
        walk.failed(ask)
        if page.outcome.ending is Ending.CLOSED:
            self.distance.note_refusal(under_way)
        else:
            self.distance.alone = True
        return Proof()

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

    async def fetch(self, connection: Connection, history: History, selection: Filter, most: int) -> Reply:
        """Ask for at most so many events by another filter than a walk's, and store them; they prove nothing.

        Raises:
            DatabaseUnavailable: what came cannot be stored.
        """
        page = await connection.request(
            selection,
            max_events=EVENTS_PER_PAGE * most,
            max_bytes=PAGE_BYTES,
            intake=_Intake(self, connection, history),
        )
        self._count(page)
        await self.take_late(connection)
        await self.deliver(history, page, Proof())
        self.progress_at = time.monotonic()
        if reaction(page.outcome) is Reaction.SLOW_DOWN and not connection.closed:
            await asyncio.sleep(max(1.0, self._habits.pause))
        return page

    def count_talk(self, rounds: int, received: int) -> None:
        """A reconciliation took so many answers and bytes."""
        self.traffic.requests += max(1, rounds)
        self.traffic.bytes_received += received
        self.progress_at = time.monotonic()

    async def supply(self, walk: Walk) -> None:
        """Tell the walk of a crowded second: who was active then, and what the relay says it answers at once."""
        if walk.crowded is not None:
            authors = await self._writer.authors_around(walk.crowded)
            limits = await self._stated.limits()
            self._habits.heed_message_length(limits.max_message_length)
            walk.supply(authors, limits.max_limit)

    async def take_late(self, connection: Connection) -> None:
        """Take what came for requests that had ended; what it disproves is pending again."""
        if connection.late.have_more:
            came = connection.late.collect()
            for late in came:
                self._count_events(late.page)
            await self.claims.take_late(came)

    async def deliver_compared(self, history: History, compared: Compared, proof: Proof) -> None:
        """Have the writer store what a reconciliation has shown, and what that proves."""
        await self.deliver(history, Reply(Outcome(Ending.EOSE)), proof, compared=compared)

    async def deliver(
        self,
        history: History,
        page: Reply,
        proof: Proof,
        disproved: Coverage = NOTHING,
        compared: Compared = NOTHING_COMPARED,
    ) -> None:
        """Have the writer store all that the page brought, what it proves, and what it disproves."""
        history.take_back(disproved)
        history.settle(proof)
        began, now = time.monotonic(), time.time()
        await self._writer.put(
            Delivery(
                relay_url=self._relay.url,
                filter_hash=history.hash,
                filter=history.filter.described(),
                seen_at=int(now),
                tally=self.tally,
                events=[
                    event
                    for event in (*page.events, *page.outside)
                    if isinstance(event, Event) and history.wants(event, now)
                ],
                rejected=[Quarantined(item.reason, item.raw, item.id) for item in page.rejected],
                rejected_counts=page.rejected_counts,
                disproved=tuple(disproved),
                covered=proof.covered,
                again=history.proved_before,
                gaps=proof.gaps,
                cursor=self._cursor() if proof.covered or proof.gaps else None,
                compared=compared,
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

    async def _settle(self, talk: "_Talk", ask: Ask, page: Reply, proof: Proof) -> None:
        if self.first_page is None and page.events:
            times = [event.created_at for event in page.events]
            self.first_page = FirstPage(len(times), max(times) - min(times) + 1)
        proof, disproved = self.claims.checked(talk.history, talk.walk, ask, page, proof)
        if proof.covered or proof.gaps or len(page.events) > self._most_unproved:
            self.progress_at = time.monotonic()
            self._most_unproved = max(self._most_unproved, 0 if proof.covered else len(page.events))
        await self.claims.write(talk.history, talk.walk, page, proof, disproved)


@dataclass(slots=True)
class _Talk:
    """One conversation about a history; `asked` has by number what is under way, and how many were so with it."""

    connection: Connection
    conversation: Conversation
    history: History
    walk: Walk
    is_alone: bool
    asked: dict[int, tuple[Ask, int]] = field(default_factory=dict)
    outcome: Outcome | None = None  # of the last answer


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
