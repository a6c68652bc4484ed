"""Binary splitting: the careful way through a window, for relays whose cut answers may be any part of it.

The window is asked for as a whole and as two halves. Where the halves bring nothing that the whole did not,
and the whole brought nothing that the halves did not, and was no longer than answers that were cut before,
nothing was cut, and the window is covered. Otherwise each half is split in the same way, down to single
seconds. It costs about four times what paging does.

Halves are halves of the events seen, not of the time: Nostr's years before 2021 are empty.
"""

from dataclasses import dataclass, field

from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.intervals import Interval
from bigbrotr_dagster.windowing.outcome import Hint
from bigbrotr_dagster.windowing.saturated import Agree, Saturated
from bigbrotr_dagster.windowing.tasks import Answer, Ask, Gap, Stamped, Step, Unproven


@dataclass(frozen=True, slots=True)
class Split:
    """`window`, of which the `whole` and then the `newer` half are answered, or None."""

    window: Interval
    whole: tuple[Stamped, ...] | None = None
    newer: tuple[Stamped, ...] | None = None
    halves: tuple[Interval, ...] = field(default=())

    def ask(self, limit: int, habits: Habits) -> Ask:
        return Ask(*habits.bounds(self._asking()), limit)

    def answered(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        answer.teach(habits, ask)
        inside = tuple(answer.inside(self._asking()))
        may_be_cut = habits.may_be_cut(answer.size, ask.limit)
        if answer.overshoots(ask) and may_be_cut:
            return Step.gives_up(Gap(self.window, Unproven.UNTIL_IGNORED, len(inside)))
        if may_be_cut and answer.is_crowded(self._asking()):
            return Step(tasks=(self,))
        if answer.undershoots(ask) and may_be_cut:
            return Step.gives_up(Gap(self.window, Unproven.SINCE_IGNORED, len(inside)))
        if may_be_cut and not inside and answer.refused:
            return Step.gives_up(Gap(self.window, Unproven.ALL_REJECTED))
        if self.whole is None:
            return self._whole(inside, habits.is_full(answer.size, ask.limit), may_be_cut, answer.outcome.hint)
        if self.newer is None:
            return Step(tasks=(Split(self.window, self.whole, inside, self.halves),))
        if self._agree(self.whole, (*self.newer, *inside), ask.limit, habits):
            return Step.covers(self.window)
        return Step(tasks=tuple(_half(*pair) for pair in zip(self.halves, (inside, self.newer), strict=True)))

    def _asking(self) -> Interval:
        if self.whole is None:
            return self.window
        older, newer = self.halves
        return newer if self.newer is None else older

    def _whole(self, inside: tuple[Stamped, ...], is_full: bool, may_be_cut: bool, hint: Hint) -> Step:
        if hint is Hint.FINISH:
            return Step.covers(self.window)
        if self.window.seconds > 1:
            return Step(tasks=(Split(self.window, inside, None, cut_in_two(self.window, inside)),))
        if is_full:
            return Step(tasks=(Saturated.of(self.window.until, inside),))
        if may_be_cut:
            return Step(tasks=(Agree(self.window.until, frozenset(event.id for event in inside)),))
        return Step.covers(self.window)

    def _agree(self, whole: tuple[Stamped, ...], parts: tuple[Stamped, ...], limit: int, habits: Habits) -> bool:
        """Nothing was cut: whole and parts are the same, and not merely cut in the same place."""
        if {event.id for event in whole} != {event.id for event in parts}:
            habits.note_cut(len(whole), limit)
            return False
        return not whole or not habits.may_be_cut(len(whole), limit)


def _half(window: Interval, whole: tuple[Stamped, ...]) -> Split:
    """A half that is to be split in turn; what it answered is its whole. A single second is asked again."""
    if window.seconds == 1:
        return Split(window)
    return Split(window, whole, None, cut_in_two(window, whole))


def cut_in_two(window: Interval, events: tuple[Stamped, ...]) -> tuple[Interval, Interval]:
    """The older and the newer half of a window of at least two seconds, parted at the median event."""
    times = sorted(event.created_at for event in events)
    middle = times[len(times) // 2] if times else (window.since + window.until) // 2
    middle = min(max(middle, window.since), window.until - 1)
    return Interval(window.since, middle), Interval(middle + 1, window.until)
