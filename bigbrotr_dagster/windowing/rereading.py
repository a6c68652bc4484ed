"""A look at old seconds that are proved already: relays get old events at any time. Cheap, and no proof.

One request for the newest events of a window, whatever the window's length: so what it costs is bounded however
the relay's events are spread over the years. How far down it reached is where the next look goes on.
"""

from dataclasses import dataclass, replace

from bigbrotr_dagster.windowing.habits import Habits, Order
from bigbrotr_dagster.windowing.intervals import Interval
from bigbrotr_dagster.windowing.rungs import SHORT_WINDOW
from bigbrotr_dagster.windowing.tasks import Answer, Ask, Proof, Step

MOST_EVENTS = 200
"""Events that one look asks for."""


@dataclass(frozen=True, slots=True)
class Reread:
    """The newest events of `window`, at most `most` of them."""

    window: Interval
    most: int = MOST_EVENTS

    def ask(self, limit: int, habits: Habits) -> Ask:
        return Ask(*habits.bounds(self._asking(habits)), min(limit, self.most))

    def answered(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        asked = self._asking(habits)
        times = [event.created_at for event in answer.inside(asked)]
        is_cut = habits.may_be_cut(answer.counted(ask, habits), ask.limit)
        if not is_cut or not times or habits.order is Order.UNTRUSTED:  # that does not tell how far down it went
            return Step(Proof(reread=asked))
        # The oldest second may be cut: the next look begins with it, unless that would not get any further.
        lowest = min(min(times) + 1, asked.until)
        return Step(Proof(reread=Interval(lowest, asked.until)))

    def broken(self, ask: Ask, detail: str, habits: Habits) -> Step:
        """The answer was more than we take: ask for fewer events, and in the end pass over what was asked for."""
        if self.most > 1:
            return Step(tasks=(replace(self, most=ask.limit // 2 or 1),))
        return Step(Proof(reread=self._asking(habits)))

    def _asking(self, habits: Habits) -> Interval:
        longest = SHORT_WINDOW - 2 if habits.rung.shortens else self.window.seconds
        return Interval(max(self.window.since, self.window.until - longest + 1), self.window.until)
