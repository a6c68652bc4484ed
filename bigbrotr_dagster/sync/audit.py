"""Old seconds are read again in rotation, one request a run: relays get old events at any time.

Below what `lookback` reads anyway, each run goes on where the last one ended, downwards, and starts again at the
top. What a run reads is bounded in events (see `windowing.rereading`), however they are spread over the years.
"""

from bigbrotr_dagster.storage.state import Rotation
from bigbrotr_dagster.windowing import Coverage, Interval, Reread

FEW_EVENTS, MANY_EVENTS = 50, 150
"""Where a window's length is ours to choose, it is doubled below the one, and halved above the other."""

SHORTEST, LONGEST = 60, 10 * 365 * 86_400
"""Seconds."""


class Audit:
    """What this run reads again of `covered`; nothing where nothing old is covered."""

    def __init__(self, rotation: Rotation, covered: Coverage) -> None:
        self._rotation = rotation
        self._read: Interval | None = None
        self._events = 0
        window = _next_window(rotation, covered)
        self.task = None if window is None else Reread(window, rotation.seconds)

    def settle(self, reread: Interval, created_at: list[int]) -> None:
        """So far down the answer reached, whose events have these seconds."""
        self._read = reread
        self._events = sum(second in reread for second in created_at)

    @property
    def rotation(self) -> Rotation | None:
        """Where the next run goes on; None if this one has not got its answer."""
        if self._read is None:
            return None
        seconds = self._rotation.seconds
        if self._events > MANY_EVENTS:
            seconds = max(SHORTEST, seconds // 2)
        elif self._events < FEW_EVENTS:
            seconds = min(LONGEST, 2 * seconds)
        return Rotation(self._read.since, seconds)


def _next_window(rotation: Rotation, covered: Coverage) -> Interval | None:
    """The stretch that lies below what was read last, or the newest one once the oldest has been read."""
    below = covered
    if rotation.audited_from is not None:
        below = covered & Coverage.between(0, rotation.audited_from - 1)
    parts = list(below) or list(covered)
    return parts[-1] if parts else None
