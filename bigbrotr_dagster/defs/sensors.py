"""What follows from events: partitions follow the registry, and runs that end are told of."""

import time
from hashlib import sha256

import dagster as dg

from bigbrotr_dagster.defs.archive_assets import coverage_metadata
from bigbrotr_dagster.defs.jobs import batches, relay_sync, relays_in_flight
from bigbrotr_dagster.defs.partitions import ARCHIVE_COVERAGE, RELAYS, follow_registry
from bigbrotr_dagster.defs.resources import ArchiveDatabase, Synchronizer
from bigbrotr_dagster.defs.run_process import end_dead_runs
from bigbrotr_dagster.sync import (
    archive_counts,
    archive_coverage,
    proved_relays,
    registered_relays,
    unattempted_relays,
)

COUNTS_EVERY_SECONDS = 300
COVERAGE_EVERY_SECONDS = 600
COVERAGE_EVERY_SECONDS_WHILE_NEW = 60


@dg.sensor(
    job=relay_sync,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Keeps partitions equal to the registry, and syncs a newly registered relay at once.",
)
def relay_partitions(
    context: dg.SensorEvaluationContext, database: ArchiveDatabase, synchronizer: Synchronizer
) -> dg.SensorResult | dg.SkipReason:
    """Partitions of the registered relays; runs for those that were never tried."""
    url, options = database.ready(), synchronizer.config()
    for run_id in end_dead_runs(context.instance):
        context.log.warning(f"run {run_id} had lost its process")
    added, removed = follow_registry(context.instance, registered_relays(url))
    new = unattempted_relays(url, options)
    # Named by its relays: a tick that is evaluated twice must not start them twice. A batch that died before it
    # tried a relay is not started again from here; the schedule finds that relay due.
    named = sha256("\n".join(sorted(key for urls in new.values() for key in urls)).encode()).hexdigest()[:16]
    waiting = relays_in_flight(context.instance)
    requests = list(batches(new, waiting, options.partitions_per_run, f"new/{named}"))
    if not requests:
        return dg.SkipReason(f"{len(added)} partitions added, {len(removed)} removed; every relay was tried.")
    return dg.SensorResult(run_requests=requests)


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Draws the archive's coverage every ten minutes; after a minute when another relay has some.",
)
def archive_coverage_refresh(
    context: dg.SensorEvaluationContext, database: ArchiveDatabase, synchronizer: Synchronizer
) -> dg.SensorResult | dg.SkipReason:
    """A materialization of `archive_coverage` without a run, which would cost a hundred times as much.

    The cursor: when the last picture was drawn (Unix time), and of how many relays something was proved then.
    """
    url, now = database.ready(), int(time.time())
    proved = proved_relays(url)
    drawn_at, drawn_of = (int(word) for word in (context.cursor or "0 0").split())
    wait = COVERAGE_EVERY_SECONDS if proved == drawn_of else COVERAGE_EVERY_SECONDS_WHILE_NEW
    if not proved:
        return dg.SkipReason("Nothing is proved yet.")
    if now - drawn_at < wait:
        return dg.SkipReason(f"The picture is {now - drawn_at} s old.")
    metadata = coverage_metadata(archive_coverage(url, synchronizer.config()))
    picture = dg.AssetMaterialization(ARCHIVE_COVERAGE, metadata=metadata)
    return dg.SensorResult(asset_events=[picture], cursor=f"{now} {proved}")


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Logs why a run failed.",
)
def run_failed(context: dg.RunFailureSensorContext) -> None:
    """One line a failed run; Dagster keeps it with the tick."""
    run = context.dagster_run
    context.log.error(f"{run.job_name} {run.run_id}: {context.failure_event.message}")


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="After a sync, notes the archive's size on asset `relays`, at most every five minutes.",
)
def run_succeeded(context: dg.RunStatusSensorContext, database: ArchiveDatabase) -> None:
    """Observe the archive's size; the UI plots it over time."""
    run = context.dagster_run
    context.log.info(f"{run.job_name} {run.run_id} succeeded")
    latest = context.instance.fetch_observations(RELAYS, limit=1).records
    if latest and time.time() - latest[0].timestamp < COUNTS_EVERY_SECONDS:
        return
    sizes = archive_counts(database.ready())
    metadata = {f"{table}_rows": size.rows for table, size in sizes.items()} | {
        f"{table}_bytes": size.bytes for table, size in sizes.items()
    }
    context.instance.report_runless_asset_event(dg.AssetObservation(RELAYS, metadata=metadata))
