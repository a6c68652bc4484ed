"""Does the relay ignore a bound, or did something from beyond it just come along?

A relay that ignores `until` answers with its newest events whatever it is asked; what it sends above `until` is
nearly the same each time, and with it an answer is no longer than others. What comes along by chance differs,
and comes on top. So it is with `since` and what lies below.
"""

from collections.abc import Set
from dataclasses import dataclass

from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.tasks import Answer, Ask, Unproven

CERTAIN = 3
"""Answers with the same strays, no longer than the relay's usually are: no chance any more."""

SUSPICIOUS = 10
"""Answers of either of these two kinds."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """`reason` to give up, for the `times`-th time; nearly the same `strays` (ids) for the `same`-th time."""

    reason: Unproven
    strays: Set[str]
    times: int = 1
    same: int = 1

    @classmethod
    def of(
        cls, reason: Unproven, answer: Answer, ask: Ask, habits: Habits, before: "Doubt | None"
    ) -> "Doubt | None":
        """What `reason` rests on in this answer, too; None if on nothing, or on chance."""
        strays = {Unproven.UNTIL_IGNORED: answer.newer, Unproven.SINCE_IGNORED: answer.older}.get(reason)
        ids = strays(ask) if strays is not None else frozenset()
        if len(ids) <= answer.refused:  # more came in place of events, and that may lie where it was asked for
            return None
        if before is None or before.reason is not reason:
            return cls(reason, ids)
        same = 2 * len(ids & before.strays) >= min(len(ids), len(before.strays))
        on_top = answer.everything > habits.fullest
        if on_top and not same:
            return None
        return cls(reason, ids, before.times + 1, before.same + (same and not on_top))

    @property
    def is_certain(self) -> bool:
        """It happened too often, or too much alike, to be chance."""
        return self.same >= CERTAIN or self.times >= SUSPICIOUS
