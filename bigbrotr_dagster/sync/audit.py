"""Old seconds are read again in rotation, one request a run: relays get old events at any time.

Below what `lookback` reads anyway, windows follow each other downwards, and start again at the top. Each is as
long as holds about a hundred events, by what the last one held. Where it holds more, the next run goes on in its
midst: what a run reads is bounded (see `windowing.rereading`), however events are spread over the years.
"""

from bigbrotr_dagster.storage.state import Rotation
from bigbrotr_dagster.windowing.intervals import Coverage, Interval
from bigbrotr_dagster.windowing.rereading import Reread

MANY_EVENTS, FEW_EVENTS = 150, 50
SHORTEST, LONGEST = 60, 10 * 365 * 86_400


class Audit:
    """What this run reads again of `covered`; nothing where nothing old is covered, or all of it is new."""

    def __init__(self, rotation: Rotation, covered: Coverage) -> None:
        self._seconds = rotation.seconds
        self._read: Interval | None = None
        self._events = 0
        self.task: Reread | None = None
        if rotation.audited_from is None:  # the first sync has just read it; so it counts as the first pass
            self._read = next(iter(covered), None)
        elif covered:
            self.task = Reread(_next_window(rotation, covered))

    def settle(self, reread: Interval, created_at: list[int]) -> None:
        """So far down the answer reached, whose events have these seconds."""
        self._read = reread
        self._events = sum(second in reread for second in created_at)

    @property
    def rotation(self) -> Rotation | None:
        """Where the next run goes on; None if this one has not got its answer."""
        if self._read is None:
            return None
        if self.task is None:
            return Rotation(self._read.since, self._seconds)
        seconds = self._seconds
        if self._events > MANY_EVENTS:
            seconds = max(SHORTEST, seconds // 2)
        elif self._events < FEW_EVENTS:
            seconds = min(LONGEST, 2 * seconds)
        return Rotation(self._read.since, seconds)


def _next_window(rotation: Rotation, covered: Coverage) -> Interval:
    """The next seconds below the last window, or the newest ones once the oldest have been read."""
    below = covered & Coverage.between(0, (rotation.audited_from or 0) - 1)
    newest = (list(below) or list(covered))[-1]
    return Interval(max(newest.since, newest.until - rotation.seconds + 1), newest.until)
