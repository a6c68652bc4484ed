"""One old window a run is read again, in rotation: relays get old events at any time.

Below what `lookback` reads anyway, windows follow each other downwards, and start again at the top. Each is as
long as holds about a hundred events, by what the last one held: an audit costs a relay one short answer.
"""

from bigbrotr_dagster.storage.state import Rotation
from bigbrotr_dagster.windowing import Coverage, Interval

MANY_EVENTS, FEW_EVENTS = 200, 50
SHORTEST, LONGEST = 60, 10 * 365 * 86_400


class Audit:
    """The window that this run reads again, within `covered`; None of it where nothing old is covered."""

    def __init__(self, rotation: Rotation, covered: Coverage) -> None:
        self._rotation = rotation
        self.window = _next_window(rotation, covered)
        self._left = Coverage([self.window] if self.window else []) & covered
        self._events = 0

    @property
    def seconds(self) -> Coverage:
        """What is still to be read again."""
        return self._left

    def take(self, created_at: list[int]) -> None:
        """Count the events of an answer."""
        if self.window is not None:
            self._events += sum(second in self.window for second in created_at)

    def settle(self, settled: Coverage) -> None:
        self._left -= settled

    @property
    def rotation(self) -> Rotation | None:
        """Where the next run goes on; None if this one has not read its window to the end."""
        if self.window is None or self._left:
            return None
        seconds = self._rotation.seconds
        if self._events > MANY_EVENTS:
            seconds = max(SHORTEST, seconds // 2)
        elif self._events < FEW_EVENTS:
            seconds = min(LONGEST, 2 * seconds)
        return Rotation(self.window.since, seconds)


def _next_window(rotation: Rotation, covered: Coverage) -> Interval | None:
    """The next seconds below the last window, or the newest ones once the oldest have been read."""
    below = covered
    if rotation.audited_from is not None:
        below = covered & Coverage.between(0, rotation.audited_from - 1)
    parts = list(below) or list(covered)
    if not parts:
        return None
    newest = parts[-1]
    return Interval(max(newest.since, newest.until - rotation.seconds + 1), newest.until)
