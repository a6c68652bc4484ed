"""Newest-first paging: the cheap way through a window, for relays that cut their answers at the old end.

An answer proves the seconds *above* its oldest event: a relay that sends the newest events of the window
sent all of those. The oldest second itself may be cut anywhere (ties come in any order), so the next ask
ends *at* that second, and what it repeats is known by id. The window is done when an answer brings nothing
new although it had room for more.

So each event is transferred once, apart from those of the boundary seconds; and one request beyond the full
pages is the proof that nothing is left, whatever the relay's cap is.
"""

from dataclasses import dataclass, replace

from bigbrotr_dagster.windowing.habits import Habits, Order
from bigbrotr_dagster.windowing.intervals import Interval
from bigbrotr_dagster.windowing.outcome import Hint
from bigbrotr_dagster.windowing.saturated import Saturated
from bigbrotr_dagster.windowing.splitting import Split
from bigbrotr_dagster.windowing.tasks import (
    Answer,
    Ask,
    Gap,
    Proof,
    Stamped,
    Step,
    Unproven,
)


@dataclass(frozen=True, slots=True)
class Page:
    """All of `window`, which continues an answer of `came` events.

    `boundary` holds the ids that were delivered of the window's newest second. `probing` asks a second
    further, to find out whether this relay takes `until` as exclusive.
    """

    window: Interval
    boundary: frozenset[str] = frozenset()
    came: int = 0
    probing: bool = False

    def ask(self, limit: int, habits: Habits) -> Ask:
        since, until = habits.bounds(self.window)
        finding_out = self.boundary and habits.until_exclusive is None and not self.probing
        return Ask(since, self.window.until if finding_out else until, limit)

    def answered(self, ask: Ask, answer: Answer, habits: Habits) -> Step:
        habits.note(ask.since, ask.until, (event.created_at for event in answer.events))
        if answer.outcome.hint is Hint.FINISH:
            return Step.covers(self.window)
        inside = answer.inside(self.window)
        if self.boundary and any(event.id not in self.boundary for event in inside):
            habits.note_cut(self.came)
        if habits.order is Order.UNTRUSTED:
            return Step(tasks=(Split(self.window),))
        if self.boundary and habits.until_exclusive is None:
            if not self.probing:  # the boundary second did not come again
                return Step(tasks=(replace(self, probing=True),))
            if not self.boundary.isdisjoint(event.id for event in inside):
                habits.until_exclusive = True
        may_be_cut = habits.may_be_cut(answer.size, ask.limit)
        if may_be_cut and answer.overshoots(ask):
            return self._until_ignored(inside)
        if inside:
            return self._next_page(ask, answer, inside, may_be_cut)
        if not may_be_cut or self._passed(ask, answer):
            return Step.covers(self.window)
        if answer.events:  # the spare second alone filled the answer; it is not needed any more
            return Step(tasks=(self,))
        return Step.gives_up(Gap(self.window, Unproven.ALL_REFUSED))

    def _next_page(self, ask: Ask, answer: Answer, inside: list[Stamped], may_be_cut: bool) -> Step:
        if self._passed(ask, answer):
            return Step.covers(self.window)
        newest, oldest = self.window.until, min(event.created_at for event in inside)
        ids = frozenset(event.id for event in inside if event.created_at == oldest)
        came = answer.size
        if oldest < newest:
            rest = Interval(self.window.since, oldest)
            return Step.covers(Interval(oldest + 1, newest), Page(rest, ids, came))
        if may_be_cut:  # a whole answer out of one second: paging cannot get past it
            return Step(tasks=(*below(self.window), Saturated.of(newest, inside)))
        if ids <= self.boundary:
            return Step.covers(self.window)
        return Step(tasks=(Page(self.window, self.boundary | ids, came),))

    def _passed(self, ask: Ask, answer: Answer) -> bool:
        """The answer reaches below the window: newest first, all of the window came before."""
        below_window = any(event.created_at < self.window.since for event in answer.events)
        return below_window or answer.undershoots(ask)

    def _until_ignored(self, inside: list[Stamped]) -> Step:
        """The relay always sends its newest events, so what they do not reach cannot be had."""
        oldest = min((event.created_at for event in inside), default=self.window.until)
        held = sum(event.created_at == oldest for event in inside)
        gap = Gap(Interval(self.window.since, oldest), Unproven.UNTIL_IGNORED, held)
        covered = (Interval(oldest + 1, self.window.until),) if oldest < self.window.until else ()
        return Step(Proof(covered, (gap,)))


def below(window: Interval) -> tuple[Page, ...]:
    """The rest of a window below its newest second."""
    return (Page(Interval(window.since, window.until - 1)),) if window.seconds > 1 else ()
