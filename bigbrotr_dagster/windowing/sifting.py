"""Nothing came but what is no event, and it filled the answer: find out below which second something else comes.

What a relay sends in place of events uses up its room, too. Whatever lies below that is hidden, as long as it is
asked for together with it. So the window's end is moved down, by halving, until an answer holds an event, or has
room left. From there on paging goes on; the block above is split, and by then what the relay sends at once is
known. The seconds that such things claim are tried first. They prove nothing, for anybody may claim any second.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bigbrotr_dagster.windowing.habits import MOST_REJECTIONS, Habits
from bigbrotr_dagster.windowing.intervals import Interval
from bigbrotr_dagster.windowing.splitting import Split
from bigbrotr_dagster.windowing.tasks import Answer, Ask, Gap, Step, Task, Unproven

MOST_CLAIMS = 4
"""Claimed seconds that are tried: a spammer may claim so many that halving gets there sooner."""


@dataclass(frozen=True, slots=True)
class Sift:
    """`window`, whose answer held nothing but what was rejected, `full` of it; `resume` makes the task for a part.

    Asked up to `void` it was so; up to `fine` it was not, or that is the second below the window. `claimed`: a
    second that is worth a try, of `claims` that were tried. Nothing is proved by this, so that half as much of
    what was rejected is enough to go further down, and less may have come on top of an answer.
    """

    window: Interval
    resume: Callable[[Interval], Task]
    full: int
    fine: int
    void: int
    claimed: int | None = None
    claims: int = 0

    @classmethod
    def within(cls, window: Interval, resume: Callable[[Interval], Task], answer: Answer) -> "Sift":
        """The search through a `window` that this `answer` filled with what was rejected."""
        return cls(window, resume, answer.refused, window.since - 1, window.until)._trying(answer.refused_at)

    def _trying(self, claimed: Sequence[int]) -> "Sift":
        """The same, with the median of the seconds that were claimed to be tried next."""
        left = sorted(second for second in claimed if self.fine < second < self.void)
        if not left or self.claims >= MOST_CLAIMS:
            return replace(self, claimed=None)
        return replace(self, claimed=left[len(left) // 2], claims=self.claims + 1)

    @property
    def _asking(self) -> Interval:
        until = self.claimed if self.claimed is not None else (self.fine + self.void) // 2
        return Interval(self.window.since, max(until, self.window.since))

    def ask(self, limit: int, habits: Habits) -> Ask:
        """The window up to a claimed second, or up to the middle of those in question."""
        return Ask(*habits.bounds(self._asking), limit)

    def answered(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        """Go further down where rubbish filled the answer again, further up where it did not."""
        asked = self._asking
        if answer.inside(asked) or 2 * answer.refused < self.full:
            return replace(self, fine=asked.until, claimed=None)._next()
        if habits.rejections >= MOST_REJECTIONS:
            return Step.gives_up(Gap(self.window, Unproven.ALL_REJECTED))
        return replace(self, void=asked.until)._trying(answer.refused_at)._next()

    def broken(self, ask: Ask, detail: str, habits: Habits) -> Step:
        """The answer was more than we take: as if nothing had come, for what lies below it is looked for."""
        return replace(self, void=self._asking.until, claimed=None)._next()

    def _next(self) -> Step:
        if self.void - self.fine > 1:
            return Step(tasks=(self,))
        block = Interval(self.void, self.window.until)
        rest = (self.resume(Interval(self.window.since, self.fine)),) if self.fine >= self.window.since else ()
        return Step(tasks=(Split(block, resume=self.resume), *rest))
