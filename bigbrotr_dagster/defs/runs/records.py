"""What a run tells of its relays, as events on their partitions: written by a thread of its own, in batches.

The event loop that reads from the relays must not wait for it.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

from bigbrotr_dagster.defs.instance.partition_events import Recordable, RunContext, write_events

REGISTRY_VERSION = "INITIAL"
"""The data version of asset `relays`, whichever relays it has: a relay's partition depends on its own row alone.

It is what Dagster takes where none was recorded, so that materializations of earlier versions have it, too.
"""

FROM_THE_REGISTRY = {
    "dagster/code_version": "1",
    "dagster/input_data_version/relays": REGISTRY_VERSION,
    "dagster/input_event_pointer/relays": "NULL",
}
"""Tags of a materialization of a relay's partition: what it was made from.

Without them Dagster compares times, and every relay's page says "Unsynced" once another relay is registered. The
event log indexes none of them, so that they cost no rows.
"""

FLUSH_SECONDS = 1.0
MOST_REPORTS = 200
"""Reports in a batch: enough that what a batch costs by itself does not count any more."""

Report = TypeVar("Report")


class Records(Generic[Report]):
    """Writes the events that `events` makes of each report, in the order they come.

    A context manager whose end waits until all are written.
    """

    def __init__(self, context: RunContext, events: Callable[[Report], Sequence[Recordable]]) -> None:
        self._context = context
        self._events = events
        self._reports: queue.SimpleQueue[Report | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._write_all, name="relay-records", daemon=True)

    def record(self, report: Report) -> None:
        """Take a report, from any thread, without waiting."""
        self._reports.put(report)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._reports.put(None)
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def _write_all(self) -> None:
        is_last = False
        while not is_last:
            batch, is_last = self._next_batch()
            if self._error is not None:
                continue  # the run fails with the first error; its relays are due again
            try:
                write_events(self._context, [event for report in batch for event in self._events(report)])
            except Exception as error:
                self._error = error

    def _next_batch(self) -> tuple[list[Report], bool]:
        """The reports of a second, and whether they are the last; waits for the first one."""
        batch: list[Report] = []
        deadline = None
        while len(batch) < MOST_REPORTS:
            try:
                wait = None if deadline is None else max(0.0, deadline - time.monotonic())
                report = self._reports.get(timeout=wait)
            except queue.Empty:
                return batch, False
            if report is None:
                return batch, True
            batch.append(report)
            deadline = deadline or time.monotonic() + FLUSH_SECONDS
        return batch, False
