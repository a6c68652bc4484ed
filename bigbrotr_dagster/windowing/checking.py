"""Did a cut answer really hold the newest events of its window? Ask for its newest part alone, and compare.

A relay that cuts at the old end sends exactly those events again. One that sends its oldest events, or any,
has more to send there, and from then on its windows are split.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bigbrotr_dagster.windowing.cuts import BY_CHANCE, TELLING
from bigbrotr_dagster.windowing.doubt import Doubt
from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.intervals import Interval
from bigbrotr_dagster.windowing.splitting import Split
from bigbrotr_dagster.windowing.tasks import TOLERATED_SHARE, Answer, Ask, Stamped, Step, Unproven

AUTHORS_TRIED = 3


@dataclass(frozen=True, slots=True)
class Check:
    """Seconds `proved` if the relay, asked for `slice`, sends exactly that part of `page` again.

    A relay that ignores `since` may answer for `slice` with what it has sent anyway. So `authors` narrows the ask
    until the answer has room for what should not be there. `doubt`: that it minds `since`. `page` is the whole
    answer, from `since` on; `fresh` came on top of what was expected. If that has only just arrived at the relay,
    it takes the place of the oldest events when the page is asked for again. `rejected`: what came in the page,
    and was no event.
    """

    proved: Interval
    slice: Interval
    since: int
    page: tuple[Stamped, ...]
    authors: tuple[str, ...] = ()
    doubt: Doubt | None = None
    fresh: tuple[Stamped, ...] = ()
    rejected: frozenset[object] = frozenset()

    @classmethod
    def of(
        cls, proved: Interval, since: int, events: Sequence[Stamped], first: bool, rejected: frozenset[object]
    ) -> "Check":
        """The check of an answer by its newest eighth, or its newest 32nd once a check was passed."""
        newest_first = sorted((event.created_at for event in events), reverse=True)
        start = max(newest_first[len(events) // (8 if first else 32)], proved.since)
        return cls(proved, Interval(start, proved.until), since, tuple(events), rejected=rejected)

    def ask(self, limit: int, habits: Habits) -> Ask:
        """The newest part of the page; the whole page again once something new was seen in that."""
        if self.fresh:
            return Ask(*habits.bounds(self._whole), limit)
        return Ask(*habits.bounds(self.slice), limit, authors=self.authors[:1] or None)

    def answered(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        """Cover the page where exactly its newest part came; else split it, and trust no page."""
        if self.fresh:
            if self._makes_room(answer):
                return self._passed(habits)
            _note_cut(self._whole, (*self.page, *self.fresh), ask, answer, habits)
            return self._failed(habits)
        expected = {event.id for event in self._expected if ask.authors is None or event.pubkey in ask.authors}
        inside = answer.inside(self.slice)
        fresh = tuple(event for event in inside if event.id not in expected)
        if fresh:
            return Step(tasks=(replace(self, fresh=fresh),)) if len(self.page) >= TELLING else self._failed(habits)
        # Whatever the cap is; from now on the bounds are exact. One event above says nothing: see `Habits.learn`.
        if _above(answer, ask) != 1 and habits.note_spare(answer, self.slice, ask):
            return Step(tasks=(self,))
        if len(expected - {event.id for event in inside}) > 1 + len(expected) // TOLERATED_SHARE:
            return self._failed(habits)
        if self._is_hidden_by_rubbish(ask, answer, habits):
            return self._failed(habits)
        return self._minds_since(ask, answer, habits)

    @property
    def _expected(self) -> list[Stamped]:
        return [event for event in self.page if event.created_at in self.slice]

    @property
    def _whole(self) -> Interval:
        return Interval(self.since, self.proved.until)

    def _makes_room(self, answer: Answer) -> bool:
        """Whether the page now holds all that is `fresh`, and for that its oldest events have gone, no others."""
        inside = answer.inside(self._whole)
        came = {event.id for event in inside}
        gone = [event.created_at for event in self.page if event.id not in came]
        if not gone or any(event.id not in came for event in self.fresh):
            return False
        return max(gone) <= min(event.created_at for event in inside)

    def _is_hidden_by_rubbish(self, ask: Ask, answer: Answer, habits: Habits) -> bool:
        """What is no event, and was not in the page, fills the answer: in place of what should not be there."""
        return len(answer.refused_ids - self.rejected) > BY_CHANCE and habits.may_be_cut(answer.size, ask.limit)

    def _minds_since(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        size = answer.size + len(answer.older(ask))
        if not answer.older(ask) or size > habits.fullest or not habits.may_be_cut(size, ask.limit):
            return self._passed(habits)
        doubt = Doubt.of(Unproven.SINCE_IGNORED, answer, ask, habits, self.doubt)
        if doubt is None:
            return self._passed(habits)
        if not doubt.is_certain:
            return Step(tasks=(replace(self, doubt=doubt),))
        left = self.authors[1:] if self.authors else self._candidates()
        return Step(tasks=(replace(self, authors=left, doubt=None),)) if left else self._failed(habits)

    def _passed(self, habits: Habits) -> Step:
        habits.note_checked(len(self.page))
        return Step.covers(self.proved)

    def _failed(self, habits: Habits) -> Step:
        habits.distrust()
        return Step(tasks=(Split(self.proved),))

    def broken(self, ask: Ask, detail: str, habits: Habits) -> Step:
        """What cannot be checked is split."""
        return Step(tasks=(Split(self.proved),))

    refused = broken

    def _candidates(self) -> tuple[str, ...]:
        """Authors whose events may be few enough for one answer, and many enough to tell something."""
        busiest = [author for author, _ in Counter(event.pubkey for event in self._expected).most_common()]
        return tuple(busiest[len(busiest) // 2 :][:AUTHORS_TRIED])


def _note_cut(asked: Interval, held: Sequence[Stamped], ask: Ask, answer: Answer, habits: Habits) -> None:
    """Learn how long the answer was, if it lacks events that the relay has sent before: it was cut there."""
    known = {event.id for event in held if event.created_at in asked}
    if len(known - {event.id for event in answer.inside(asked)}) > 1 + len(known) // TOLERATED_SHARE:
        habits.note_cut(answer.room_at_most(ask, habits), ask.limit)


def _above(answer: Answer, ask: Ask) -> int:
    """Events of the last second that was asked for: a relay can send one, whatever it holds there."""
    return sum(event.created_at == ask.until for event in answer.events)
