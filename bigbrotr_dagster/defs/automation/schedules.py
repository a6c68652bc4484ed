"""When relays are synced, and looked after: every `interval` of the configuration, those that are due."""

import dagster as dg

from bigbrotr_dagster.archive.turns import due_relays
from bigbrotr_dagster.defs.automation.jobs import batches, cleanup, health_batches, relay_health, relay_sync
from bigbrotr_dagster.defs.graph import RELAY_HEALTH
from bigbrotr_dagster.defs.runs import ArchiveDatabase, Synchronizer
from bigbrotr_dagster.defs.runs.in_flight import relays_in_flight
from bigbrotr_dagster.defs.settings import configuration
from bigbrotr_dagster.discovery.health import checked_since, relays_due

EVERY_MINUTE = "* * * * *"

HEALTH_TICK = 300.0
"""Seconds between two looks for relays whose check is due: a new one need not wait for `monitor.interval`."""


def cron_for(interval: float) -> str:
    """The cron line that ticks every `interval` seconds; where none does, every minute (the due check decides)."""
    minutes, rest = divmod(interval, 60)
    if rest == 0 and 1 < minutes < 60 and 60 % minutes == 0:
        return f"*/{minutes:.0f} * * * *"
    hours, rest = divmod(interval, 3600)
    if rest == 0 and hours >= 1 and 24 % hours == 0:
        return f"0 */{hours:.0f} * * *" if hours < 24 else "0 0 * * *"
    return EVERY_MINUTE


def tick_seconds(interval: float) -> float:
    """Time between two ticks of `cron_for(interval)`."""
    return 60.0 if cron_for(interval) == EVERY_MINUTE else interval


@dg.schedule(
    job=relay_sync,
    cron_schedule=cron_for(configuration().interval),
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Syncs the relays that are due, who waited longest first, in batches of one network.",
)
def relay_sync_schedule(
    context: dg.ScheduleEvaluationContext, database: ArchiveDatabase, synchronizer: Synchronizer
) -> list[dg.RunRequest] | dg.SkipReason:
    """Batches of the relays that are due."""
    options = synchronizer.config()
    # Half a tick's grace: a relay that was synced a moment after the last tick is due at this one.
    since = options.interval - tick_seconds(options.interval) / 2
    url = database.ready()
    waiting = relays_in_flight(context.instance, url)  # first: what ends after this look is not due either
    due = due_relays(url, options, interval=since)
    run_key = context.scheduled_execution_time.isoformat()
    requests = list(batches(due, waiting, options, run_key))
    return requests or dg.SkipReason("No relay is due that is not already in a batch.")


@dg.schedule(
    job=relay_health,
    cron_schedule=cron_for(min(HEALTH_TICK, configuration().monitor.interval)),
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Checks how the relays are that are due, most overdue first, in batches of one network.",
)
def relay_health_schedule(
    context: dg.ScheduleEvaluationContext, database: ArchiveDatabase, synchronizer: Synchronizer
) -> list[dg.RunRequest] | dg.SkipReason:
    """Batches of the relays whose check is due, where the monitor is enabled."""
    options = synchronizer.config()
    if not options.monitors:
        return dg.SkipReason("The monitor is not enabled (monitor.enabled, or else discovery.enabled).")
    tick = tick_seconds(min(HEALTH_TICK, options.monitor.interval))
    url = database.ready()
    waiting = relays_in_flight(context.instance, url, RELAY_HEALTH, checked_since)
    due = relays_due(url, options, interval=options.monitor.interval - tick / 2)
    run_key = context.scheduled_execution_time.isoformat()
    requests = list(health_batches(due, waiting, options, f"health/{run_key}"))
    return requests or dg.SkipReason("No relay's check is due that is not already in a batch.")


cleanup_schedule = dg.ScheduleDefinition(
    name="cleanup_schedule",
    job=cleanup,
    cron_schedule="17 4 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Once a day, at a quiet minute.",
)
