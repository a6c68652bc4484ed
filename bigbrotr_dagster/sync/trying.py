"""How often, and how long, one relay is tried again in one run of its sync."""

import asyncio
import time

from bigbrotr_dagster.nostr.connection import ConnectError, Failure
from bigbrotr_dagster.windowing.policy import PATIENCE, delays

RESTART_SECONDS = 3.0
"""That a relay which was there a moment ago may refuse connections: its program restarts."""


class Trying:
    """Counts the tries of one run; `patience` is how many of them in a row may bring nothing."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self._fruitless = 0
        self._waits = delays()
        self._away_since: float | None = None  # monotonic seconds

    def advanced(self) -> None:
        """Something came that brings the sync nearer to its end."""
        self._waits, self._fruitless, self.patience = delays(), 0, PATIENCE

    def connected(self) -> None:
        """The relay is there."""
        self._away_since = None

    def refused(self, error: ConnectError) -> None:
        """The relay, which is known to be alive, could not be connected to."""
        if may_be_a_restart(error) and self._away_since is None:
            self._away_since = time.monotonic()

    @property
    def is_away(self) -> bool:
        """Whether the relay's program may be restarting."""
        return self._away_since is not None

    def is_over(self) -> bool:
        """Count a try that ended early; returns whether it was the last one of this run."""
        if self._away_since is not None:
            return time.monotonic() - self._away_since >= RESTART_SECONDS
        self._fruitless += 1
        return self._fruitless >= self.patience

    async def wait(self) -> None:
        """Leave the relay alone for a time that doubles."""
        await asyncio.sleep(next(self._waits))


def may_be_a_restart(error: ConnectError) -> bool:
    """Whether the host is there and the relay is not: refused, reset, or a proxy before it answers."""
    return error.failure in (Failure.HTTP, Failure.HANDSHAKE) or isinstance(error.__cause__, ConnectionError)
