"""Events on single partitions, many in one go: `log_event` costs 5 to 8 ms of CPU each, this a tenth of that.

It takes of Dagster's private modules what `private_parts` has. Where a release of Dagster does not have it, or it
fails, the events go through the public `log_event`, one by one.
"""

import logging
import os
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import dagster as dg

from bigbrotr_dagster.defs.instance import private_parts as private

MOMENT = 0.001
"""Seconds between two events of a batch: the UI's list of events shows one of each moment."""

RunContext = dg.AssetExecutionContext | dg.OpExecutionContext
Recordable = dg.AssetMaterialization | dg.AssetCheckEvaluation

log = logging.getLogger(__name__)


def is_partitioned(context: RunContext) -> bool:
    """Whether the run was asked for partitions (the UI, a backfill) rather than for relays in its config."""
    return bool(context.has_partition_key or context.has_partition_key_range)


def write_events(context: RunContext, events: Sequence[Recordable]) -> None:
    """Write events of this run, in one go if that is possible.

    Raises:
        Exception: not even `log_event` could write them.
    """
    one_by_one = list(events)
    if private.HAS_PRIVATE_PARTS and isinstance(
        context.instance.event_log_storage, private.PostgresEventLogStorage
    ):
        try:
            one_by_one = _write_batch(context, events)
        except Exception:  # whatever a release of Dagster changes: the public way is left
            log.warning("events could not be written in one go", exc_info=True)
    for event in one_by_one:
        log_event(context, event)


def log_event(context: RunContext, event: Recordable) -> None:
    """Write an event of this run; the annotations of Dagster's `log_event` forget that it takes evaluations."""
    context.log_event(event)  # type: ignore[arg-type, unused-ignore]


def log_for_all(context: RunContext, evaluation: dg.AssetCheckEvaluation) -> None:
    """Write a check's evaluation of all relays, such that it is what the UI shows of the check.

    Dagster shows the row that was made last. The run's own was made when it was planned, before those of single
    relays: where there are such, the evaluation is reported once more, without the run.
    """
    log_event(context, evaluation)
    key = dg.AssetCheckKey(evaluation.asset_key, evaluation.check_name)
    latest = context.instance.event_log_storage.get_latest_asset_check_execution_by_key([key]).get(key)
    if latest is not None and latest.partition is not None:
        context.instance.report_runless_asset_event(evaluation)


def mark_failed(context: RunContext, keys: Iterable[str], asset: dg.AssetKey) -> None:
    """Let these partitions show FAILED once this run has failed.

    Dagster takes a partition for failed when its newest PLANNED event has no later materialization and that run
    failed. A run without partition tags planned none, so it does that now, for these alone.
    """
    if not private.HAS_PRIVATE_PARTS:
        return  # their checks say it all the same
    for key in keys:
        event = private.DagsterEvent.build_asset_materialization_planned_event(
            context.run.job_name,
            str(_op_context(context).op_handle),
            private.AssetMaterializationPlannedData(asset, partition=key, partitions_subset=None),
        )
        context.instance.report_dagster_event(event, context.run.run_id)


def open_backfill_partitions(instance: dg.DagsterInstance) -> set[str]:
    """The partitions, of whatever assets, that open backfills name: Dagster fails a backfill if one is missing."""
    named: set[str] = set()
    if not private.HAS_PRIVATE_PARTS:
        return named  # those of which runs were started are known from these
    underway = [
        status for status in private.BulkActionStatus if status not in private.BULK_ACTION_TERMINAL_STATUSES
    ]
    for backfill in instance.get_backfills(filters=private.BulkActionsFilter(statuses=underway)):
        named.update(backfill.partition_names or ())
        if backfill.asset_backfill_data is not None:
            subsets = backfill.asset_backfill_data.target_subset.partitions_subsets_by_asset_key
            for subset in subsets.values():
                named.update(subset.get_partition_keys())
    return named


def _op_context(context: RunContext) -> dg.OpExecutionContext:
    return context.op_execution_context if isinstance(context, dg.AssetExecutionContext) else context


def _write_batch(context: RunContext, events: Sequence[Recordable]) -> list[Recordable]:
    """Returns the events that have to go one by one."""
    storage = context.instance.event_log_storage
    materializations = [event for event in events if isinstance(event, dg.AssetMaterialization)]
    checks = [event for event in events if isinstance(event, dg.AssetCheckEvaluation)]
    if materializations:
        first = time.time() - len(materializations) * MOMENT
        moments = (first + number * MOMENT for number in range(len(materializations)))
        storage.store_event_batch(list(map(partial(_materialization, context), materializations, moments)))
    if is_partitioned(context):  # each has a row of the plan that is to be updated
        return [*checks]
    if checks:
        private.insert_checks(storage, [_check(context, event) for event in checks])
    return []


def _materialization(
    context: RunContext, event: dg.AssetMaterialization, moment: float
) -> "private.EventLogEntry":
    message = event.description or f"Materialized value {event.label}."
    data = private.StepMaterializationData(event)
    return _entry(context, private.DagsterEventType.ASSET_MATERIALIZATION, data, message, moment)


def _check(context: RunContext, event: dg.AssetCheckEvaluation) -> "private.EventLogEntry":
    message = f"Asset check '{event.check_name}' on '{event.asset_key.to_user_string()}' "
    message += "passed" if event.passed else "did not pass"
    message += f" for {event.partition}." if event.partition else "."
    if event.description:
        message += f" Description: '{event.description}'"
    return _entry(context, private.DagsterEventType.ASSET_CHECK_EVALUATION, event, message, time.time())


def _entry(
    context: RunContext, kind: "private.DagsterEventType", data: Any, message: str, moment: float
) -> "private.EventLogEntry":
    """The record of an event as DagsterEvent.from_step makes it, without passing the run's loggers."""
    step_context = _op_context(context).get_step_execution_context()
    event = private.DagsterEvent(
        event_type_value=kind.value,
        job_name=step_context.job_name,
        step_handle=step_context.step.handle,
        node_handle=step_context.step.node_handle,
        step_kind_value=step_context.step.kind.value,
        logging_tags=step_context.event_tags,
        event_specific_data=data,
        message=message,
        pid=os.getpid(),
    )
    return private.EventLogEntry(
        error_info=None,
        level=logging.DEBUG,
        user_message=message,
        run_id=context.run.run_id,
        timestamp=moment,
        step_key=event.step_key,
        job_name=event.job_name,
        dagster_event=event,
    )
