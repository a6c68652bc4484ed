"""When days are written: the sensor looks which are due, and starts one run for all of them.

An `AutomationCondition` would do the same, and costs more: docs/data-sets.md has the figures.
"""

import time
from collections.abc import Sequence
from typing import Any

import dagster as dg

from bigbrotr_dagster.archive.export import Due, ExportRefused, look, need_arrow
from bigbrotr_dagster.defs.data_sets.assets import DAYS, NOT_CONFIGURED, SINCE
from bigbrotr_dagster.defs.data_sets.records import EVENT_DAY, of_manifest
from bigbrotr_dagster.defs.runs import ArchiveDatabase, Synchronizer
from bigbrotr_dagster.defs.runs.in_flight import IN_FLIGHT

LOOK_EVERY = 600
"""Seconds between two looks, at least."""

MOST_TIME = 0.01
"""Of the time, what looks may take."""

LOOK_AT_ALL_EVERY = 86_400
"""Seconds between two runs that compare all days, in which deletions show: their time grows with what was written,
and a tick has 60 seconds."""

MARGIN = 3_600
"""Seconds by which what a look reads overlaps what the one before has read: batches are stored late at times."""

DAYS_PER_RUN = 1_000
"""Days that one run is told of: its config stays readable. Another run finds the others."""

RECORDED_PER_LOOK = 200
"""Days of the command's that one look records: each takes some milliseconds, and a tick has 60 seconds."""

export_days = dg.define_asset_job(
    "export_days",
    selection=dg.AssetSelection.assets(EVENT_DAY),
    executor_def=dg.in_process_executor,
    description="Write the run's partitions, or the days that its config names; the sensor starts it.",
)


@dg.sensor(
    job=export_days,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes days that are covered, and those that have changed, while `export.to` is set.",
)
def export_days_sensor(
    context: dg.SensorEvaluationContext, database: ArchiveDatabase, synchronizer: Synchronizer
) -> dg.SensorResult | dg.SkipReason:
    """One run at a time. The cursor: when the last look began, when the next may, and when all were compared."""
    options, started = synchronizer.config(), int(time.time())
    place = options.export.to
    if place is None:
        return dg.SkipReason(NOT_CONFIGURED)
    last, following, compared = (int(word) for word in (context.cursor or "0 0 0").split())
    if started < following:
        return dg.SkipReason(f"The next look is in {following - started} s.")
    if DAYS.get_last_partition_key() is None:
        return dg.SkipReason(f"No day from {SINCE} (`export.since`) on has ended.")
    if _is_under_way(context.instance):
        return dg.SkipReason("An export is under way.")
    try:
        need_arrow()
        if started - compared >= LOOK_AT_ALL_EVERY:
            cursor = f"{started} {started + LOOK_EVERY} {started}"
            return dg.SensorResult(run_requests=[_request(all_due=True)], cursor=cursor)
        since = last - MARGIN
        found = look(database.ready(), options, place, first=SINCE, seen_since=since)
    except (ExportRefused, OSError) as error:
        return dg.SkipReason(str(error))
    told = _not_recorded(context.instance, place, found)
    pause = max(LOOK_EVERY, (time.time() - started) / MOST_TIME)
    cursor = f"{started} {started + pause:.0f} {compared}"
    days = _not_failed(context.instance, list(found.days))
    if not days:
        failed = f", but for {len(found.days)} that failed" if found.days else ""
        skip = dg.SkipReason(f"No day is due{failed}; {len(found.written)} are there.")
        return dg.SensorResult(skip_reason=skip, asset_events=told, cursor=cursor)
    request = _request(days=days[:DAYS_PER_RUN])
    return dg.SensorResult(run_requests=[request], asset_events=told, cursor=cursor)


def _request(days: Sequence[str] = (), **config: Any) -> dg.RunRequest:
    """A run for these days; it bears one of them, or the newest that there is, as its partition."""
    given = config | ({"days": list(days)} if days else {})
    partition = days[0] if days else DAYS.get_last_partition_key()
    return dg.RunRequest(partition_key=partition, run_config={"ops": {"event_day": {"config": given}}})


def _is_under_way(instance: dg.DagsterInstance) -> bool:
    """Whether a run waits or works that writes days, however it was started."""
    return any(
        run.job_name == export_days.name or EVENT_DAY in (run.asset_selection or ())
        for run in instance.get_runs(dg.RunsFilter(statuses=IN_FLIGHT))
    )


def _not_failed(instance: dg.DagsterInstance, days: Sequence[str]) -> list[str]:
    """The days that are not red: what fails might do so at each look, and the run that compares all tries it."""
    statuses = (instance.get_status_by_partition(EVENT_DAY, days, DAYS) if days else None) or {}
    return [day for day in days if (status := statuses.get(day)) is None or status.name != "FAILED"]


def _not_recorded(instance: dg.DagsterInstance, place: str, found: Due) -> list[dg.AssetMaterialization]:
    """What Dagster has not been told of: days that the command has written, or that were there before."""
    recorded = instance.get_materialized_partitions(EVENT_DAY)
    missing = [day for day in found.written if day not in recorded and DAYS.has_partition_key(day)]
    return [of_manifest(place, day, found.written[day]) for day in missing[:RECORDED_PER_LOOK]]
