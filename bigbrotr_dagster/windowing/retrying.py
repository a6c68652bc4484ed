"""Between two runs: when a relay that failed is tried again, and when a gap is."""

from collections.abc import Iterable
from dataclasses import dataclass

from bigbrotr_dagster.windowing.intervals import Interval
from bigbrotr_dagster.windowing.tasks import Unproven

HOUR, DAY = 3_600.0, 86_400.0

MOST_DOUBLINGS = 20


@dataclass(frozen=True, slots=True)
class TriedGap:
    """A gap that was tried so many `tries`, the last time `age` seconds ago; None: somebody wants it tried now."""

    interval: Interval
    reason: Unproven
    tries: int
    age: float | None


def retry_after(failures: int, interval: float, chance: float) -> float:
    """Seconds after which a relay is tried again that has failed in so many runs in a row (at least one).

    From `interval` on, doubling up to a day, give or take a quarter, by `chance` (from 0 to 1): those that failed
    together, because the network was away, do not come again together.
    """
    return min(interval * 2.0 ** min(failures - 1, MOST_DOUBLINGS), DAY) * (0.75 + chance / 2)


def retry_gap_after(reason: Unproven, tries: int) -> float:
    """Seconds after which a gap is tried again that was tried so often.

    At once, then at growing intervals of up to a day. A crowded second, which is read whole each time, and what a
    relay does not send though it says that it holds it, from an hour on, up to 30 days.
    """
    doubled = 2.0 ** min(max(0, tries - 1), 12)
    if reason in (Unproven.SATURATED, Unproven.WITHHELD):
        return min(HOUR * doubled, 30 * DAY)
    return min(300 * (doubled - 1), DAY)


def gaps_to_try(gaps: Iterable[TriedGap]) -> list[TriedGap]:
    """Of the gaps of one relay under one filter: all that are wanted now, and the one that has waited longest."""
    listed = list(gaps)
    wanted = [gap for gap in listed if gap.age is None]
    due = [gap for gap in listed if gap.age is not None and gap.age >= retry_gap_after(gap.reason, gap.tries)]
    longest = max(due, key=lambda gap: (gap.age or 0.0, gap.interval.since), default=None)
    return wanted if longest is None else [*wanted, longest]
