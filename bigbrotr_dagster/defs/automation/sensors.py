"""What follows from events: partitions follow the registry, and runs that end are told of."""

from hashlib import sha256

import dagster as dg

from bigbrotr_dagster.archive.turns import unattempted_relays
from bigbrotr_dagster.defs.automation.jobs import batches, relay_sync
from bigbrotr_dagster.defs.automation.refreshes import looking
from bigbrotr_dagster.defs.automation.webhook import WebhookFailed, post, webhook_address
from bigbrotr_dagster.defs.graph import as_block
from bigbrotr_dagster.defs.relays import NEXT_STEP, configuration_mark, follow_registry
from bigbrotr_dagster.defs.runs import ArchiveDatabase, Synchronizer
from bigbrotr_dagster.defs.runs.in_flight import relays_in_flight
from bigbrotr_dagster.defs.runs.run_process import end_dead_runs, is_ours, missed_from_cursor, missed_to_cursor

MOST_REASON = 1_500
"""Characters of a failure's reason that a webhook is told: Discord takes 2,000 in all."""


@looking(
    job=relay_sync,
    description="Keeps partitions and registry equal, and syncs a newly registered relay at once.",
)
def relay_partitions(
    context: dg.SensorEvaluationContext, database: ArchiveDatabase, synchronizer: Synchronizer
) -> dg.SensorResult | dg.SkipReason:
    """Partitions of registered relays, relays of partitions that were added; runs for what was never tried.

    The cursor is the mark of the configuration: asset `relays` shows it, also once it has changed.
    """
    url, options, mark = database.ready(), synchronizer.config(), configuration_mark()
    followed = follow_registry(context.instance, url, options, tell=mark != context.cursor)
    lines, warnings = followed.lines(), followed.warnings()
    context.update_cursor(mark)
    for line in lines:
        (context.log.warning if line in warnings else context.log.info)(line)
    waiting = relays_in_flight(context.instance, url)  # first: what is tried after this look is not new either
    new = unattempted_relays(url, options)
    # Named by its relays: a tick that is evaluated twice must not start them twice. A batch that died before it
    # tried a relay is not started again from here; the schedule finds that relay due.
    named = sha256("\n".join(sorted(key for urls in new.values() for key in urls)).encode()).hexdigest()[:16]
    requests = list(batches(new, waiting, options, f"new/{named}"))
    if not requests:
        return dg.SkipReason("\n".join([*lines, NEXT_STEP if followed.is_empty else "Every relay was tried."]))
    return dg.SensorResult(run_requests=requests)


@looking(
    description="Ends runs that are dead: their process is gone, or shows no sign of life.",
)
def dead_runs(
    context: dg.SensorEvaluationContext, database: ArchiveDatabase, synchronizer: Synchronizer
) -> dg.SkipReason:
    """One line on each run that is ended. The cursor: the runs that may be dead, and since when."""
    missed = missed_from_cursor(context.cursor)
    dead_after = synchronizer.config().dead_run_seconds
    ended = end_dead_runs(context.instance, database.ready(), dead_after, missed)
    for line in ended:
        context.log.warning(line)
    context.update_cursor(missed_to_cursor(missed))
    return dg.SkipReason("\n".join(ended) or f"No run is dead; {len(missed)} show no sign of life just now.")


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Logs why a run failed, and tells the configured `failure_webhook`.",
)
def run_failed(context: dg.RunFailureSensorContext, synchronizer: Synchronizer) -> None:
    """One line a failed run, which Dagster keeps with the tick; a webhook that is away fails no tick."""
    run, why = context.dagster_run, _reason(context)
    if not is_ours(run):
        return  # of somebody else's assets in the same project
    context.log.error(f"{run.job_name} {run.run_id}: {why}")
    address = webhook_address(synchronizer.config())
    if address is None:
        return
    text = f"Run {run.run_id} of {run.job_name} failed:\n{as_block(why)}"
    tags = {key: value for key, value in run.tags.items() if key.startswith("bigbrotr/")}
    try:
        # "text" is what Slack and Mattermost show, "content" what Discord does.
        post(address, {"text": text, "content": text, "run_id": run.run_id, "job": run.job_name, "tags": tags})
    except WebhookFailed as error:
        context.log.error(f"the webhook did not take it: {error}")


def _reason(context: dg.RunFailureSensorContext) -> str:
    """What the step said, in at most a few lines; else what Dagster says of the run."""
    for event in context.get_step_failure_events():
        failure = event.step_failure_data.user_failure_data
        if failure is not None and failure.description:
            return failure.description[:MOST_REASON]
        error = event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        if error is not None:
            return error.message.strip()[:MOST_REASON]
    return (context.failure_event.message or "no reason is known")[:MOST_REASON]
