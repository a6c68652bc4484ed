"""Which process executes a run: a run whose process is gone has to end, and a run that a person stops is canceled.

Dagster notices the death of a run's process only while the code server that started it lives. After a power cut,
or a SIGKILL of `bigbrotr-dagster sync`, such a run would stay STARTED for ever: it would hold its place in the
queue, and the schedule would take its relays for being synced.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import psutil

from bigbrotr_dagster.defs.partition_events import RunContext

PROCESS_TAG = "bigbrotr/process"
STARTED_BY_TAG = "bigbrotr/started_by"
DEV_MARK = "BIGBROTR_DEV"
"""Environment variable that `bigbrotr-dagster dev` gives to all that it starts."""


@contextmanager
def executing(context: RunContext) -> Iterator[None]:
    """Note on the run that this process executes it; the run is CANCELED where a person stops it by a signal.

    Elsewhere (a container that is moved) an interrupted run is a FAILURE, which Dagster starts again.
    """
    context.instance.add_run_tags(context.run.run_id, {PROCESS_TAG: _name(psutil.Process())})
    try:
        yield
    except dg.DagsterExecutionInterruptedError:
        if DEV_MARK in os.environ or STARTED_BY_TAG in context.run.tags:
            run = context.instance.get_run_by_id(context.run.run_id)
            if run is not None and run.status == dg.DagsterRunStatus.STARTED:
                context.instance.report_run_canceling(run, "Stopped by a signal.")
        raise


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark the runs as failed whose process, on this machine, is gone; returns their ids.

    Dagster's retries then start again what a code server had started.
    """
    ended = []
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        process = run.tags.get(PROCESS_TAG)
        if process is None or not _is_dead(process):
            continue
        now = instance.get_run_by_id(run.run_id)  # a run writes its end before its process is gone
        if now is not None and now.status == dg.DagsterRunStatus.STARTED:
            instance.report_run_failed(now, f"The run's process is gone: {process}.")
            ended.append(run.run_id)
    return ended


def _name(process: psutil.Process) -> str:
    """Host, pid, and the time of its start, for pids are used again."""
    return f"{socket.gethostname()} {process.pid} {process.create_time():.2f}"


def _is_dead(name: str) -> bool:
    host, pid, _ = name.rsplit(" ", 2)
    if host != socket.gethostname():
        return False
    try:
        process = psutil.Process(int(pid))
        return _name(process) != name or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
