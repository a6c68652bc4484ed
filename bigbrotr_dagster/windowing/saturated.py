"""Single seconds that an answer may not have shown whole.

A second that fills a whole answer is narrowed by kind, then by author, as far as that can prove anything.

NIP-01 has no way to ask for "the rest" of one second. Asking for each kind seen in it, and for each author of
a kind that fills an answer again, brings nearly all of it. It is no proof: what the first answer left out may be
of a kind and by an author that nobody thought of. So the second is a gap, unless the relay has shown meanwhile
that it sends longer answers, or has sent all of it at once, where it states a larger limit than ours.

A relay whose cap varies is asked for the second until three answers in a row bring nothing new, before that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bigbrotr_dagster.windowing.habits import MOST_REJECTIONS, Habits
from bigbrotr_dagster.windowing.intervals import Interval
from bigbrotr_dagster.windowing.kinds import all_but
from bigbrotr_dagster.windowing.tasks import Answer, Ask, Gap, Stamped, Step, Unproven

AGREEMENTS = 3

MOST_AT_ONCE = 10_000
"""Events: the largest `limit` of a REQ, for a relay that states more than ours (NIP-11, `max_limit`)."""

MOST_GROUPS_KNOWN, FEWEST_KNOWN = 20, 10
"""Requests that authors are worth who are only known to have been active then, and authors of the first one."""


@dataclass(frozen=True, slots=True)
class Narrowed:
    """A part of a second: these kinds, and of those these authors; None is all, none are those seen by then.

    `limit`: of the REQ, where it is larger than usual.
    """

    kinds: tuple[int, ...] | None
    authors: tuple[str, ...] | None = None
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Saturated:
    """One `second`, of which an answer of `came` events came to a REQ with `limit`: it may have been cut.

    `parts` are still to be asked, the next one last; `seen` maps ids to authors. `full` says that a part could not
    be narrowed any further and still filled its answer; `crowded` that one kind alone filled an answer, so that of
    it only known authors were asked for; `more` that the parts brought events which the first answer had not.
    `known` are authors who were active at that time, asked for where the second would be a gap otherwise; None
    until somebody has told (`supplied`). `whole`: a REQ with a larger limit had a longer answer, and room left;
    the parts then had to agree with it. `looked`: nothing but what was rejected had come, and the second was
    asked for as a whole once more.
    """

    second: int
    came: int
    limit: int
    parts: tuple[Narrowed, ...]
    seen: dict[str, str]
    kinds: frozenset[int]
    full: bool = False
    crowded: bool = False
    more: bool = False
    known: tuple[str, ...] | None = None
    whole: bool = False
    looked: bool = False

    @classmethod
    def of(cls, second: int, events: Sequence[Stamped], came: int, limit: int) -> "Saturated":
        """The search through a `second` of which `events` came, in an answer of `came` events at this `limit`."""
        kinds = frozenset(event.kind for event in events)
        others = map(Narrowed, all_but(kinds))
        seen = {event.id: event.pubkey for event in events}
        # In the end everything by its authors: that finds kinds which nobody thought of.
        parts = (Narrowed(None, ()), *others, *_each(kinds))
        return cls(second, came, limit, parts, seen, kinds)

    def supplied(self, authors: Iterable[str], limit: int, stated: int | None) -> "Saturated":
        """The same with what others know of this second: authors, and the limit that the relay states.

        Where that is more than `limit`, all of the second is asked for at once, first.
        """
        larger = min(stated or 0, MOST_AT_ONCE)
        whole = (Narrowed(None, limit=larger),) if larger > limit else ()
        return replace(self, parts=(*self.parts, *whole), known=tuple(authors))

    def ask(self, limit: int, habits: Habits) -> Ask:
        """The next part of the second."""
        part = self.parts[-1]
        authors = part.authors and part.authors[: habits.most_authors]
        here = Interval(self.second, self.second)
        larger = part.limit > limit
        return Ask(*habits.bounds(here), max(limit, part.limit), part.kinds, authors, is_larger=larger)

    def answered(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        """Narrow a part that filled its answer; after the last part, cover the second or name it a gap."""
        here = answer.inside(Interval(self.second, self.second))
        fresh = [event for event in here if event.id not in self.seen]
        found = {event.kind for event in fresh} - self.kinds
        seen = self.seen | {event.id: event.pubkey for event in fresh}
        is_whole = self.parts[-1].limit > 0
        more = self.more or (bool(fresh) and not is_whole)
        taken = replace(self, seen=seen, kinds=self.kinds | found, more=more)
        if is_whole:
            whole = max(habits.largest, self.came) < answer.size < ask.limit
            return replace(taken, parts=(*self.parts[:-1], *_each(found)), whole=whole)._next(habits)
        if not here and answer.is_cut_by_rejected(ask, habits):
            habits.note_rejected()
            if habits.rejections > MOST_REJECTIONS:
                return Step.gives_up(taken._gap)
        suspected = habits.is_full if habits.varies else habits.may_be_cut
        if suspected(answer.room(ask, habits), ask.limit) or answer.is_cut_by_rejected(ask, habits):
            return taken._narrowed(ask, found, habits)
        if not ask.is_narrow:
            taken = replace(taken, came=answer.size)
        by_kind = _each(found) if ask.kinds is None else ()
        return replace(taken, parts=(*self._left(ask), *by_kind))._next(habits)

    def broken(self, ask: Ask, detail: str, habits: Habits) -> Step:
        """The answer was more than we take: ask for less."""
        return self._narrowed(ask, set(), habits)

    def refused(self, ask: Ask, detail: str, habits: Habits) -> Step:
        """The relay does not answer for kinds or authors: what is left of the second cannot be had."""
        return Step.gives_up(replace(self._gap, detail=detail))

    def _left(self, ask: Ask) -> tuple[Narrowed, ...]:
        """The parts without what was just asked for."""
        *parts, part = self.parts
        authors = part.authors[len(ask.authors) :] if part.authors and ask.authors else ()
        return (*parts, replace(part, authors=authors)) if authors else tuple(parts)

    def _narrowed(self, ask: Ask, found: set[int], habits: Habits) -> Step:
        """Put what the last part is made of in its place."""
        narrower = _narrower(Narrowed(ask.kinds, ask.authors), found)
        # Authors last of all: the other kinds still bring more of them to ask for.
        by_author = ask.kinds is not None and len(ask.kinds) == 1
        left = self._left(ask)
        parts = (*narrower, *left) if by_author else (*left, *narrower)
        full, crowded = self.full or not narrower, self.crowded or by_author
        return replace(self, parts=parts, full=full, crowded=crowded)._next(habits)

    def _next(self, habits: Habits) -> Step:
        if not self.parts:
            return self._settled(habits)
        *parts, part = self.parts
        if part.authors == ():
            groups = _author_groups(sorted(set(self.seen.values())), habits)
            parts += (Narrowed(part.kinds, group) for group in groups)
            return replace(self, parts=tuple(parts))._next(habits)
        return Step(tasks=(self,))

    def _settled(self, habits: Habits) -> Step:
        if self._is_proved(habits):
            return Step.covers(Interval(self.second, self.second))
        if not self.seen and not self.looked:
            return Step(tasks=(replace(self, parts=(Narrowed(None),), looked=True),))
        asked = set(self.seen.values())
        groups = _author_groups([author for author in self.known or () if author not in asked], habits)
        if groups and len(groups[0]) >= FEWEST_KNOWN:
            parts = tuple(Narrowed(None, group) for group in groups[:MOST_GROUPS_KNOWN])
            return Step(tasks=(replace(self, parts=parts, known=()),))
        return Step.gives_up(self._gap)

    def _is_proved(self, habits: Habits) -> bool:
        """Whether nothing can be left. Where events are hidden, only answers for other kinds can show it."""
        if habits.hides:
            return not self.full and not self.crowded
        return not self.more and (self.whole or (not self.full and habits.had_room(self.came, self.limit)))

    @property
    def _gap(self) -> Gap:
        reason = Unproven.SATURATED if self.seen else Unproven.ALL_REJECTED
        return Gap(Interval(self.second, self.second), reason, len(self.seen))


@dataclass(frozen=True, slots=True)
class Agree:
    """One `second`, of which `seen` (ids) came in answers that may have been cut anywhere."""

    second: int
    seen: frozenset[str]
    times: int = 0

    def ask(self, limit: int, habits: Habits) -> Ask:
        """All of the second, as before."""
        return Ask(*habits.bounds(Interval(self.second, self.second)), limit)

    def answered(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        """Cover the second after `AGREEMENTS` answers in a row without news; narrow it where one was full."""
        here = answer.inside(Interval(self.second, self.second))
        fresh = frozenset(event.id for event in here) - self.seen
        if habits.note_spare(answer, Interval(self.second, self.second), ask) and not fresh:
            return Step(tasks=(self,))
        if habits.is_full(answer.room_at_most(ask, habits), ask.limit):
            return Step(tasks=(Saturated.of(self.second, here, answer.room(ask, habits), ask.limit),))
        if fresh:
            return Step(tasks=(Agree(self.second, self.seen | fresh),))
        if self.times + 1 < AGREEMENTS:
            return Step(tasks=(replace(self, times=self.times + 1),))
        came = max(len(self.seen), answer.room(ask, habits))
        if habits.hides or habits.may_be_cut(came, ask.limit):  # it may be cut in the same place each time
            return Step(tasks=(Saturated.of(self.second, here, came, ask.limit),))
        return Step.covers(Interval(self.second, self.second))


def _narrower(part: Narrowed, found: set[int]) -> tuple[Narrowed, ...]:
    """The parts of a part that filled its answer; none where it cannot be narrowed."""
    if part.kinds is not None and len(part.kinds) > 1:
        rest = [kind for kind in part.kinds if kind not in found]
        halves = (tuple(rest[: len(rest) // 2]), tuple(rest[len(rest) // 2 :]))
        return (*(Narrowed(half) for half in halves if half), *_each(found))
    if part.authors is None:
        return (Narrowed(part.kinds, ()),)
    if len(part.authors) > 1:
        middle = len(part.authors) // 2
        return Narrowed(part.kinds, part.authors[:middle]), Narrowed(part.kinds, part.authors[middle:])
    return ()


def _each(kinds: Iterable[int]) -> tuple[Narrowed, ...]:
    """A part for each kind."""
    return tuple(Narrowed((kind,)) for kind in sorted(kinds))


def _author_groups(authors: Sequence[str], habits: Habits) -> list[tuple[str, ...]]:
    """Authors, so many at a time that their events have room in an answer."""
    at_once = min(habits.most_authors, max(1, habits.largest // 2))
    return [tuple(authors[start : start + at_once]) for start in range(0, len(authors), at_once)]
