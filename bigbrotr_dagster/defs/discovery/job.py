"""When relays are looked for: every `discovery.interval` seconds, if there is something new."""

import time

import dagster as dg

from bigbrotr_dagster.defs.discovery.assets import relay_candidates, relay_validated
from bigbrotr_dagster.defs.graph import RELAYS
from bigbrotr_dagster.defs.runs import ArchiveDatabase, Synchronizer
from bigbrotr_dagster.defs.runs.in_flight import IN_FLIGHT
from bigbrotr_dagster.discovery.due import what_is_due

relay_discovery = dg.define_asset_job(
    "relay_discovery",
    selection=dg.AssetSelection.assets(relay_candidates, relay_validated, RELAYS),
    executor_def=dg.in_process_executor,
    description="Look for relays in what has been archived since the last look, and register those that are real.",
)


@dg.sensor(
    job=relay_discovery,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks for relays while `discovery.enabled` is set, and something new is archived or due.",
)
def relay_discovery_sensor(
    context: dg.SensorEvaluationContext, database: ArchiveDatabase, synchronizer: Synchronizer
) -> dg.SensorResult | dg.SkipReason:
    """One run at a time. The cursor: when the last one was asked for (Unix time)."""
    options, now = synchronizer.config(), int(time.time())
    if not options.discovery.enabled:
        return dg.SkipReason("`discovery.enabled` is not set.")
    due = what_is_due(database.ready(), options)
    wait = int(context.cursor or 0) + (0 if due.is_growing else options.discovery.interval) - now
    if wait > 0:
        return dg.SkipReason(f"The next look is in {wait:.0f} s.")
    if not due.anything:
        return dg.SkipReason("Nothing was archived since the last look, and no candidate is due.")
    if context.instance.get_runs(dg.RunsFilter(job_name=relay_discovery.name, statuses=IN_FLIGHT), limit=1):
        return dg.SkipReason("A look is under way.")
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"discovery/{now}")], cursor=str(now))
