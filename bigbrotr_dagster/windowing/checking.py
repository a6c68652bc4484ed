"""Did a cut answer really hold the newest events of its window? Ask for its newest part alone, and compare.

A relay that cuts at the old end sends exactly those events again. One that sends its oldest events, or any,
has more to send there, and from then on its windows are split.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bigbrotr_dagster.windowing.habits import Habits, Order
from bigbrotr_dagster.windowing.intervals import Interval
from bigbrotr_dagster.windowing.splitting import Split
from bigbrotr_dagster.windowing.tasks import Answer, Ask, Stamped, Step

TOLERATED_SHARE = 50
"""One event in so many may be gone from a second answer (deleted, replaced) without any doubt."""


@dataclass(frozen=True, slots=True)
class Check:
    """Seconds `proved` if the relay, asked for `slice`, sends exactly `expected` (ids) again."""

    proved: Interval
    slice: Interval
    expected: frozenset[str]

    @classmethod
    def of(cls, proved: Interval, events: Sequence[Stamped], first: bool) -> "Check":
        """The check of an answer by its newest eighth, or its newest 32nd once a check was passed."""
        newest_first = sorted((event.created_at for event in events), reverse=True)
        since = max(newest_first[len(events) // (8 if first else 32)], proved.since)
        expected = frozenset(event.id for event in events if event.created_at >= since)
        return cls(proved, Interval(since, proved.until), expected)

    def ask(self, limit: int, habits: Habits) -> Ask:
        return Ask(*habits.bounds(self.slice), limit)

    def answered(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        answer.teach(habits, ask)
        if answer.is_crowded(self.slice):  # whatever the cap is; from now on the bounds are exact
            return Step(tasks=(self,))
        came = frozenset(event.id for event in answer.inside(self.slice))
        if came <= self.expected and len(self.expected - came) <= 1 + len(self.expected) // TOLERATED_SHARE:
            return Step.covers(self.proved)
        habits.order = Order.UNTRUSTED
        return Step(tasks=(Split(self.proved),))
