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
    """Stop the runs, so that they can still write, and what would start others; returns all that were told."""
    runs = _runs(mark)
    others = [one for one in marked(mark) if one not in runs and not _serves_code(one)]
    _send([*runs, *others], signal.SIGTERM)
    psutil.wait_procs(runs, timeout=RUN_SECONDS)
    return [*runs, *others]


def stop_all(mark: str, told: Sequence[psutil.Process] = ()) -> None:
    """Stop Dagster, and whatever is left of it. The processes in `told` know already."""
    knowing = list(told)
    deadline = time.monotonic() + DAGSTER_SECONDS
    while (left := marked(mark)) and time.monotonic() < deadline:
        late = [one for one in left if one not in knowing]  # also a run that was being started meanwhile
        knowing += late
        _send(late, signal.SIGTERM)
        time.sleep(0.1)
    _send(left, signal.SIGKILL)
    psutil.wait_procs(left, timeout=DAGSTER_SECONDS)


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


def _serves_code(process: psutil.Process) -> bool:
    """Whether runs depend on it: a code server, or a helper of Python's that it has started."""
    try:
        words = process.cmdline()
    except psutil.NoSuchProcess:
        return False
    return "code-server" in words or "grpc" in words or "multiprocessing" in " ".join(words)


def _send(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
