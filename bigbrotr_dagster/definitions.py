"""Everything that Dagster loads: `dagster dev -m bigbrotr_dagster.definitions`, in a clone or an empty folder.

The objects are listed, because load_from_defs_folder needs a pyproject.toml beside the package.
"""

import warnings

import dagster as dg

from bigbrotr_dagster.dagster_home import tell_of_home
from bigbrotr_dagster.defs.archive_assets import archive_coverage
from bigbrotr_dagster.defs.archive_checks import ARCHIVE_CHECKS
from bigbrotr_dagster.defs.archive_stats import archive_stats
from bigbrotr_dagster.defs.assets import relay_cursor, relays
from bigbrotr_dagster.defs.checks import cursor_within_coverage
from bigbrotr_dagster.defs.jobs import cleanup, relay_sync
from bigbrotr_dagster.defs.resources import ArchiveDatabase, Synchronizer
from bigbrotr_dagster.defs.resync import resync
from bigbrotr_dagster.defs.schedules import cleanup_schedule, relay_sync_schedule
from bigbrotr_dagster.defs.sensors import (
    archive_coverage_refresh,
    dead_runs,
    relay_partitions,
    run_failed,
    run_succeeded,
)

tell_of_home()

with warnings.catch_warnings():
    warnings.simplefilter("ignore", dg.BetaWarning)
    assets = dg.with_source_code_references([relays, relay_cursor, archive_stats, archive_coverage])

defs = dg.Definitions(
    assets=assets,
    asset_checks=[cursor_within_coverage, *ARCHIVE_CHECKS],
    jobs=[relay_sync, resync, cleanup],
    schedules=[relay_sync_schedule, cleanup_schedule],
    sensors=[relay_partitions, dead_runs, archive_coverage_refresh, run_failed, run_succeeded],
    resources={"database": ArchiveDatabase(), "synchronizer": Synchronizer()},
    # A process for each step would double a run's cost (16 CPU s rather than 8).
    executor=dg.in_process_executor,
)
