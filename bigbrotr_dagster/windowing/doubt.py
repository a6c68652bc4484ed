"""Does the relay ignore `until`, or did something newer just come along?

A relay that ignores `until` answers with its newest events whatever it is asked; what it sends above `until` is
nearly the same each time, and with it an answer is no longer than others. What comes along by chance differs,
and comes on top.
"""

from dataclasses import dataclass

from bigbrotr_dagster.windowing.habits import Habits
from bigbrotr_dagster.windowing.tasks import Answer, Ask

CERTAIN = 3
"""Answers with the same events above `until`, no longer than the relay's usually are: no chance any more."""

SUSPICIOUS = 10
"""Answers of either of these two kinds."""


@dataclass(frozen=True, slots=True)
class Above:
    """`ids` of what came above `until`, for the `times`-th time, and nearly the same for the `same`-th time."""

    ids: frozenset[str]
    times: int = 1
    same: int = 1

    @classmethod
    def of(cls, answer: Answer, ask: Ask, habits: Habits, before: "Above | None") -> "Above | None":
        """What came above `until` with this answer, too; None if nothing did, or only by chance."""
        ids = answer.newer(ask)
        if not ids or before is None:
            return cls(ids) if ids else None
        same = 2 * len(ids & before.ids) >= min(len(ids), len(before.ids))
        on_top = answer.counted(ask, habits) > habits.largest
        if on_top and not same:
            return None
        return cls(ids, before.times + 1, before.same + (same and not on_top))

    @property
    def is_certain(self) -> bool:
        return self.same >= CERTAIN or self.times >= SUSPICIOUS
