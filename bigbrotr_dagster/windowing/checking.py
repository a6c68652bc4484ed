"""Did a cut answer really hold the newest events of its window? Ask for its newest part alone, and compare.

A relay that cuts at the old end sends exactly those events again. One that sends its oldest events, or any,
has more to send there, and from then on its windows are split.
"""

from collections import Counter
from collections.abc import Sequence
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
    """Seconds `proved`, where `page` came, if the relay, asked for `slice`, sends exactly its part of that again.

    A relay that ignores `since` may answer for `slice` with what it has sent anyway. So `authors` narrows the ask
    until the answer has room for what should not be there. `doubt`: that it minds `since`. `fresh` came on top of
    what was expected: if it has only just arrived at the relay, the whole answer now has it, too.
    """

    proved: Interval
    slice: Interval
    page: tuple[Stamped, ...]
    authors: tuple[str, ...] = ()
    doubt: Doubt | None = None
    fresh: tuple[Stamped, ...] = ()

    @classmethod
    def of(cls, proved: Interval, events: Sequence[Stamped], first: bool) -> "Check":
        """The check of an answer by its newest eighth, or its newest 32nd once a check was passed."""
        newest_first = sorted((event.created_at for event in events), reverse=True)
        since = max(newest_first[len(events) // (8 if first else 32)], proved.since)
        page = tuple(event for event in events if event.created_at in proved)
        return cls(proved, Interval(since, proved.until), page)

    def ask(self, limit: int, habits: Habits) -> Ask:
        if self.fresh:
            return Ask(*habits.bounds(self.proved), limit)
        return Ask(*habits.bounds(self.slice), limit, authors=self.authors[:1] or None)

    def answered(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        answer.teach(habits, ask)
        if self.fresh:
            return self._passed(habits) if self._holds_all_newest(answer) else self._failed(habits)
        if answer.crowds(self.slice, ask, habits):  # whatever the cap is; from now on the bounds are exact
            return Step(tasks=(self,))
        expected = {event.id for event in self._expected if ask.authors is None or event.pubkey in ask.authors}
        inside = answer.inside(self.slice)
        tolerated = 1 + len(expected) // TOLERATED_SHARE
        if len(expected - {event.id for event in inside}) > tolerated:
            return self._failed(habits)
        fresh = tuple(event for event in inside if event.id not in expected)
        if fresh:
            # A relay that cuts at the new end has no room for them, if the page goes on below the slice.
            has_more = len(self.page) - len(self._expected) > tolerated
            return Step(tasks=(replace(self, fresh=fresh),)) if has_more else self._failed(habits)
        return self._minds_since(ask, answer, habits)

    @property
    def _expected(self) -> list[Stamped]:
        return [event for event in self.page if event.created_at in self.slice]

    def _holds_all_newest(self, answer: Answer) -> bool:
        """Whether the answer to the whole holds all that is known down to its oldest event, with `fresh`."""
        inside = answer.inside(self.proved)
        came = {event.id for event in inside}
        oldest = min((event.created_at for event in inside), default=self.proved.until)
        newest = {event.id for event in self.page if event.created_at > oldest}
        return newest | {event.id for event in self.fresh} <= came

    def _minds_since(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        size = answer.size + len(answer.older(ask))
        if not answer.older(ask) or size > habits.largest or not habits.may_be_cut(size, ask.limit):
            return self._passed(habits)
        doubt = Doubt.of(Unproven.SINCE_IGNORED, answer, ask, habits, self.doubt)
        if doubt is None:
            return self._passed(habits)
        if not doubt.is_certain:
            return Step(tasks=(replace(self, doubt=doubt),))
        left = self.authors[1:] if self.authors else self._candidates()
        return Step(tasks=(replace(self, authors=left, doubt=None),)) if left else self._failed(habits)

    def _passed(self, habits: Habits) -> Step:
        habits.is_checked = True
        return Step.covers(self.proved)

    def _failed(self, habits: Habits) -> Step:
        habits.order = Order.UNTRUSTED
        return Step(tasks=(Split(self.proved),))

    def broken(self, ask: Ask, detail: str, habits: Habits) -> Step:
        return Step(tasks=(Split(self.proved),))

    def _candidates(self) -> tuple[str, ...]:
        """Authors whose events may be few enough for one answer, and many enough to tell something."""
        busiest = [author for author, _ in Counter(event.pubkey for event in self._expected).most_common()]
        return tuple(busiest[len(busiest) // 2 :][:AUTHORS_TRIED])
