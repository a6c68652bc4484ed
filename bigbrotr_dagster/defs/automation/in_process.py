"""The asset, materialized in this process: how the command line syncs, so that the UI shows it too."""

import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from typing import Any, TextIO

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from bigbrotr_dagster.config import ConfigError
from bigbrotr_dagster.defs.relays import follow_registry, relay_cursor
from bigbrotr_dagster.defs.runs import ArchiveDatabase, Synchronizer
from bigbrotr_dagster.defs.runs.run_process import STARTED_BY_TAG
from bigbrotr_dagster.errors import CannotGoOn
from bigbrotr_dagster.storage.address import shown
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable, database_trouble
from bigbrotr_dagster.sync import CycleReport, Progress, watched

ONE_LINERS = {DatabaseUnavailable.__name__, ConfigError.__name__}
"""Errors below which there is nothing for a user."""


class RunFailed(CannotGoOn):
    """The run ended before the relays were synced; the message is one line."""


def sync_in_process(
    database_url: str,
    urls: Sequence[str],
    *,
    progress: Progress | None = None,
) -> CycleReport:
    """Materialize `relay_cursor` for these relays, which are registered, and return what came of it.

    A relay that fails is in the report, like any other.

    Raises:
        RunFailed: the database stopped answering, or the configuration cannot be used.
        DatabaseUnavailable: Dagster's own did not answer, refused, or belongs to another archive.
        KeyboardInterrupt: SIGINT or SIGTERM came; what was received is stored.
    """
    progress = progress or Progress()
    synchronizer = Synchronizer()
    said_once = redirect_stderr(_WithoutRepeats(sys.stderr))
    with said_once, dg.DagsterInstance.get() as instance:
        follow_registry(instance, database_url, synchronizer.config())
        token = watched.set(progress)
        try:
            result = dg.materialize(
                [relay_cursor],
                instance=instance,
                raise_on_error=False,
                resources={"database": ArchiveDatabase(), "synchronizer": synchronizer},
                run_config={
                    "ops": {"relay_cursor": {"config": {"relays": list(urls)}}},
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                },
                tags={STARTED_BY_TAG: "command line"},
            )
        except Exception as error:
            trouble = database_trouble(error, shown(database_url))  # Dagster could not write what came of it
            if trouble is None:
                raise
            raise trouble from error
        finally:
            watched.reset(token)
    cause = _cause(result)
    if cause is not None and cause.cls_name == dg.DagsterExecutionInterruptedError.__name__:
        raise KeyboardInterrupt
    report = progress.report
    if report is None or (not result.success and not report.failed):
        raise RunFailed(cause.message.strip().splitlines()[0].split(": ", 1)[-1] if cause else "the run failed")
    return report


class _WithoutRepeats:
    """A stream without the line that Dagster writes to stderr for each event that its database did not take."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return 0 if text.startswith("Exception while writing logger call") else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _cause(result: dg.ExecuteInProcessResult) -> SerializableErrorInfo | None:
    """The error at the bottom of the run's failure, or the one that says it in a line; None if no step failed."""
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            while error is not None and error.cause is not None and error.cls_name not in ONE_LINERS:
                error = error.cause
            return error
    return None
