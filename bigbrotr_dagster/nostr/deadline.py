"""How long to wait for a relay that says nothing."""

import asyncio

from bigbrotr_dagster.windowing.outcome import Ending, Outcome


class Deadline:
    """Moves an `asyncio.timeout` with every message, but not past `total` seconds from now.

    Call `restore` once the timeout is entered.

    Moving a timer costs more than parsing an event, so it is moved only once a twentieth of the time has
    passed: silence is noticed after 95 to 100% of `silence` seconds.
    """

    def __init__(self, alarm: asyncio.Timeout, *, silence: float, total: float) -> None:
        self._alarm = alarm
        self._silence = silence
        self._total = total
        self._clock = asyncio.get_running_loop().time
        self._end = self._clock() + total
        self._allowed = silence
        self._move_at = 0.0
        self._suspended_at = 0.0

    def heard(self) -> None:
        """A message came: start again."""
        if self._allowed < self._silence:
            self.restore()
        elif self._clock() > self._move_at:
            self._move()

    def shorten(self, grace: float) -> None:
        """Give the relay `grace` seconds from now, if that is less than it had."""
        if grace < self._allowed:
            self._allowed = grace
            self._move()

    def again(self) -> None:
        """Give the relay as long as it had last, from now."""
        self._move()

    def restore(self) -> None:
        """Give the relay the usual time again, from now."""
        self._allowed = self._silence
        self._move()

    def suspend(self) -> None:
        """Wait for ever, for it is not the relay that is waited for."""
        self._suspended_at = self._clock()
        self._alarm.reschedule(None)

    def resume(self) -> None:
        """Give the relay the time that it had before `suspend`, and its silence again from now."""
        self._end += self._clock() - self._suspended_at
        self._move()

    @property
    def is_over(self) -> bool:
        """Whether all the time has passed, and not only some in silence."""
        return self._clock() >= self._end

    def outcome(self) -> Outcome:
        """Return the outcome for the clock that ran out."""
        if self.is_over:
            return Outcome(Ending.TIMEOUT, text=f"no end within {self._total:g} s")
        return Outcome(Ending.TIMEOUT, text=f"silent for {self._silence:g} s")

    def _move(self) -> None:
        now = self._clock()
        self._move_at = now + self._allowed / 20
        self._alarm.reschedule(min(now + self._allowed, self._end))
