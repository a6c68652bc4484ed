"""One event is larger than any message that we take: find its second, and lose nothing but that.

Asked for a single event up to some second, the relay breaks our bound if, and only if, the newest event up to
there is the one. So its second is found by halving, and the seconds on both sides are paged as ever.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.intervals import Coverage, Interval
from bigbrotr_dagster.windowing.splitting import cut_in_two
from bigbrotr_dagster.windowing.tasks import Answer, Ask, Gap, Proof, Step, Task, Unproven


@dataclass(frozen=True, slots=True)
class Oversized:
    """`window`, whose newest event alone broke the bound; `resume` makes the task for a part of it.

    Up to `fine` an answer was no trouble, up to `broke` it was. `doubted` is set while what has been found out is
    asked once more: a relay may break a bound at any time for other reasons. `kinds`: of which it is the newest.
    """

    window: Interval
    resume: Callable[[Interval], Task]
    fine: int
    broke: int
    doubted: bool = False
    kinds: tuple[int, ...] | None = None

    @classmethod
    def within(
        cls, window: Interval, resume: Callable[[Interval], Task], kinds: tuple[int, ...] | None = None
    ) -> "Oversized":
        """The search through a `window` of which nothing is known but that an answer broke the bound."""
        return cls(window, resume, window.since - 1, window.until, kinds=kinds)

    @property
    def _asking(self) -> Interval:
        if self._is_found:
            return Interval(self.broke, self.broke)
        if self.fine < self.window.since:  # a relay that ignores `since` reaches the event even from there
            return Interval(self.window.since, self.window.since)
        return Interval(self.window.since, (self.fine + self.broke) // 2)

    @property
    def _is_found(self) -> bool:
        return self.broke - self.fine == 1

    def ask(self, limit: int, habits: Habits) -> Ask:
        # No spare second above, where it would reach the event from too far below.
        """One event: the newest up to the middle of the seconds in question, or of the second that was found."""
        until = self._asking.until + (habits.until_exclusive is True)
        since = habits.bounds(self._asking)[0] if self._is_found else self._asking.since
        return Ask(since, until, 1, self.kinds)

    def answered(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        """That was no trouble: the event lies above; where its second was found, it was something else."""
        if self._is_found:  # it was not that
            return Step(tasks=tuple(map(self.resume, cut_in_two(self.window))))
        return Step(tasks=(replace(self, fine=self._asking.until, doubted=False),))

    def broken(self, ask: Ask, detail: str, habits: Habits) -> Step:
        """It lies at or below the middle; a second that breaks the bound twice, alone, is a gap."""
        if not self._is_found and self.fine >= self.window.since:
            return Step(tasks=(replace(self, broke=self._asking.until),))
        if not self.doubted:
            return Step(tasks=(replace(self, doubted=True),))
        if self._is_found:
            gap = Gap(self._unaskable(habits), Unproven.OVERSIZED, detail=detail, missing=1)
        else:
            gap = Gap(self.window, Unproven.OVERSIZED, detail=detail)
        rest = Coverage([self.window]) - Coverage([gap.interval])
        return Step(Proof(gaps=(gap,)), tuple(map(self.resume, rest)))

    def refused(self, ask: Ask, detail: str, habits: Habits) -> Step:
        """The relay will not answer so narrow an ask: all of the window is a gap."""
        return Step.gives_up(Gap(self.window, Unproven.OVERSIZED, detail=detail))

    def _unaskable(self, habits: Habits) -> Interval:
        """The second, and those beside it that cannot be asked for without it: see `Habits.bounds`."""
        since = self.broke - (habits.until_exclusive is None)
        until = self.broke + (habits.since_exclusive is None)
        return Interval(max(since, self.window.since), min(until, self.window.until))
