"""All that is taken of Dagster's private modules and attributes: a release of Dagster may move each of them.

`HAS_PRIVATE_PARTS` says whether they are where we know them: only then may they be named, as attributes of this
module. Whoever uses them has a public way beside it.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Engine

try:
    from dagster._core.events import (
        AssetMaterializationPlannedData,
        DagsterEvent,
        DagsterEventType,
        StepMaterializationData,
    )
    from dagster._core.events.log import EventLogEntry
    from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionsFilter, BulkActionStatus
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
    from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
    from dagster_postgres import PostgresEventLogStorage

    HAS_PRIVATE_PARTS = True
except ImportError:
    HAS_PRIVATE_PARTS = False

__all__ = [  # what of Dagster's is only handed on
    "BULK_ACTION_TERMINAL_STATUSES",
    "AssetMaterializationPlannedData",
    "BulkActionStatus",
    "BulkActionsFilter",
    "DagsterEvent",
    "DagsterEventType",
    "EventLogEntry",
    "PostgresEventLogStorage",
    "StepMaterializationData",
]


def share_engine(part: Any, engine: Engine) -> None:
    """Let one of Dagster's storages use this engine's pool in place of an engine of its own."""
    if isinstance(getattr(part, "_engine", None), Engine):  # else a release of Dagster has moved it
        part._engine.dispose()
        part._engine = engine


def insert_checks(storage: Any, entries: Sequence["EventLogEntry"]) -> None:
    """What store_event does for an evaluation that was not planned, for many at once."""
    rows = [storage._event_to_row(entry) for entry in entries]
    with storage._connect() as connection:
        insert = SqlEventLogStorageTable.insert().returning(
            SqlEventLogStorageTable.c.id, sort_by_parameter_order=True
        )
        ids = [row[0] for row in connection.execute(insert, rows)]
        statuses = AssetCheckExecutionRecordStatus
        executions = []
        for number, entry, row in zip(ids, entries, rows, strict=True):
            check = entry.get_dagster_event().asset_check_evaluation_data
            executions.append(
                {
                    "asset_key": check.asset_key.to_string(),
                    "check_name": check.check_name,
                    "partition": check.partition,
                    "run_id": entry.run_id,
                    "execution_status": (statuses.SUCCEEDED if check.passed else statuses.FAILED).value,
                    "evaluation_event": row["event"],
                    "evaluation_event_timestamp": row["timestamp"],
                    "evaluation_event_storage_id": number,
                }
            )
        connection.execute(AssetCheckExecutionsTable.insert(), executions)
