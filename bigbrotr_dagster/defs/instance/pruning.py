"""Dagster's event log, kept small: each sync of a relay writes 2.5 kB to it, and Dagster never prunes it.

What goes is old, and ours: events of our assets that newer ones replaced, and runs of our jobs. The newest
materialization of each partition stays, however old it is, and so does what each check found last: the graph looks
as before. What others keep in the same instance is theirs.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from bigbrotr_dagster.defs.instance import private_parts as private
from bigbrotr_dagster.storage.queries import query

BATCH = 5_000
"""Events that are looked at in one transaction."""


@dataclass(slots=True)
class Pruned:
    """How many rows are gone."""

    events: int = 0
    checks: int = 0
    runs: int = 0


def prune(
    instance: dg.DagsterInstance,
    days: float,
    assets: Collection[dg.AssetKey],
    jobs: Collection[str],
    tags: Collection[str],
) -> Pruned:
    """Delete what is older than so many days of these assets and jobs, and is not the newest of its kind.

    Of the jobs' runs, those that bear one of the `tags`: somebody else's jobs may have the same names. Of an
    instance that does not keep its runs in PostgreSQL nothing is deleted.
    """
    pruned, storage = Pruned(), instance.event_log_storage
    if not private.HAS_PRIVATE_PARTS or not isinstance(storage, private.PostgresEventLogStorage):
        return pruned
    given: dict[str, Any] = {
        "before": datetime.now(UTC).replace(tzinfo=None) - timedelta(days=days),  # as Dagster writes it
        "assets": [asset.to_string() for asset in assets],
        "jobs": list(jobs),
        "tags": list(tags),
        "most": BATCH,
        "after": 0,
    }

    with storage.index_connection() as connection:

        def ask(name: str) -> int | None:
            row = connection.exec_driver_sql(query(name).decode(), given).first()
            return None if row is None else row[0]

        while (last := ask("oldest_events")) is not None:
            given["last"] = last
            pruned.events += ask("delete_asset_events") or 0
            pruned.events += ask("delete_run_events") or 0
            given["after"] = last
        pruned.checks = ask("delete_check_executions") or 0
        pruned.runs = ask("delete_runs") or 0
    return pruned
