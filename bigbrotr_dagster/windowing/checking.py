"""Did a cut answer really hold the newest events of its window? Ask for its newest part alone, and compare.

A relay that cuts at the old end sends exactly those events again. One that sends its oldest events, or any,
has more to send there, and from then on its windows are split.
"""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from bigbrotr_dagster.windowing.doubt import Doubt
from bigbrotr_dagster.windowing.habits import Habits, Order
from bigbrotr_dagster.windowing.intervals import Interval
from bigbrotr_dagster.windowing.splitting import Split
from bigbrotr_dagster.windowing.tasks import Answer, Ask, Stamped, Step, Unproven

TOLERATED_SHARE = 50
"""One event in so many may be gone from a second answer (deleted, replaced) without any doubt."""

AUTHORS_TRIED = 3


@dataclass(frozen=True, slots=True)
class Check:
    """Seconds `proved` if the relay, asked for `slice`, sends exactly `expected` (ids to authors) again.

    A relay that ignores `since` may answer for `slice` with what it has sent anyway. So `authors` narrows the ask
    until the answer has room for what should not be there. `doubt`: that it minds `since`. `fresh` (ids) came on
    top of what was expected: if they have only just arrived at the relay, they are now in the whole answer, too.
    """

    proved: Interval
    slice: Interval
    expected: Mapping[str, str]
    authors: tuple[str, ...] = ()
    doubt: Doubt | None = None
    fresh: frozenset[str] = frozenset()

    @classmethod
    def of(cls, proved: Interval, events: Sequence[Stamped], first: bool) -> "Check":
        """The check of an answer by its newest eighth, or its newest 32nd once a check was passed."""
        newest_first = sorted((event.created_at for event in events), reverse=True)
        since = max(newest_first[len(events) // (8 if first else 32)], proved.since)
        expected = {event.id: event.pubkey for event in events if event.created_at >= since}
        return cls(proved, Interval(since, proved.until), expected)

    def ask(self, limit: int, habits: Habits) -> Ask:
        if self.fresh:
            return Ask(*habits.bounds(self.proved), limit)
        return Ask(*habits.bounds(self.slice), limit, authors=self.authors[:1] or None)

    def answered(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        answer.teach(habits, ask)
        if self.fresh:
            return self._asked_again(answer, habits)
        if answer.crowds(self.slice, ask, habits):  # whatever the cap is; from now on the bounds are exact
            return Step(tasks=(self,))
        came = frozenset(event.id for event in answer.inside(self.slice))
        expected = {id for id, author in self.expected.items() if ask.authors is None or author in ask.authors}
        if not _has_nearly(expected, came):
            return self.failed(habits)
        if not came <= expected:
            return Step(tasks=(replace(self, fresh=came - expected),))
        size = answer.size + len(answer.older(ask))
        if answer.older(ask) and size <= habits.largest and habits.may_be_cut(size, ask.limit):
            doubt = Doubt.of(Unproven.SINCE_IGNORED, answer, ask, habits, self.doubt)
            if doubt is not None and not doubt.is_certain:
                return Step(tasks=(replace(self, doubt=doubt),))
            if doubt is None:
                return Step.covers(self.proved)
            left = self.authors[1:] if self.authors else self._candidates()
            return Step(tasks=(replace(self, authors=left, doubt=None),)) if left else self.failed(habits)
        return Step.covers(self.proved)

    def _asked_again(self, answer: Answer, habits: Habits) -> Step:
        came = frozenset(event.id for event in answer.events)
        is_newest_first = self.fresh <= came and _has_nearly(frozenset(self.expected), came)
        return Step.covers(self.proved) if is_newest_first else self.failed(habits)

    def failed(self, habits: Habits) -> Step:
        habits.order = Order.UNTRUSTED
        return Step(tasks=(Split(self.proved),))

    def broken(self, ask: Ask, detail: str, habits: Habits) -> Step:
        return Step(tasks=(Split(self.proved),))

    def _candidates(self) -> tuple[str, ...]:
        """Authors whose events may be few enough for one answer, and many enough to tell something."""
        busiest = [author for author, _ in Counter(self.expected.values()).most_common()]
        return tuple(busiest[len(busiest) // 2 :][:AUTHORS_TRIED])


def _has_nearly(expected: Set[str], came: Set[str]) -> bool:
    return len(expected - came) <= 1 + len(expected) // TOLERATED_SHARE
