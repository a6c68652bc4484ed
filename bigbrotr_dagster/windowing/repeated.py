"""Is what was rejected in place of events, or on top of them? What is in their place comes again.

An answer that may have been cut by what was rejected is asked for once more, a few times. Where the same comes
again, the relay holds it, and it took up room. What does not come each time was strewn in, and took none.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bigbrotr_dagster.windowing.cuts import BY_CHANCE, Order
from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.tasks import Answer, Ask, Step, Task

MOST_TIMES = 6
"""Times that one ask is repeated while what is rejected is never the same."""

SAME_TIMES = 2
"""As many are enough where something came again; rubbish may look alike by chance."""

IN_VAIN = 4
"""Asks that were repeated for nothing, after which none is until answers come without anything rejected."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """A `task` whose ask was answered so many `times`, the last time by `before`; `came`: what they held."""

    task: Task
    before: Answer | None = None
    times: int = 0
    came: tuple[frozenset[object], ...] = ()

    def ask(self, limit: int, habits: Habits) -> Ask:
        """What the task asks."""
        return self.task.ask(limit, habits)

    def answered(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        """Ask once more where that may tell; else hand the task its answer, without what was strewn on top."""
        taken = self._without_strewn(answer)
        if not ask.is_larger:
            habits.note_in_place(len(answer.events) + len(self._again(answer)))
        came = (*self.came, _held(answer)) if answer.refused or self.came else ()
        if len(came) > 2:  # of two answers none shows what the other lacks and the relay surely holds
            _note_cuts(came, ask.limit, habits)
        if taken.refused == 0:
            habits.note_repeated(in_vain=False)
        elif taken.is_cut_by_rejected(ask, habits):  # it matters where the relay has that from
            if self._may_tell(answer, habits):
                return Step(tasks=(Repeated(self.task, taken, self.times + 1, came),))
            habits.note_repeated(in_vain=True)
        return self.task.answered(ask, taken, habits)

    def _may_tell(self, answer: Answer, habits: Habits) -> bool:
        """Whether asking again may tell. Of a relay that sends any part of what it holds it does not."""
        most = SAME_TIMES if self._again(answer) else MOST_TIMES
        return habits.order is Order.NEWEST_FIRST and habits.in_vain < IN_VAIN and self.times < most

    def _again(self, answer: Answer) -> frozenset[object]:
        """What was rejected, and had come before."""
        return frozenset() if self.before is None else answer.refused_ids & self.before.refused_ids

    def _without_strewn(self, answer: Answer) -> Answer:
        """The answer with as few rejected as came in any with the same events.

        Whatever filled up the relay's room fills it up each time, even if ties come in another order.
        """
        if self.before is None or _ids(answer) != _ids(self.before):
            return answer
        return replace(answer, refused=min(answer.refused, self.before.refused))


def _ids(answer: Answer) -> set[str]:
    return {event.id for event in answer.events}


def _held(answer: Answer) -> frozenset[object]:
    return answer.refused_ids | {event.id for event in answer.events}


def _note_cuts(came: Sequence[frozenset[object]], limit: int, habits: Habits) -> None:
    """Learn where those answers to one ask ended that lack what came in two others, for the relay holds that."""
    *earlier, _ = came
    known, held = _twice(earlier), _twice(came)
    for number, answer in enumerate(came):
        was_known = number < len(earlier) and len(known - answer) > BY_CHANCE
        if len(held - answer) > BY_CHANCE and not was_known:
            habits.note_cut(len(answer), limit)


def _twice(came: Sequence[frozenset[object]]) -> set[object]:
    """What came in at least two of these answers."""
    times = Counter(thing for answer in came for thing in answer)
    return {thing for thing, count in times.items() if count > 1}
