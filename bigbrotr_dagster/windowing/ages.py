"""When seconds that are proved already are read again: relays get old events at any time.

Each second is read again once at each of a few ages, which grow eightfold. An event that a relay gets L seconds
late is there at the first age of L or more, and that is at most 8 L. So it is found then, though its second is
read a handful of times in all.

Theory of operation. For each age a history knows which of its seconds were `read` when they were at least so old:
all up to a mark, and above it what a run has read that had no time for all. What is covered, old enough and not
among them is unread. It is due once the first of it has waited for the age's pause, so that a request reads more
than a moment. What is pending needs no such care: whenever it is read, it is older than now. A mark rises only
over what was read, and over what is not covered; a run that reads nothing leaves all as it was.

Of a quiet relay one request reads several windows, and what lies between them (`joined`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from bigbrotr_dagster.windowing.intervals import Coverage, Interval

DAY = 86_400

AGES = tuple(1024 * 8**power for power in range(7))
"""Seconds: 17 minutes, 2.3 hours, 18 hours, 6 days, 48 days, a year, 8.5 years."""

PAUSES = tuple(min(512 * 4**power, 131_072) for power in range(7))
"""Seconds that the first unread second waits for others, so that a request reads much: 1.5 days at most."""

QUIET = 500
"""Events a day of a relay that is spared requests rather than events, at most."""

MOST_PARTS = 64
"""Stretches that are remembered as read at one age. What is forgotten is read once more."""

Read = Sequence[Coverage]
"""By age: the seconds that were read when they were at least so old. Ages missing at the end have none."""


def used_ages(lookback: float) -> tuple[int | None, ...]:
    """The ages; None for those up to a day that are above `lookback` (seconds), and are left out.

    The first one is `lookback` itself where that is less, and not 0.
    """
    first = min(AGES[0], int(lookback)) or None
    return (first, *(age if age > DAY or age <= lookback else None for age in AGES[1:]))


def read_at(time: float) -> tuple[Coverage, ...]:
    """What counts as read where all that is known is that everything was read at that Unix time, or after it."""
    return tuple(Coverage.between(0, int(time) - age) for age in AGES)


@dataclass(frozen=True, slots=True)
class Rate:
    """How many events a relay has got, on average, since that second (Unix time); before, nobody knows."""

    events_a_second: float
    since: float


UNKNOWN_RATE = Rate(0.0, math.inf)


def joined(todo: Coverage, covered: Coverage, rate: Rate, page: int) -> Coverage:
    """`todo`, with what is covered between two windows of it, if an answer of `page` events holds a whole day's.

    Only windows less than a day apart are joined: those that are due most often.
    """
    if rate.events_a_second * DAY > min(page, QUIET):
        return todo
    windows = list(todo)
    holes = [
        Interval(earlier.until + 1, later.since - 1)
        for earlier, later in pairwise(windows)
        if later.since - earlier.until <= DAY and earlier.until >= rate.since
    ]
    whole = set(Coverage(holes) & covered)
    return todo | Coverage(hole for hole in holes if hole in whole)


class Ages:
    """What one run reads again of one history, that begins at `now` (Unix time); `due` is it.

    `covered` is all that is proved, `wanted` what this run may ask for. `reaches_back`: some of what is due has
    had hours to get late events.
    """

    def __init__(self, read: Read, covered: Coverage, wanted: Coverage, now: float, lookback: float) -> None:
        self._read = [*read, *(Coverage() for _ in AGES[len(read) :])]
        self._old: list[Coverage] = []
        self._unread: list[Coverage] = []
        self.due = Coverage()
        for place, age in enumerate(used_ages(lookback)):
            newest = int(now) - (AGES[place] if age is None else age)
            old = Coverage.between(0, newest)
            unread = Coverage() if age is None else (covered & old) - self._read[place]
            self._old.append(old)
            self._unread.append(unread)
            if _waits_since(unread & wanted, newest) >= PAUSES[place]:
                self.due |= unread & wanted
        self.reaches_back = any(part.since <= int(now) - AGES[1] for part in self.due)

    def after(self, read: Coverage) -> tuple[Coverage, ...]:
        """What is read at each age after this run, in which `read` was covered anew."""
        return tuple(
            _without(unread - read, old, known | read)
            for unread, old, known in zip(self._unread, self._old, self._read, strict=True)
        )


def _waits_since(unread: Coverage, newest: int) -> int:
    """Seconds that the first unread one is older than it has to be."""
    first = next(iter(unread), None)
    return 0 if first is None else newest - first.since + 1


def _without(unread: Coverage, old: Coverage, known: Coverage) -> Coverage:
    """All that is old enough up to the first unread second, and what is known to be read above it."""
    first = next(iter(unread), None)
    if first is None:
        return old
    above = list((known & old) - unread - Coverage.between(0, first.since - 1))
    return Coverage([*Coverage.between(0, first.since - 1), *above[: MOST_PARTS - 1]])
