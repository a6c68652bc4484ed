"""A second that fills a whole answer: narrowed by kind, then by author, as far as that can prove anything.

NIP-01 has no way to ask for "the rest" of one second. Asking for each kind seen in it, and for each author of
a kind that fills an answer again, brings nearly all of it. It is a proof only where the filter says which
kinds exist, or where the narrow answers bring nothing that the first one had not; what is left otherwise is a
gap of that one second, with its reason.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.intervals import Interval
from bigbrotr_dagster.windowing.tasks import Answer, Ask, Gap, Stamped, Step, Unproven

COMMON_KINDS = (
    *(0, 1, 3, 4, 5, 6, 7, 8, 9, 13, 14, 16, 40, 42, 43, 44, 818, 1059, 1063, 1111, 1311, 1617, 1984, 1985),
    *(4550, 5300, 6300, 7000, 9041, 9734, 9735, 9802, 10000, 10001, 10002, 10003, 10050, 22242, 24133, 27235),
    *(
        30000,
        30001,
        30003,
        30008,
        30009,
        30017,
        30018,
        30023,
        30024,
        30030,
        30078,
        30311,
        30315,
        30402,
        31922,
    ),
    *(31923, 31989, 31990, 34235, 34550, 38000, 38172),
)
"""Kinds that are asked for although none was seen in the second (the busiest ones of the public network)."""


@dataclass(frozen=True, slots=True)
class Narrowed:
    """A part of a second: these kinds, and of those these authors; None is all."""

    kinds: tuple[int, ...]
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
        return cls(second, (others, *(Narrowed((kind,)) for kind in sorted(kinds))), seen, kinds)

    def ask(self, limit: int, habits: Habits) -> Ask:
        part = self.parts[-1]
        return Ask(*habits.bounds(Interval(self.second, self.second)), limit, part.kinds, part.authors)

    def answered(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        *parts, part = self.parts
        habits.note(ask.since, ask.until, (event.created_at for event in answer.events))
        here = answer.inside(Interval(self.second, self.second))
        fresh = [event for event in here if event.id not in self.seen]
        found = {event.kind for event in fresh} - self.kinds
        seen = self.seen | {event.id: event.pubkey for event in fresh}
        full = False
        if habits.may_be_cut(answer.size, ask.limit):
            narrower = _narrower(part, found, seen.values(), max(1, habits.largest // 2))
            full = not narrower
            # Authors last of all: the other kinds still bring more of them to ask for.
            parts = [*narrower, *parts] if len(part.kinds) == 1 else [*parts, *narrower]
        left = replace(
            self,
            parts=tuple(parts),
            seen=seen,
            kinds=self.kinds | found,
            full=self.full or full,
            more=self.more or bool(fresh),
        )
        return Step(tasks=(left,)) if parts else left._settled()

    def _settled(self) -> Step:
        here = Interval(self.second, self.second)
        if self.full or self.more:
            return Step.gives_up(Gap(here, Unproven.SATURATED, len(self.seen)))
        return Step.covers(here)


def _narrower(part: Narrowed, found: set[int], authors: Iterable[str], at_once: int) -> tuple[Narrowed, ...]:
    """The parts of a part that filled its answer; none where it cannot be narrowed."""
    if len(part.kinds) > 1:
        rest = [kind for kind in part.kinds if kind not in found]
        halves = (tuple(rest[: len(rest) // 2]), tuple(rest[len(rest) // 2 :]))
        return (*(Narrowed(half) for half in halves if half), *(Narrowed((kind,)) for kind in sorted(found)))
    if part.authors is None:
        known = sorted(set(authors))
        return tuple(
            Narrowed(part.kinds, tuple(known[start : start + at_once])) for start in range(0, len(known), at_once)
        )
    if len(part.authors) > 1:
        middle = len(part.authors) // 2
        return Narrowed(part.kinds, part.authors[:middle]), Narrowed(part.kinds, part.authors[middle:])
    return ()
