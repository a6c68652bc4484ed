"""Newest-first paging: the cheap way through a window, for relays that cut their answers at the old end.

An answer proves the seconds *above* its oldest event: a relay that sends the newest events of the window
sent all of those. The oldest second itself may be cut anywhere (ties come in any order), so the next ask
ends *at* that second, and what it repeats is known by id. The window is done when an answer brings nothing
new although it had room for more.

So each event is transferred once, apart from those of the boundary seconds; and one request beyond the full
pages is the proof that nothing is left, whatever the relay's cap is.

What a relay sends in place of events uses up its room, too. Where only such things come, see `sifting`.
"""

from dataclasses import dataclass, replace

from bigbrotr_dagster.windowing.checking import Check
from bigbrotr_dagster.windowing.cuts import Order
from bigbrotr_dagster.windowing.doubt import Doubt
from bigbrotr_dagster.windowing.habits import MOST_REJECTIONS, Habits
from bigbrotr_dagster.windowing.intervals import Interval
from bigbrotr_dagster.windowing.kinds import LARGE_WINDOW, READABLE_KINDS, Kinds, halved
from bigbrotr_dagster.windowing.outcome import Hint
from bigbrotr_dagster.windowing.oversized import Oversized
from bigbrotr_dagster.windowing.saturated import Agree, Saturated
from bigbrotr_dagster.windowing.sifting import Sift
from bigbrotr_dagster.windowing.splitting import Split, unconfirmed
from bigbrotr_dagster.windowing.tasks import (
    Answer,
    Ask,
    Gap,
    Proof,
    Stamped,
    Step,
    Task,
    Unproven,
)


@dataclass(frozen=True, slots=True)
class Page:
    """All of `window`, which continues an answer of `came` events, if the relay cut it and not our `limit`.

    `boundary` holds the ids that were delivered of the window's newest second. `most` is the `limit` to ask for,
    where a longer answer was more than we take; `broke`: even that was, once. `doubt`: that the window can
    be proved at all.
    """

    window: Interval
    boundary: frozenset[str] = frozenset()
    came: int = 0
    most: int | None = None
    broke: bool = False
    doubt: Doubt | None = None

    def ask(self, limit: int, habits: Habits) -> Ask:
        """The newest events of the window."""
        return Ask(*habits.bounds(self.window), min(limit, self.most or limit))

    def answered(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        """Cover what lies above the oldest event that came, and page on at its second, unless that is in doubt."""
        if answer.outcome.hint is Hint.FINISH:
            return Step.covers(self.window)
        inside = answer.inside(self.window)
        if self.boundary and any(event.id not in self.boundary for event in inside):
            habits.note_cut(self.came, ask.limit)
        if habits.order is Order.UNTRUSTED:
            return Step(tasks=(Split(self.window),))
        if self._is_in_part(ask, inside):
            habits.note_until_exclusive()
            return Step(tasks=(self,))
        if all(event.id in self.boundary for event in inside):
            doubted = self._doubted(ask, answer, inside, habits)
            if doubted is not None:
                return doubted
        if not inside and habits.note_spare(answer, self.window, ask):  # by spare seconds, not asked for again
            return Step(tasks=(self,))
        goes_on = any(event.created_at < self.window.until for event in inside)
        if not goes_on and answer.is_cut_by_rejected(ask, habits):
            return self._cut_by_rejected(ask, answer, inside, habits)
        if inside:
            return self._some(ask, answer, inside, habits)
        if answer.older(ask) and not habits.cut_pages:  # newest first, nothing is left; if this relay does that
            return Step(tasks=(Split(self.window),))
        return self._end(ask, answer, habits)

    def _is_in_part(self, ask: Ask, inside: list[Stamped]) -> bool:
        """Older events came, though not all of the newest second that are known: `until` is not inclusive."""
        if ask.until != self.window.until or not any(event.created_at < self.window.until for event in inside):
            return False
        return not self.boundary <= {event.id for event in inside}

    def _doubted(self, ask: Ask, answer: Answer, inside: list[Stamped], habits: Habits) -> Step | None:
        """Nothing came but what lies above `until`: ask again until it is clear that the relay ignores that."""
        doubt = Doubt.of(Unproven.UNTIL_IGNORED, answer, ask, habits, self.doubt)
        if doubt is None:
            return None
        is_cut_above = not self.boundary <= {event.id for event in inside}
        if not is_cut_above and habits.fell_short(answer.counted(ask, habits), ask.limit):
            return None
        return self._until_ignored(inside) if doubt.is_certain else Step(tasks=(replace(self, doubt=doubt),))

    def _cut_by_rejected(self, ask: Ask, answer: Answer, inside: list[Stamped], habits: Habits) -> Step:
        """What was rejected may have filled the answer before anything came from below the newest second."""
        newest = self.window.until
        if self.window.seconds == 1:
            return Step(tasks=(Saturated.of(newest, inside, answer.size, ask.limit),))
        if inside:
            ids = frozenset(event.id for event in inside)
            second = Page(Interval(newest, newest), self.boundary | ids, most=self.most)
            return Step(tasks=(second, *below(self.window)))  # by then more is known of the relay's cap
        if habits.rejections >= MOST_REJECTIONS:
            return Step.gives_up(Gap(self.window, Unproven.ALL_REJECTED))
        return Step(tasks=(Sift.within(self.window, Page, answer),))

    def _some(self, ask: Ask, answer: Answer, inside: list[Stamped], habits: Habits) -> Step:
        if any(event.created_at < self.window.since for event in answer.events):
            return self._proves(self.window, inside, ask, answer, habits)  # newest first, all of it came before
        newest, oldest = self.window.until, min(event.created_at for event in inside)
        ids = frozenset(event.id for event in inside if event.created_at == oldest)
        if oldest < newest:
            most = None if self.most is None else max(2 * self.most, len(ids) + 1)
            rest = Page(Interval(self.window.since, oldest), ids, _came(ask, answer), most=most)
            return self._proves(Interval(oldest + 1, newest), inside, ask, answer, habits, rest)
        if habits.is_full(answer.size, ask.limit):  # a whole answer out of one second: paging cannot get past it
            if self.most is not None and answer.size >= ask.limit == self.most:  # no cap but ours
                if self.window.seconds > 1:
                    return Step(tasks=self._apart(2 * self.most))
                return Step(tasks=(Page(self.window, self.boundary | ids, most=2 * self.most, broke=self.broke),))
            return Step(tasks=(*below(self.window), Saturated.of(newest, inside, answer.size, ask.limit)))
        if ids <= self.boundary:
            return self._end(ask, answer, habits)
        return Step(tasks=(Page(self.window, self.boundary | ids, answer.size, most=self.most),))

    def broken(self, ask: Ask, detail: str, habits: Habits) -> Step:
        """The answer was more than we take: ask for fewer events, so that what is too large comes alone."""
        if self.window.seconds == 1:
            if self.broke:
                return Step.gives_up(Gap(self.window, Unproven.OVERSIZED, detail=detail))
            return Step(tasks=(replace(self, most=len(self.boundary) + 1, broke=True),))
        fewer = ask.limit // 2
        if fewer > len(self.boundary):
            return Step(tasks=(replace(self, most=fewer),))
        if self.boundary:
            return Step(tasks=self._apart(1))
        return Step(tasks=(Oversized.within(self.window, Page),))

    def _apart(self, most: int) -> tuple["Page", ...]:
        """The newest second by itself, with room for one event more than is known, and the rest of the window."""
        second = Page(
            Interval(self.window.until, self.window.until), self.boundary, self.came, len(self.boundary) + 1
        )
        return (*(replace(page, most=most) for page in below(self.window)), second)

    def _proves(
        self,
        proved: Interval,
        inside: list[Stamped],
        ask: Ask,
        answer: Answer,
        habits: Habits,
        *rest: "Page",
    ) -> Step:
        """The answer covers `proved` if it was cut at its old end, which is checked now and then."""
        if habits.may_be_cut(answer.size, ask.limit) or habits.cut_pages == 0:
            habits.note_cut_page()
            times = [event.created_at for event in answer.events]
            if habits.wants_check() or times != sorted(times, reverse=True):
                return Step(
                    tasks=(
                        *rest,
                        Check.of(proved, self.window.since, inside, habits.cut_pages == 1, answer.refused_ids),
                    )
                )
        return Step.covers(proved, *rest)

    def _end(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        """Nothing came but `boundary`, and nothing says that more was cut."""
        came = max(answer.size, len(self.boundary))
        if habits.keeps_back:
            return Step(tasks=(Confirm(self.window, self.boundary, came, entirely=True),))
        if self.boundary and habits.varies:
            return Step(tasks=(*below(self.window), Agree(self.window.until, self.boundary)))
        if self.window.seconds > LARGE_WINDOW:
            return Step(tasks=(Confirm(self.window, self.boundary, came),))
        if self.boundary and self.window.seconds > 1 and not habits.had_room(came, ask.limit):
            return Step(tasks=(Confirm(self.window, self.boundary, came, groups=(None,)),))
        return Step.covers(self.window)

    def _until_ignored(self, inside: list[Stamped]) -> Step:
        """The relay always sends its newest events, so what they do not reach cannot be had."""
        oldest = min((event.created_at for event in inside), default=self.window.until)
        held = sum(event.created_at == oldest for event in inside)
        gap = Gap(Interval(self.window.since, oldest), Unproven.UNTIL_IGNORED, held)
        covered = (Interval(oldest + 1, self.window.until),) if oldest < self.window.until else ()
        return Step(Proof(covered, (gap,)))


@dataclass(frozen=True, slots=True)
class Confirm:
    """Is there really nothing more in `window` than `boundary` (ids, at its newest second)?

    Ask below that second, for kinds that no relay has a reason to keep back: some count their limit first and
    remove what is not for everybody then, so that an answer can be empty although older events exist
    (relays.md, strfry). The busiest kinds tell; of a relay that is known to do so, all `groups` are asked for.
    It also finds out a cap so small that the boundary filled it; where that is all that is to be found out, the
    one group is None, all kinds. `came`: messages of the answer that held no more than the boundary. `entirely`:
    the boundary second is asked for, too, for what is hidden may have cut it. `most`, `doubt`: see `Page`.
    """

    window: Interval
    boundary: frozenset[str]
    came: int
    groups: tuple[Kinds | None, ...] = READABLE_KINDS
    entirely: bool = False
    most: int | None = None
    doubt: Doubt | None = None

    @property
    def _asking(self) -> Interval:
        return self.window if self.entirely else self._below

    @property
    def _below(self) -> Interval:
        """Only of a window of at least two seconds, where there is a boundary."""
        return Interval(self.window.since, self.window.until - 1) if self.boundary else self.window

    @property
    def _not_asked(self) -> tuple[Page, ...]:
        return () if self.entirely else self._boundary_second

    @property
    def _boundary_second(self) -> tuple[Page, ...]:
        if not self.boundary:
            return ()
        second = Interval(self.window.until, self.window.until)
        return (Page(second, self.boundary, len(self.boundary)),)

    def ask(self, limit: int, habits: Habits) -> Ask:
        """What lies below the boundary second, of the first of the `groups` of kinds."""
        return Ask(*habits.bounds(self._asking), min(limit, self.most or limit), self.groups[0])

    def broken(self, ask: Ask, detail: str, habits: Habits) -> Step:
        """The answer was more than we take: see `Page`; only whether there is anything matters here."""
        if ask.limit > 1:
            return Step(tasks=(replace(self, most=1),))
        if self._asking.seconds == 1:
            return Step(tasks=(Saturated.of(self._asking.until, (), self.came, ask.limit), *self._not_asked))
        return Step(tasks=(Oversized.within(self._asking, Page, self.groups[0]), *self._not_asked))

    def answered(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        """Cover the window where nothing came for any group that has to be asked; else page on from what came."""
        fresh = [event for event in answer.inside(self._asking) if event.id not in self.boundary]
        doubt = Doubt.of(Unproven.UNTIL_IGNORED, answer, ask, habits, self.doubt)
        if doubt is not None and not habits.fell_short(answer.counted(ask, habits), ask.limit):
            if doubt.is_certain:
                return Step.gives_up(Gap(self.window, Unproven.UNTIL_IGNORED, len(fresh)))
            return Step(tasks=(replace(self, doubt=doubt),))
        if fresh:
            return self._contradicted(ask, answer, fresh, habits)
        if self.boundary and (more := self._more_of_the_boundary(answer)):  # by a spare second
            habits.note_cut(self.came, ask.limit)
            second = Interval(self.window.until, self.window.until)
            return Step(tasks=(*below(self.window), Page(second, self.boundary | more, len(self.boundary))))
        if habits.note_spare(answer, self._asking, ask):
            return Step(tasks=(self,))
        if answer.is_cut_by_rejected(ask, habits):
            return Step(tasks=(Split(self._asking), *self._not_asked))
        if self.entirely and habits.may_be_cut(answer.room(ask, habits), ask.limit):
            return self._crowded(ask, answer)
        if habits.hides and len(self.groups) > 1:
            return Step(tasks=(replace(self, groups=self.groups[1:], doubt=None),))
        if habits.hides and not self.entirely:  # which was found out meanwhile
            return Step(tasks=(replace(self, groups=READABLE_KINDS, entirely=True, doubt=None),))
        return Step.covers(self.window)

    def refused(self, ask: Ask, detail: str, habits: Habits) -> Step:
        """Ask for fewer kinds at once; where even one is too many, the EOSE for all kinds is what counts."""
        if groups := halved(self.groups):  # too many kinds, it may be
            return Step(tasks=(replace(self, groups=groups),))
        return unconfirmed(self.window, len(self.boundary), detail, habits)

    def _more_of_the_boundary(self, answer: Answer) -> frozenset[str]:
        newest = [event.id for event in answer.events if event.created_at == self.window.until]
        return frozenset(newest) - self.boundary

    def _crowded(self, ask: Ask, answer: Answer) -> Step:
        """The newest second holds more than an answer for all kinds shows: narrow it, and page on below."""
        second = self.window.until
        here = answer.inside(Interval(second, second))
        return Step(tasks=(*below(self.window), Saturated.of(second, here, answer.size, ask.limit)))

    def _contradicted(self, ask: Ask, answer: Answer, fresh: list[Stamped], habits: Habits) -> Step:
        """There is more: page on from there, and look carefully at what lies between."""
        newest = max(event.created_at for event in fresh)
        if self.boundary and habits.keeps_back and not habits.varies and self.came < habits.largest:
            habits.note_hiding()  # and not a cap, for there have been longer answers
        if self.boundary and newest == self.window.until:
            return self._crowded(ask, answer)
        rest: tuple[Task, ...] = (Page(Interval(self.window.since, newest)),)
        between = (Split(Interval(newest + 1, self._below.until)),) if newest < self._below.until else ()
        if self.boundary:
            habits.note_cut(self.came, ask.limit)
            return Step(tasks=(*rest, *between, *self._boundary_second))
        habits.note_hiding()
        if not between:  # what is hidden in this very second fills the answers: step past it
            rest = (*below(self.window), Split(Interval(newest, newest)))
        return Step(tasks=(*rest, *between))


def _came(ask: Ask, answer: Answer) -> int:
    """The size of an answer, if no `limit` of ours was the end of it."""
    return answer.size if answer.size < ask.limit else 0


def below(window: Interval) -> tuple[Page, ...]:
    """The rest of a window below its newest second."""
    return (Page(Interval(window.since, window.until - 1)),) if window.seconds > 1 else ()
