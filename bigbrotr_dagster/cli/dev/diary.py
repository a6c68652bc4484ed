"""What `dev` says of the archive: how it stands, and a line for each minute in which something is done."""

import threading
import time
from contextlib import suppress

from bigbrotr_dagster.archive.turns import Standing, standing
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable

EVERY_SECONDS = 60.0


def opening(now: Standing) -> str:
    """How the archive stands, in a line."""
    return f"{_count(now.relays, 'relay')} registered, {_count(now.events, 'event')} stored so far"


def entry(before: Standing, now: Standing, seconds: float) -> str | None:
    """What was done in so many seconds, in a line; None if nothing was."""
    said = []
    if now.synced > before.synced:
        said.append(f"{_count(now.synced - before.synced, 'sync')} done")
    if now.failed > before.failed:
        said.append(f"{now.failed - before.failed:,} failed")
    if now.events > before.events:
        new = now.events - before.events
        rate = f" ({new / seconds:,.0f} a second)" if new >= 2 * seconds else ""
        said.append(f"{_count(new, 'new event')}{rate}")
    if now.relays != before.relays:
        said.append(f"{_count(now.relays, 'relay')} registered ({now.relays - before.relays:+,})")
    return ", ".join(said) or None


class Diary:
    """Prints to stdout from a thread of its own, from `open` on until `stopped` is set."""

    def __init__(self, database_url: str, stopped: threading.Event) -> None:
        self._database_url = database_url
        self._stopped = stopped

    def open(self) -> None:
        """Begin; where the database does not answer, others say so."""
        threading.Thread(target=self._keep, name="diary", daemon=True).start()

    def _keep(self) -> None:
        before, since = None, time.monotonic()
        while before is None or not self._stopped.wait(EVERY_SECONDS):
            with suppress(DatabaseUnavailable):
                now, at = standing(self._database_url), time.monotonic()
                line = opening(now) if before is None else entry(before, now, at - since)
                if line and not self._stopped.is_set():
                    print(f"{time.strftime('%H:%M')} {line}", flush=True)
                before, since = now, at
            if before is None and self._stopped.wait(EVERY_SECONDS):
                return


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
