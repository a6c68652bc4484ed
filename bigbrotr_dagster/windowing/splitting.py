"""Binary splitting: the careful way through a window, for relays whose cut answers may be any part of it.

The window is asked for as a whole and as two halves. Where the halves bring nothing that the whole did not,
and the whole brought nothing that the halves did not, and was no longer than answers that were cut before,
nothing was cut, and the window is covered. Otherwise each half is split in the same way, down to single
seconds. It costs about four times what paging does.

Halves are halves of the events seen, not of the time: Nostr's years before 2021 are empty.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from bigbrotr_dagster.windowing.cuts import LEAST_CAP, REJECTED_SHARE, Order
from bigbrotr_dagster.windowing.doubt import Doubt
from bigbrotr_dagster.windowing.habits import MOST_REJECTIONS, Habits
from bigbrotr_dagster.windowing.intervals import Interval
from bigbrotr_dagster.windowing.kinds import LARGE_WINDOW, READABLE_KINDS, Kinds, halved
from bigbrotr_dagster.windowing.outcome import Hint
from bigbrotr_dagster.windowing.saturated import Agree, Saturated
from bigbrotr_dagster.windowing.tasks import TOLERATED_SHARE, Answer, Ask, Gap, Stamped, Step, Task, Unproven

SPARE = 2
"""Things that may come for both halves of a window, whose bounds may be a second wider each."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The `events` of an answer that was `counted` so many events long; `rejected` of them were none.

    `claimed`: the seconds that those claim. `number`: it was the so-manieth answer of this run.
    """

    events: tuple[Stamped, ...]
    counted: int
    rejected: int = 0
    claimed: tuple[int, ...] = ()
    rejected_ids: frozenset[object] = frozenset()
    number: int = 0

    @property
    def ids(self) -> frozenset[str]:
        """The ids of its events."""
        return frozenset(event.id for event in self.events)

    def may_be_cut(self, limit: int, habits: Habits) -> bool:
        """By what is known of the relay now, which may be more than when the answer came."""
        return habits.may_be_cut(self.counted, limit)

    def is_cut_by_rejected(self, limit: int, habits: Habits) -> bool:
        """Whether what was rejected may have kept events out of the answer."""
        return habits.is_cut_by_rejected(len(self.events), self.rejected, limit)

    def is_void(self, limit: int, habits: Habits) -> bool:
        """Nothing came but what was rejected, and that may hide anything."""
        return not self.events and self.is_cut_by_rejected(limit, habits)


@dataclass(frozen=True, slots=True)
class Split:
    """`window`, of which the `whole` and then the `newer` of its `halves` are answered, or None.

    `doubt`: that the window can be proved at all. `resume` makes the task for a half of which something else came
    than what was rejected, where only that is in the way: the order of the relay's events is not in doubt.
    `broke`: the answer for this one second was more than we take, once.
    """

    window: Interval
    whole: Seen | None = None
    newer: Seen | None = None
    halves: tuple[Interval, ...] = ()
    doubt: Doubt | None = None
    resume: Callable[[Interval], Task] | None = None
    broke: bool = False

    def ask(self, limit: int, habits: Habits) -> Ask:
        """The whole window, then its newer half, then its older one."""
        return Ask(*habits.bounds(self._asking()), limit)

    def answered(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        """Keep the answer until whole and halves are there; then compare them."""
        counted = answer.counted(ask, habits)
        claimed = tuple(second for second in answer.refused_at if second in self._asking())
        room = answer.room_at_most(ask, habits)
        inside = tuple(answer.inside(self._asking()))
        seen = Seen(inside, room, answer.rejected(habits), claimed, answer.refused_ids, habits.answers)
        is_cut = seen.may_be_cut(ask.limit, habits)
        # What comes on top of the most that the relay ever sent came along by chance.
        room_taken = len(seen.events) + answer.refused
        useless = _useless(ask, answer, room_taken) if is_cut and counted <= habits.fullest else None
        doubt = None if useless is None else Doubt.of(useless, answer, ask, habits, self.doubt)
        if doubt is not None:
            if doubt.is_certain:
                return Step.gives_up(Gap(self.window, doubt.reason, len(seen.events)))
            return Step(tasks=(replace(self, doubt=doubt),))
        if habits.rejections >= MOST_REJECTIONS and seen.is_void(ask.limit, habits):
            return Step.gives_up(Gap(self.window, Unproven.ALL_REJECTED))
        if (is_cut or not seen.events) and habits.note_spare(answer, self._asking(), ask):
            return Step(tasks=(self,))
        if self.whole is None:
            return self._whole(seen, ask.limit, answer.outcome.hint, habits)
        if self.newer is None:
            return Step(tasks=(replace(self, newer=seen, doubt=None),))
        return self._compared(self.whole, seen, self.newer, ask.limit, habits)

    def broken(self, ask: Ask, detail: str, habits: Habits) -> Step:
        """The answer was more than we take: look for what it was in one half and the other."""
        if self.window.seconds == 1:
            if self.broke:
                return Step.gives_up(Gap(self.window, Unproven.OVERSIZED, detail=detail))
            return Step(tasks=(replace(self, broke=True),))
        return Step(tasks=tuple(Split(half, resume=self.resume) for half in cut_in_two(self.window, self.whole)))

    def _asking(self) -> Interval:
        if self.whole is None:
            return self.window
        older, newer = self.halves
        return newer if self.newer is None else older

    def _whole(self, seen: Seen, limit: int, hint: Hint, habits: Habits) -> Step:
        if hint is Hint.FINISH:
            return Step.covers(self.window)
        if self.window.seconds > 1:
            return Step(tasks=(self._half(self.window, seen),))
        if habits.is_full(seen.counted, limit) or seen.is_cut_by_rejected(limit, habits):
            return Step(tasks=(Saturated.of(self.window.until, seen.events, seen.counted, limit),))
        if seen.may_be_cut(limit, habits):
            return Step(tasks=(Agree(self.window.until, seen.ids),))
        if habits.keeps_back:
            narrowed = Saturated.of(self.window.until, seen.events, seen.counted, limit)
            return Step(tasks=(Readable(self.window, seen.ids, (narrowed,)),))
        return Step.covers(self.window)

    def _half(self, window: Interval, whole: Seen) -> "Split":
        """A window that is to be split, for its whole is answered. A single second is asked again."""
        if window.seconds == 1:
            return Split(window, resume=self.resume)
        return Split(window, whole, None, cut_in_two(window, whole), resume=self.resume)

    def _compared(self, whole: Seen, older: Seen, newer: Seen, limit: int, habits: Habits) -> Step:
        """Nothing was cut if whole and halves are the same, and not merely cut in the same place."""
        parts = older.ids | newer.ids
        halved = tuple(map(self._half, self.halves, (older, newer)))
        is_cut = whole.may_be_cut(limit, habits)
        self._note_cuts(whole, older, newer, limit, habits)
        if older.is_void(limit, habits) and newer.is_void(limit, habits):
            habits.note_rejected(same=_are_same(older, newer))
        if self.resume is not None and habits.order is Order.NEWEST_FIRST and whole.is_void(limit, habits):
            void = [part for part, seen in zip(halved, (older, newer), strict=True) if seen.is_void(limit, habits)]
            rest = [self.resume(part.window) for part in halved if part not in void]
            return Step(tasks=(*void, *rest))  # what is left of the void ones is easier when more is known
        if any(half.is_cut_by_rejected(limit, habits) for half in (older, newer)):
            return Step(tasks=halved)
        # The same events, and other rubbish: each answer may have ended somewhere else among that.
        strange = len(whole.rejected_ids ^ (older.rejected_ids | newer.rejected_ids))
        if strange > (0 if habits.varies else max(SPARE, habits.largest // REJECTED_SHARE)):
            return Step(tasks=halved)
        # The order of such a relay's events tells nothing, and its cap may vary though it has not shown.
        trusted = habits.has_one_cap or (habits.order is Order.NEWEST_FIRST and not habits.varies)
        doubtful = not trusted and whole.counted >= LEAST_CAP
        again = Step(tasks=(Again(self.window, parts, halved),))
        if whole.ids < parts and not is_cut:
            arrived = _may_have_arrived(parts - whole.ids, parts, habits.answers - whole.number)
            return again if arrived and not doubtful else Step(tasks=halved)
        if whole.ids != parts or (whole.events and is_cut):
            return Step(tasks=halved)
        if doubtful:  # the whole and a half may have been cut alike, by chance
            return again
        return _confirmed(self.window, parts, halved, habits)

    def _note_cuts(self, whole: Seen, older: Seen, newer: Seen, limit: int, habits: Habits) -> None:
        """Learn where the answers ended that lack what one of the others shows to be there."""
        parts = older.ids | newer.ids
        for seen, held in (
            (whole, parts),
            (older, _within(self.halves[0], whole)),
            (newer, _within(self.halves[1], whole)),
        ):
            if not _may_have_arrived(held - seen.ids, held, habits.answers - seen.number):
                habits.note_cut(seen.counted, limit)


@dataclass(frozen=True, slots=True)
class Again:
    """Halves of `window` brought `parts` (ids), the whole only some of them: was that cut, or is more there now?

    Where a relay's cap varies it is asked, too, though the whole brought all of them.

    Relays get new events, and old ones, at any time; but not many at once.
    """

    window: Interval
    parts: frozenset[str]
    halves: tuple[Split, ...]

    def ask(self, limit: int, habits: Habits) -> Ask:
        """The whole window once more."""
        return Ask(*habits.bounds(self.window), limit)

    def answered(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        """Where all parts come now, they were new; else the first answer was cut, and the halves are split."""
        ids = frozenset(event.id for event in answer.inside(self.window))
        if habits.may_be_cut(answer.counted(ask, habits), ask.limit):  # by now; the first one need not have been
            return Step(tasks=self.halves)
        if self.parts <= ids and len(ids - self.parts) <= 1 + len(self.parts) // TOLERATED_SHARE:
            return _confirmed(self.window, ids, self.halves, habits)
        if not self.parts <= ids:  # else as many may have arrived
            habits.note_cut(answer.room_at_most(ask, habits), ask.limit)
        return Step(tasks=self.halves)

    def broken(self, ask: Ask, detail: str, habits: Habits) -> Step:
        """What cannot be asked as a whole is split."""
        return Step(tasks=self.halves)


@dataclass(frozen=True, slots=True)
class Readable:
    """Is there really nothing in `window` but `seen` (ids)? See `paging.Confirm`; else `parts` are next."""

    window: Interval
    seen: frozenset[str]
    parts: tuple[Split | Saturated, ...]
    groups: tuple[Kinds | None, ...] = READABLE_KINDS

    def ask(self, limit: int, habits: Habits) -> Ask:
        """The whole window, of the first of the `groups` of kinds."""
        return Ask(*habits.bounds(self.window), limit, self.groups[0])

    def answered(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        """Cover the window where no group brings more than was seen; else the relay hides events: part it."""
        if answer.is_cut_by_rejected(ask, habits):
            return Step(tasks=self.parts)
        if any(event.id not in self.seen for event in answer.inside(self.window)):
            habits.note_hiding()
            return Step(tasks=self.parts)
        if habits.may_be_cut(answer.room(ask, habits), ask.limit):
            return Step(tasks=self.parts)
        if habits.hides and len(self.groups) > 1:
            return Step(tasks=(replace(self, groups=self.groups[1:]),))
        return Step.covers(self.window)

    def broken(self, ask: Ask, detail: str, habits: Habits) -> Step:
        """What cannot be asked as a whole is parted."""
        return Step(tasks=self.parts)

    def refused(self, ask: Ask, detail: str, habits: Habits) -> Step:
        """Ask for fewer kinds at once; where even one is too many, the EOSE for all kinds is what counts."""
        if groups := halved(self.groups):
            return Step(tasks=(replace(self, groups=groups),))
        return unconfirmed(self.window, len(self.seen), detail, habits)


def _confirmed(window: Interval, ids: frozenset[str], halves: tuple[Split, ...], habits: Habits) -> Step:
    """Whole and halves agree on `ids`; whether anything is hidden there is asked where that matters."""
    if habits.keeps_back or window.seconds > LARGE_WINDOW:
        return Step(tasks=(Readable(window, ids, halves),))
    return Step.covers(window)


def _may_have_arrived(lacking: frozenset[str], held: frozenset[str], answers: int) -> bool:
    """Whether what an answer is `lacking` of what is `held` may have come to the relay since, so many answers ago.

    Of the older half of a window that is split, the whole was asked for before all of the newer half was.
    """
    return len(lacking) <= max(LEAST_CAP, 1 + len(held) // TOLERATED_SHARE) + answers


def _within(window: Interval, seen: Seen) -> frozenset[str]:
    """The ids of the events of an answer that lie in a part of what was asked for."""
    return frozenset(event.id for event in seen.events if event.created_at in window)


def _are_same(older: Seen, newer: Seen) -> bool:
    """The same things were rejected in either half; a few may lie in the spare seconds between them."""
    common = len(older.rejected_ids & newer.rejected_ids)
    return common > SPARE and 2 * common >= min(len(older.rejected_ids), len(newer.rejected_ids))


def _useless(ask: Ask, answer: Answer, inside: int) -> Unproven | None:
    """Why no answer for a part of this window can show what is in it."""
    if len(answer.newer(ask)) > inside:
        return Unproven.UNTIL_IGNORED
    if len(answer.older(ask)) > inside:
        return Unproven.SINCE_IGNORED
    return None


def unconfirmed(window: Interval, held: int, detail: str, habits: Habits) -> Step:
    """The relay does not answer for kinds. Its EOSE is what counts then, unless it is known to hide events."""
    if habits.hides:
        return Step.gives_up(Gap(window, Unproven.REFUSED, held, detail))
    return Step.covers(window)


def cut_in_two(window: Interval, seen: Seen | None = None) -> tuple[Interval, Interval]:
    """The older and the newer half of a window of at least two seconds, parted at the median of what came."""
    times = sorted((*(event.created_at for event in seen.events), *seen.claimed)) if seen is not None else []
    middle = times[len(times) // 2] if times else (window.since + window.until) // 2
    middle = min(max(middle, window.since), window.until - 1)
    return Interval(window.since, middle), Interval(middle + 1, window.until)
