"""What one run claims to be proved of a relay: held back, or taken back, where an EOSE may have been false.

Theory of operation. While not one event has come before an EOSE, nothing shows that this relay's EOSE means
anything: claims are held back until the end of the run, when events had time to come. Later ones are written at
once, and taken back if an event comes after all that should have come before (see `lateness`).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from bigbrotr_dagster.nostr.connection import AT_ONCE, AfterEose, Reply
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.late import LateEvents
from bigbrotr_dagster.sync.distance import Distance
from bigbrotr_dagster.sync.history import History
from bigbrotr_dagster.sync.lateness import Lateness
from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.intervals import Coverage
from bigbrotr_dagster.windowing.outcome import Ending, Outcome
from bigbrotr_dagster.windowing.policy import Reaction, reaction
from bigbrotr_dagster.windowing.tasks import Ask, Proof, Stamped
from bigbrotr_dagster.windowing.walk import Walk

MOST_REMEMBERED = 256
"""Requests whose late events are known for what they are: more than a connection remembers."""

FALSE_EOSES = 8
"""Times that events may come after an EOSE, and not come before it when they are asked for again."""

ONE_FALSE_IN = 20
"""Answers, above that: live events now and then look like it, and cost an answer each."""

NOTHING = Coverage()


@dataclass(frozen=True, slots=True)
class _Damaged:
    """What came in place of an event: it has to come again, too."""

    id: str
    created_at: int
    kind: int = 0
    pubkey: str = ""


def _damaged(page: Reply, second: int) -> list[_Damaged]:
    """By their bytes, with the second that each claims, else `second`."""
    refused = page.rejected if page.refused else ()
    return [
        _Damaged(f"damaged {hash(item.raw)}", second if item.created_at is None else item.created_at)
        for item in refused
    ]


Deliver = Callable[[History, Reply, Proof, Coverage], Awaitable[None]]
"""Has the writer store what a page brought, what it proves, and what it disproves."""


class Claims:
    """The claims of one run on one relay."""

    def __init__(self, habits: Habits, distance: Distance, deliver: Deliver) -> None:
        self.has_doubts = False
        """An EOSE came where events were due."""
        self._habits = habits
        self._distance = distance
        self._deliver = deliver
        self._asked: dict[Filter, tuple[History, Walk]] = {}
        self._lateness: dict[str, Lateness] = {}  # by filter hash
        self._false_eoses = 0  # less those that turned out to be none
        self._all_false = 0
        self._unclaimed = 0  # false EOSEs after which nothing had been claimed
        self._answers = 0
        self._held: list[tuple[History, Walk, Proof]] = []
        self._named: list[tuple[History, Walk, Coverage]] = []  # gaps that answers have shown

    @property
    def are_deceived(self) -> bool:
        """Whether no EOSE of this relay's can be believed any more, however long its events are waited for."""
        return self._false_eoses > FALSE_EOSES or self._all_false > FALSE_EOSES + self._answers // ONE_FALSE_IN

    def asked(self, selection: Filter, history: History, walk: Walk) -> None:
        """Remember what a REQ was for: events may come for it later."""
        self._asked[selection] = history, walk
        if len(self._asked) > MOST_REMEMBERED:
            del self._asked[next(iter(self._asked))]

    def after_eose(self, ask: Ask) -> AfterEose:
        """How long events are waited for after the EOSE of this ask."""
        grace = self._habits.grace
        return AfterEose(grace, self._habits.whole(ask.limit)) if grace else AT_ONCE

    def note_eose(self, history: History, ask: Ask, page: Reply) -> None:
        """Learn from an EOSE what this relay's are worth."""
        self._habits.note_eose(page.received - page.late, page.late, page.silence)
        self.has_doubts |= self._late(history).lacks_what_was_due(ask, page.events)

    async def take_late(self, came: Sequence[LateEvents]) -> None:
        """Store what came for requests that had ended; what it disproves is pending again."""
        for late in came:
            if late.selection not in self._asked:
                continue
            history, _ = self._asked[late.selection]
            second = min((late.selection.since or 0) + 1, late.selection.until or 0)
            came_late: list[Stamped] = [*late.page.events, *_damaged(late.page, second)]
            disproved = NOTHING
            if late.contradict:
                disproved = self._contradict(late, came_late)
            await self._deliver(history, late.page, Proof(), disproved)

    def _contradict(self, late: LateEvents, came_late: Sequence[Stamped]) -> Coverage:
        """Heed what came after an EOSE; returns what was claimed although it was not there."""
        history, walk = self._asked[late.selection]
        lateness = self._late(history)
        news = lateness.expect(late.selection, came_late)
        disproved = lateness.contradicted()
        if disproved:
            self._heed_false_eose(walk, disproved, late.lag)
        elif news > 1 and self._unclaimed < FALSE_EOSES:
            # That EOSE proved nothing yet, but what is thought of the relay's answers may rest on it. One event
            # may have just arrived.
            self._unclaimed += 1
            self._begin_anew(walk, NOTHING, late.lag)
        return disproved

    def checked(self, history: History, walk: Walk, ask: Ask, page: Reply, proof: Proof) -> tuple[Proof, Coverage]:
        """The proof without what is contradicted by events that came late, and did not come now; and that."""
        self._answers += 1
        lateness = self._late(history)
        arrived: list[Stamped] = [*page.events, *_damaged(page, 0)]
        selection = history.selection(ask)
        if reaction(page.outcome) is Reaction.PROVED and lateness.came(selection, arrived) and not page.late:
            self._false_eoses = max(0, self._false_eoses - 1)
        disproved = lateness.claim(proof.covered)
        if proof.gaps:
            named = Coverage(gap.interval for gap in proof.gaps)
            lateness.name(named)
            self._named.append((history, walk, named))
        if not disproved:
            return proof, NOTHING
        self._heed_false_eose(walk, disproved)
        return replace(proof, covered=tuple(Coverage(proof.covered) - disproved)), disproved

    async def write(
        self, history: History, walk: Walk, page: Reply, proof: Proof, disproved: Coverage = NOTHING
    ) -> None:
        """Have a checked proof stored with its page, or held back."""
        if proof.covered and self._habits.is_unknown:
            self._held.append((history, walk, Proof(proof.covered)))
            proof = replace(proof, covered=())
        elif self._held:
            await self.release()
        await self._deliver(history, page, proof, disproved)

    async def release(self) -> None:
        """Write what was held back: nothing has come since that contradicts it."""
        held, self._held = self._held, []
        for history, _, proof in held:
            await self._deliver(history, Reply(Outcome(Ending.EOSE)), proof, NOTHING)

    def _late(self, history: History) -> Lateness:
        return self._lateness.setdefault(history.hash, Lateness())

    def _heed_false_eose(self, walk: Walk, disproved: Coverage, lag: float = 0.0) -> None:
        """Ask again for what an EOSE was no proof of, and wait longer after the next one."""
        self._false_eoses += 1
        self._all_false += 1
        self._begin_anew(walk, disproved, lag)

    def _begin_anew(self, walk: Walk, disproved: Coverage, lag: float) -> None:
        """Forget what was concluded from answers that ended too early, and ask again for what rests on it."""
        self._distance.alone = True
        self._habits.note_false_eose(lag)
        walk.restart(disproved)
        held, self._held = self._held, []
        for _, other, proof in held:
            other.restart(Coverage(proof.covered))
        # A second is a gap where answers look cut, or differ: so do those that ended before their events came.
        named, self._named = self._named, []
        for history, other, gaps in named:
            history.take_back(gaps)
            other.restart(gaps)
