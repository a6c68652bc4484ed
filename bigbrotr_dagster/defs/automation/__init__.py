"""What starts runs, and what follows them: jobs, schedules, sensors, and the run that `sync` executes by itself.

`jobs` says how due relays become runs, `schedules` when, `sensors` after which event; `refreshes` keeps fresh what
needs no run, `webhook` tells of failures, `in_process` is the way of the command line. Start reading at `jobs`.
"""

from bigbrotr_dagster.defs.automation.in_process import RunFailed, sync_in_process
from bigbrotr_dagster.defs.automation.jobs import cleanup, relay_sync
from bigbrotr_dagster.defs.automation.refreshes import archive_coverage_refresh, archive_stats_refresh
from bigbrotr_dagster.defs.automation.schedules import (
    cleanup_schedule,
    relay_health_schedule,
    relay_sync_schedule,
)
from bigbrotr_dagster.defs.automation.sensors import dead_runs, relay_partitions, run_failed

__all__ = [
    "RunFailed",
    "archive_coverage_refresh",
    "archive_stats_refresh",
    "cleanup",
    "cleanup_schedule",
    "dead_runs",
    "relay_health_schedule",
    "relay_partitions",
    "relay_sync",
    "relay_sync_schedule",
    "run_failed",
    "sync_in_process",
]
