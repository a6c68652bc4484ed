"""Single seconds that an answer may not have shown whole.

A second that fills a whole answer is narrowed by kind, then by author, as far as that can prove anything.

NIP-01 has no way to ask for "the rest" of one second. Asking for each kind seen in it, and for each author of
a kind that fills an answer again, brings nearly all of it. It is a proof only where the relay was never seen
to cut, and the narrow answers bring nothing that the first one had not; what is left otherwise is a gap of that
one second, with its reason.

A relay whose cap varies is asked for the second until three answers in a row bring nothing new, before that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.intervals import Interval
from bigbrotr_dagster.windowing.kinds import COMMON_KINDS
from bigbrotr_dagster.windowing.tasks import Answer, Ask, Gap, Stamped, Step, Unproven

AGREEMENTS = 3


@dataclass(frozen=True, slots=True)
class Narrowed:
    """A part of a second: these kinds, and of those these authors; None is all, none are those seen by then."""

    kinds: tuple[int, ...] | None
    authors: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Saturated:
    """One `second`. `parts` are still to be asked, the next one last; `seen` maps ids to authors.

    `full` says that a part could not be narrowed any further and still filled its answer; `more` that the
    parts brought events which the first answer had not.
    """

    second: int
    parts: tuple[Narrowed, ...]
    seen: dict[str, str]
    kinds: frozenset[int]
    full: bool = False
    more: bool = False

    @classmethod
    def of(cls, second: int, events: Sequence[Stamped]) -> "Saturated":
        kinds = frozenset(event.kind for event in events)
        others = Narrowed(tuple(kind for kind in COMMON_KINDS if kind not in kinds))
        seen = {event.id: event.pubkey for event in events}
        # In the end everything by its authors: that finds kinds which nobody thought of.
        parts = (Narrowed(None, ()), others, *(Narrowed((kind,)) for kind in sorted(kinds)))
        return cls(second, parts, seen, kinds)

    def ask(self, limit: int, habits: Habits) -> Ask:
        part = self.parts[-1]
        return Ask(*habits.bounds(Interval(self.second, self.second)), limit, part.kinds, part.authors)

    def answered(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        answer.teach(habits, ask)
        here = answer.inside(Interval(self.second, self.second))
        fresh = [event for event in here if event.id not in self.seen]
        found = {event.kind for event in fresh} - self.kinds
        seen = self.seen | {event.id: event.pubkey for event in fresh}
        suspected = habits.is_full if habits.varies else habits.may_be_cut
        taken = replace(self, seen=seen, kinds=self.kinds | found, more=self.more or bool(fresh))
        counted = answer.counted(ask, habits)
        # What exceeds the most that the relay ever sent came on top, and took no room.
        if suspected(counted if counted <= habits.largest else answer.size, ask.limit):
            return taken._narrowed(found, habits)
        by_kind = (Narrowed((kind,)) for kind in sorted(found)) if ask.kinds is None else ()
        return replace(taken, parts=(*self.parts[:-1], *by_kind))._next(habits)

    def broken(self, ask: Ask, detail: str, habits: Habits) -> Step:
        """The answer was more than we take: ask for less."""
        return self._narrowed(set(), habits)

    def _narrowed(self, found: set[int], habits: Habits) -> Step:
        """Put what the last part is made of in its place."""
        *parts, part = self.parts
        narrower = _narrower(part, found)
        # Authors last of all: the other kinds still bring more of them to ask for.
        by_author = part.kinds is not None and len(part.kinds) == 1
        parts = [*narrower, *parts] if by_author else [*parts, *narrower]
        return replace(self, parts=tuple(parts), full=self.full or not narrower)._next(habits)

    def _next(self, habits: Habits) -> Step:
        if not self.parts:
            return self._settled(habits)
        *parts, part = self.parts
        if part.authors == ():
            at_once, known = max(1, habits.largest // 2), sorted(set(self.seen.values()))
            groups = (tuple(known[start : start + at_once]) for start in range(0, len(known), at_once))
            parts += (Narrowed(part.kinds, group) for group in groups)
            return replace(self, parts=tuple(parts))._next(habits)
        return Step(tasks=(self,))

    def _settled(self, habits: Habits) -> Step:
        here = Interval(self.second, self.second)
        # Where the relay is known to cut, kinds that nobody thought of may be missing whatever the parts say.
        if self.full or self.more or habits.cut_at is not None:
            return Step.gives_up(Gap(here, Unproven.SATURATED, len(self.seen)))
        return Step.covers(here)


@dataclass(frozen=True, slots=True)
class Agree:
    """One `second`, of which `seen` (ids) came in answers that may have been cut anywhere."""

    second: int
    seen: frozenset[str]
    times: int = 0

    def ask(self, limit: int, habits: Habits) -> Ask:
        return Ask(*habits.bounds(Interval(self.second, self.second)), limit)

    def answered(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        answer.teach(habits, ask)
        here = answer.inside(Interval(self.second, self.second))
        fresh = frozenset(event.id for event in here) - self.seen
        if answer.crowds(Interval(self.second, self.second), ask, habits) and not fresh:
            return Step(tasks=(self,))
        if habits.is_full(answer.counted(ask, habits), ask.limit):
            return Step(tasks=(Saturated.of(self.second, here),))
        if fresh:
            return Step(tasks=(Agree(self.second, self.seen | fresh),))
        if self.times + 1 < AGREEMENTS:
            return Step(tasks=(replace(self, times=self.times + 1),))
        if habits.may_be_cut(len(self.seen), ask.limit):  # it may be cut in the same place each time
            return Step(tasks=(Saturated.of(self.second, here),))
        return Step.covers(Interval(self.second, self.second))


def _narrower(part: Narrowed, found: set[int]) -> tuple[Narrowed, ...]:
    """The parts of a part that filled its answer; none where it cannot be narrowed."""
    if part.kinds is not None and len(part.kinds) > 1:
        rest = [kind for kind in part.kinds if kind not in found]
        halves = (tuple(rest[: len(rest) // 2]), tuple(rest[len(rest) // 2 :]))
        return (*(Narrowed(half) for half in halves if half), *(Narrowed((kind,)) for kind in sorted(found)))
    if part.authors is None:
        return (Narrowed(part.kinds, ()),)
    if len(part.authors) > 1:
        middle = len(part.authors) // 2
        return Narrowed(part.kinds, part.authors[:middle]), Narrowed(part.kinds, part.authors[middle:])
    return ()
