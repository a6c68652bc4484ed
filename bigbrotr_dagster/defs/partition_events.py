"""What a run writes about its relays into Dagster's event log, each on the relay's own partition.

Every import of Dagster's private modules for that is here. Events go through `log_event`, in a thread of its own:
one costs 10 ms or more, which the event loop that reads from the relays must not wait for.
"""

import queue
import threading
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

import dagster as dg
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent

from bigbrotr_dagster.defs.gaps import gap_seconds, gap_table, relay_gap_check
from bigbrotr_dagster.defs.partitions import RELAY_CURSOR
from bigbrotr_dagster.sync import RelayReport

REACHABLE = "reachable"


class PartitionEvents:
    """Writes reports in the order they come; a context manager whose end waits until all are written."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context = context
        self._is_partitioned = is_partitioned(context)
        self._reports: queue.SimpleQueue[RelayReport | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._write_all, name="partition-events", daemon=True)

    def record(self, report: RelayReport) -> None:
        """Take a report, from any thread, without waiting."""
        self._reports.put(report)

    def __enter__(self) -> "PartitionEvents":
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
        while (report := self._reports.get()) is not None:
            if self._error is not None:
                continue  # the run fails with the first error; its relays are due again
            try:
                self._write(report)
            except Exception as error:
                self._error = error

    def _write(self, report: RelayReport) -> None:
        if report.ok:
            self._context.log_event(
                dg.AssetMaterialization(RELAY_CURSOR, partition=report.url, metadata=relay_metadata(report))
            )
        self._context.log_event(
            dg.AssetCheckEvaluation(
                asset_key=RELAY_CURSOR,
                check_name=REACHABLE,
                passed=report.ok,
                severity=dg.AssetCheckSeverity.WARN,
                description=report.error,
                metadata={"network": report.network, "seconds": round(report.seconds, 3)},
                partition=report.url,
            )
        )
        if self._tells_of_gaps(report):
            self._context.log_event(relay_gap_check(report))

    def _tells_of_gaps(self, report: RelayReport) -> bool:
        """Whether the check of gaps is worth an event: one a relay and sync would add half to their cost.

        It is while there are gaps, and once when the last one is settled; and where partitions were asked for.
        """
        if report.gaps_before is None:
            return False  # the relay was not tried: nothing is known
        return bool(report.gaps or report.gaps_before or self._is_partitioned)


def is_partitioned(context: dg.AssetExecutionContext) -> bool:
    """Whether the run was asked for partitions (the UI, a backfill) rather than for relays in its config."""
    return bool(context.has_partition_key or context.has_partition_key_range)


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
        "requests": report.requests,
        "bytes_received": report.bytes_received,
        "gaps": len(report.gaps),
        "gap_seconds": gap_seconds(report),
        "pending_seconds": report.pending_seconds,
        "seconds": round(report.seconds, 3),
    }
    if report.cursor is not None:
        metadata["cursor"] = dg.MetadataValue.timestamp(float(report.cursor.timestamp))
    if report.lag_seconds is not None:
        metadata["lag_seconds"] = report.lag_seconds
    if any(report.events_rejected.values()):
        metadata["rejected_by_reason"] = dg.MetadataValue.json(dict(report.events_rejected))
    if report.gaps:
        metadata["gap_list"] = gap_table(report)
    return metadata


def mark_failed(context: dg.AssetExecutionContext, urls: Iterable[str]) -> None:
    """Let these partitions show FAILED once this run has failed.

    Dagster takes a partition for failed when its newest PLANNED event has no later materialization and that run
    failed. A run without partition tags planned none, so it does that now, for these alone.
    """
    for url in urls:
        event = DagsterEvent.build_asset_materialization_planned_event(
            context.run.job_name,
            str(context.op_execution_context.op_handle),
            AssetMaterializationPlannedData(RELAY_CURSOR, partition=url, partitions_subset=None),
        )
        context.instance.report_dagster_event(event, context.run.run_id)
