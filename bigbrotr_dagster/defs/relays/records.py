"""What a run tells of its relays, each on the relay's own partition: a materialization, and checks.

It is written by a thread of its own, in batches: the event loop that reads from the relays must not wait for it.
"""

import queue
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import dagster as dg

from bigbrotr_dagster.defs.archive import gap_seconds, gap_table, relay_gap_check
from bigbrotr_dagster.defs.graph import RELAY_CURSOR, as_text
from bigbrotr_dagster.defs.instance.partition_events import Recordable, RunContext, is_partitioned, write_events
from bigbrotr_dagster.sync import RelayReport

REACHABLE = "reachable"
FLUSH_SECONDS = 1.0
MOST_REPORTS = 200
"""Reports in a batch: enough that what a batch costs by itself does not count any more."""


class RelayRecords:
    """Writes reports in the order they come; a context manager whose end waits until all are written."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._is_partitioned = is_partitioned(context)
        self._reports: queue.SimpleQueue[RelayReport | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._write_all, name="relay-records", daemon=True)

    def record(self, report: RelayReport) -> None:
        """Take a report, from any thread, without waiting."""
        self._reports.put(report)

    def __enter__(self) -> "RelayRecords":
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

    def _next_batch(self) -> tuple[list[RelayReport], bool]:
        """The reports of a second, and whether they are the last; waits for the first one."""
        batch: list[RelayReport] = []
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

    def _events(self, report: RelayReport) -> list[Recordable]:
        events: list[Recordable] = []
        if report.busy and not self._is_partitioned:
            return events  # the run that syncs it records it
        if report.ok:
            events.append(
                dg.AssetMaterialization(RELAY_CURSOR, partition=report.url, metadata=relay_metadata(report))
            )
        if self._tells_of_reach(report):
            events.append(_reach(report))
        if self._tells_of_gaps(report):
            events.append(relay_gap_check(report))
        return events

    def _tells_of_reach(self, report: RelayReport) -> bool:
        """Whether the check `reachable` is worth an event: not for a relay that is well, and was so before."""
        return self._is_partitioned or not (report.ok and report.went_well_before)

    def _tells_of_gaps(self, report: RelayReport) -> bool:
        """Whether the check of gaps is worth an event: one a relay and sync would add half to their cost.

        It is while there are gaps, and once when the last one is settled; and where partitions were asked for.
        """
        if report.gaps_before is None:
            return False  # the relay was not tried: nothing is known
        return bool(report.gaps or report.gaps_before or self._is_partitioned)


def _reach(report: RelayReport) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=RELAY_CURSOR,
        check_name=REACHABLE,
        passed=report.ok,
        severity=dg.AssetCheckSeverity.WARN,
        description=as_text(report.error) if report.error else None,
        metadata={"network": report.network, "seconds": round(report.seconds, 3)},
        partition=report.url,
    )


def relay_metadata(report: RelayReport) -> Mapping[str, Any]:
    """One relay's report as metadata: numbers, which the UI plots over time, wherever there is one."""
    metadata: dict[str, Any] = {
        "network": str(report.network),
        "events_received": report.events_received,
        "events_new": report.events_new,
        "events_known": report.events_known,
        "events_rejected": sum(report.events_rejected.values()),
        "observations_new": report.observations_new,
        "late_events": report.late_events,
        "events_claimed": report.events_claimed,
        "events_gone": report.events_gone,
        "proved_by": report.proved_by,
        "requests": report.requests,
        "bytes_received": report.bytes_received,
        "gaps": len(report.gaps),
        "gap_seconds": gap_seconds(report),
        "pending_seconds": report.pending_seconds,
        "seconds": round(report.seconds, 3),
    }
    if report.stopped_by is not None:
        metadata["stopped_by"] = report.stopped_by
    if report.cursor is not None:
        metadata["cursor"] = dg.MetadataValue.timestamp(float(report.cursor.timestamp))
    if report.lag_seconds is not None:
        metadata["lag_seconds"] = report.lag_seconds
    if any(report.events_rejected.values()):
        metadata["rejected_by_reason"] = dg.MetadataValue.json(dict(report.events_rejected))
    if report.transfers_per_event is not None:
        metadata["transfers_per_event"] = report.transfers_per_event
    if report.late_by:
        metadata["late_by_age"] = dg.MetadataValue.json(dict(report.late_by))
    if report.gaps:
        metadata["gap_list"] = gap_table(report)
    return metadata
