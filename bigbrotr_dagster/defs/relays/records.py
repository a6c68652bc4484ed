"""What a run tells of its relays, each on the relay's own partition: a materialization, and checks."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from bigbrotr_dagster.defs.archive import gap_seconds, gap_table, relay_gap_check
from bigbrotr_dagster.defs.graph import RELAY_CURSOR, as_text
from bigbrotr_dagster.defs.instance.partition_events import Recordable, RunContext, is_partitioned
from bigbrotr_dagster.defs.runs import FROM_THE_REGISTRY, Records
from bigbrotr_dagster.sync import RelayReport

REACHABLE = "reachable"


class RelayRecords(Records[RelayReport]):
    """Writes reports on syncs; a context manager whose end waits until all are written."""

    def __init__(self, context: RunContext) -> None:
        super().__init__(context, self._told)
        self._is_partitioned = is_partitioned(context)

    def _told(self, report: RelayReport) -> list[Recordable]:
        events: list[Recordable] = []
        if report.busy and not self._is_partitioned:
            return events  # the run that syncs it records it
        if report.ok:
            events.append(_synced(report))
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


def _synced(report: RelayReport) -> dg.AssetMaterialization:
    """The description is the event's line in the run's log."""
    return dg.AssetMaterialization(
        RELAY_CURSOR,
        description=in_a_line(report),
        metadata=relay_metadata(report),
        partition=report.url,
        tags=FROM_THE_REGISTRY,
    )


def _reach(report: RelayReport) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=RELAY_CURSOR,
        check_name=REACHABLE,
        passed=report.ok,
        severity=dg.AssetCheckSeverity.WARN,
        description=as_text(report.error) if report.error else None,
        metadata={  # in a run's log Dagster's page says of no check which partition it is of
            "relay": report.url,
            "network": report.network,
            "events_new": report.events_new,
            "requests": report.requests,
            "seconds": round(report.seconds, 3),
        },
        partition=report.url,
    )


def in_a_line(report: RelayReport) -> str:
    """What a sync did: "wss://…: 12 new of 40 events, 3 requests, 1.2 s; 2 gaps"."""
    requests = f"{report.requests:,} request{'' if report.requests == 1 else 's'}"
    events = f"{report.events_new:,} new of {report.events_received:,} events"
    line = f"{report.url}: {events}, {requests}, {report.seconds:.1f} s"
    if report.gaps:
        line += f"; {len(report.gaps):,} gap{'' if len(report.gaps) == 1 else 's'}"
    return f"{line}; the rest is for another run ({report.stopped_by})" if report.stopped_by else line


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
