"""Finding and stopping every process that came from one `dev`.

Dagster's code server starts further processes, and some of them outlive their parents. Each carries a mark in its
environment, so that stopping finds them all: runs are interrupted first and store what they have received, then
Dagster is asked to stop, and what is left after that is killed.
"""

import signal
import time
from collections.abc import Sequence

import psutil

MARK = "BIGBROTR_DEV"
"""Environment variable that all processes of one `dev` share."""

RUN_SECONDS = 10.0
"""Seconds that runs have to store what they received."""

DAGSTER_SECONDS = 10.0
"""Seconds that Dagster's own processes have to stop."""


def interrupt_runs(mark: str) -> list[psutil.Process]:
    """Stop the runs, so that they can still write; returns their processes."""
    told = _runs(mark)
    _send(told, signal.SIGTERM, RUN_SECONDS)
    return told


def stop_all(mark: str, told: Sequence[psutil.Process] = ()) -> None:
    """Stop Dagster, and whatever is left of it. The runs in `told` know already."""
    runs = list(told)
    deadline = time.monotonic() + DAGSTER_SECONDS
    _send([one for one in marked(mark) if one not in runs], signal.SIGTERM, 0)
    while (left := marked(mark)) and time.monotonic() < deadline:
        late = [run for run in _runs(mark) if run not in runs]  # the daemon started it meanwhile
        runs += late
        _send(late, signal.SIGTERM, 0.2)
        time.sleep(0.2)
    _send(left, signal.SIGKILL, DAGSTER_SECONDS)


def marked(mark: str) -> list[psutil.Process]:
    """Every living process that carries the mark, whoever its parent is now; the database's are not ours."""
    return [process for process in psutil.process_iter() if environment_of(process).get(MARK) == mark]


def environment_of(process: psutil.Process) -> dict[str, str]:
    """What a living process was started with; nothing of PostgreSQL's, and of those that we may not look at."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE or process.name() == "postgres":
            return {}
        return process.environ()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return {}


def _runs(mark: str) -> list[psutil.Process]:
    """The processes that execute runs: children of a code server."""
    runs = []
    for process in marked(mark):
        try:
            parent = process.parent()
            if "spawn_main" in " ".join(process.cmdline()) and parent and "grpc" in parent.cmdline():
                runs.append(process)
        except psutil.NoSuchProcess:
            continue
    return runs


def _send(processes: Sequence[psutil.Process], number: signal.Signals, seconds: float) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
    if seconds:
        psutil.wait_procs(processes, timeout=seconds)
