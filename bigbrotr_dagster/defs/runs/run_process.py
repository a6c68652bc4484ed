"""Which run is dead: a run whose process is gone has to end, and a run that a person stops is canceled.

Dagster notices the death of a run's process only while the code server that started it lives, and with some
launchers never. After a power cut, or a SIGKILL of `bigbrotr-dagster sync`, such a run would stay STARTED for
ever: it would hold its place in the queue, and the schedule would take its relays for being synced.

A run lives while it holds its lock in PostgreSQL, wherever it is. Without the lock its process decides, where it
can be seen from here. Where it cannot, a run ends that for a bounded time held no lock and left no event.
"""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

import dagster as dg

from bigbrotr_dagster.defs.graph import (
    ARCHIVE_COVERAGE,
    ARCHIVE_STATS,
    RELAY_CURSOR,
    RELAY_HEALTH,
    RELAYS,
    asset_key,
)
from bigbrotr_dagster.defs.instance.partition_events import RunContext
from bigbrotr_dagster.defs.runs.process_name import ProcessName
from bigbrotr_dagster.storage.locks import held_runs, run_lock

PROCESS_TAG = ".dagster/bigbrotr_process"
"""The UI, and its GraphQL, show no tag that begins so; on each row of the list of runs it would be noise."""
EARLIER_PROCESS_TAG = "bigbrotr/process"
"""The same tag on runs of earlier versions."""
STARTED_BY_TAG = "bigbrotr/started_by"
DEV_MARK = "BIGBROTR_DEV"
"""Environment variable that `bigbrotr-dagster dev` gives to all that it starts."""

CELERY_TASK_TAG = "dagster-celery/task_id"
"""On runs that Celery carries to their workers."""

LOOKS_AT_TASK = 5
"""At the state of a run's task, 0.2 s apart, once the run was sent a signal."""

LEAST_LOOKS = 3
"""Looks without a sign of life before a run is ended: a clock that jumps makes seconds pass that were none."""

OUR_JOBS = {
    "relay_sync",
    "resync",
    "cleanup",
    "relay_health",
    "relay_discovery",
    "export_days",
    "report",
    "add_relays",
    "remove_relays",
}
OTHERS = ("relay_candidates", "relay_validated", "event_day", "archive_report")
OUR_ASSETS = {RELAYS, RELAY_CURSOR, RELAY_HEALTH, ARCHIVE_COVERAGE, ARCHIVE_STATS, *map(asset_key, OTHERS)}
OUR_TABLES = {*map(asset_key, ("event", "event_relay", "sync_coverage", "sync_gap"))}
"""Assets that no run materializes."""
OUR_TAGS = {PROCESS_TAG, EARLIER_PROCESS_TAG}
"""A run of ours bears one of these as soon as it works."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A run without a sign of life: since when (Unix time), how many looks, and its newest event then."""

    since: float
    looks: int
    event: int


@contextmanager
def living(instance: dg.DagsterInstance, run: dg.DagsterRun, database_url: str) -> Iterator[None]:
    """Note on the run that this process executes it, and hold the run's lock."""
    name = ProcessName.own()
    if name is not None:
        instance.add_run_tags(run.run_id, {PROCESS_TAG: str(name)})

    def stop_if_ended() -> None:
        """A run that was taken for dead may have been started again: two at once would be one too many."""
        now = instance.get_run_by_id(run.run_id)
        if now is not None and now.is_finished:
            os.kill(os.getpid(), signal.SIGTERM)

    with run_lock(database_url, run.run_id, on_return=stop_if_ended):
        yield


def own_place() -> str:
    """Where this process runs, for a run's log: the tag that says so is hidden."""
    return f"by process {os.getpid()} on {socket.gethostname()}"


@contextmanager
def canceled_by_a_signal(context: RunContext) -> Iterator[None]:
    """The run is CANCELED where a person stops it by a signal.

    Elsewhere (a container that is moved) an interrupted run is a FAILURE, which Dagster starts again.
    """
    try:
        yield
    except dg.DagsterExecutionInterruptedError:
        run = context.instance.get_run_by_id(context.run.run_id)
        if run is not None and run.status == dg.DagsterRunStatus.STARTED and _is_a_persons_wish(context, run):
            context.instance.report_run_canceling(run, "Stopped by a signal.")
        raise


def _is_a_persons_wish(context: RunContext, run: dg.DagsterRun) -> bool:
    """Whether a signal came from a person: to `dev`, to the command line, or by Terminate to a worker of Celery.

    Other launchers note on the run that it is to be canceled. Celery's tells the worker alone, which notes it on
    the task once it has sent the signal.
    """
    if DEV_MARK in os.environ or STARTED_BY_TAG in run.tags:
        return True
    if CELERY_TASK_TAG not in run.tags:
        return False
    for _ in range(LOOKS_AT_TASK):
        with suppress(Exception):  # the broker's: it may be away, and then nobody knows
            if "REVOKED" in (context.instance.run_launcher.check_run_worker_health(run).msg or ""):
                return True
        time.sleep(0.2)
    return False


def end_dead_runs(
    instance: dg.DagsterInstance, database_url: str, dead_after: float, missed: dict[str, Missed]
) -> list[str]:
    """Mark the runs as failed that are dead; returns one line on each. Dagster's retries then start them again.

    `dead_after`: seconds without a sign of life after which a run ends whose process cannot be seen from here.
    `missed`: what earlier looks found, by run id; it is brought up to date.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer, so nothing is known of any run.
    """
    started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
    runs = {run.run_id: run for run in instance.get_runs(started) if is_ours(run)}
    held = held_runs(database_url, runs) if runs else set()
    for run_id in missed.keys() - (runs.keys() - held):
        del missed[run_id]
    ended = []
    for run_id in runs.keys() - held:
        why = _why_dead(instance, runs[run_id], dead_after, missed)
        now = instance.get_run_by_id(
            run_id
        )  # a run frees its lock, and writes its end, before its process is gone
        if why is not None and now is not None and now.status == dg.DagsterRunStatus.STARTED:
            instance.report_run_failed(now, why)
            missed.pop(run_id, None)
            ended.append(f"run {run_id}: {why}")
    return ended


def _why_dead(
    instance: dg.DagsterInstance, run: dg.DagsterRun, dead_after: float, missed: dict[str, Missed]
) -> str | None:
    """Why a run that holds no lock is dead; None while it may live, and then what was seen is in `missed`."""
    key = PROCESS_TAG if PROCESS_TAG in run.tags else EARLIER_PROCESS_TAG
    tag = run.tags.get(key)
    process = None if tag is None else ProcessName.parse(tag)
    is_alive = None if process is None else process.is_alive()
    if is_alive is False:
        return f"The run's process is gone: {process}."
    if is_alive and tag is not None and _is_latest(instance, run.run_id, key, tag):
        missed.pop(run.run_id, None)
        return None
    newest, now = _newest_event(instance, run.run_id), time.time()
    before = missed.get(run.run_id)
    if before is None or before.event != newest:
        before = Missed(now, 0, newest)
    seen = missed[run.run_id] = Missed(min(before.since, now), before.looks + 1, newest)
    if seen.looks < LEAST_LOOKS or now - seen.since < dead_after:
        return None
    where = f"its process: {tag}" if tag else "it never named its process"
    return f"The run held no lock and left no event for {now - seen.since:.0f} s ({where})."


def _is_latest(instance: dg.DagsterInstance, run_id: str, key: str, tag: str) -> bool:
    """Whether a process has begun no other run since: one may outlive its runs (`sync`, a worker of Celery)."""
    latest = instance.get_runs(dg.RunsFilter(tags={key: tag}), limit=1)
    return all(run.run_id == run_id for run in latest)


def _newest_event(instance: dg.DagsterInstance, run_id: str) -> int:
    """Number of the run's newest event; 0 if it has none."""
    records = instance.get_records_for_run(run_id, limit=1, ascending=False).records
    return records[0].storage_id if records else 0


def is_ours(run: dg.DagsterRun) -> bool:
    """Whether the run takes a lock; others on this instance may be of somebody else's assets."""
    selection = run.asset_selection
    is_named = PROCESS_TAG in run.tags or EARLIER_PROCESS_TAG in run.tags
    return is_named or run.job_name in OUR_JOBS or bool(selection and selection <= OUR_ASSETS)


def missed_to_cursor(missed: dict[str, Missed]) -> str:
    """What a sensor keeps from one look to the next."""
    return json.dumps({run_id: asdict(one) for run_id, one in missed.items()})


def missed_from_cursor(cursor: str | None) -> dict[str, Missed]:
    """What `missed_to_cursor` kept; nothing where the cursor is another's."""
    try:
        return {run_id: Missed(**one) for run_id, one in json.loads(cursor or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}
