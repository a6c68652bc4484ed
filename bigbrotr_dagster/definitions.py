"""Everything that Dagster loads: `dagster dev -m bigbrotr_dagster.definitions`, in a clone or an empty folder.

The objects are listed, because load_from_defs_folder needs a pyproject.toml beside the package.
"""

import dagster as dg

from bigbrotr_dagster.defs.archive_assets import archive_coverage
from bigbrotr_dagster.defs.assets import relay_cursor, relays
from bigbrotr_dagster.defs.checks import cursor_within_coverage
from bigbrotr_dagster.defs.jobs import cleanup, relay_sync
from bigbrotr_dagster.defs.resources import ArchiveDatabase, Synchronizer
from bigbrotr_dagster.defs.schedules import cleanup_schedule, relay_sync_schedule
from bigbrotr_dagster.defs.sensors import (
    archive_coverage_refresh,
    relay_partitions,
    run_failed,
    run_succeeded,
)

defs = dg.Definitions(
    assets=[relays, relay_cursor, archive_coverage],
    asset_checks=[cursor_within_coverage],
    jobs=[relay_sync, cleanup],
    schedules=[relay_sync_schedule, cleanup_schedule],
    sensors=[relay_partitions, archive_coverage_refresh, run_failed, run_succeeded],
    resources={"database": ArchiveDatabase(), "synchronizer": Synchronizer()},
    # A process for each step would double a run's cost (16 CPU s rather than 8).
    executor=dg.in_process_executor,
)
