"""Everything that Dagster loads: `dagster dev -m bigbrotr_dagster.definitions`, in a clone or an empty folder.

The objects are listed, because load_from_defs_folder needs a pyproject.toml beside the package.
"""

import warnings

import dagster as dg

from bigbrotr_dagster.defs.archive import ARCHIVE_CHECKS, archive_coverage, archive_stats
from bigbrotr_dagster.defs.automation import (
    archive_coverage_refresh,
    cleanup,
    cleanup_schedule,
    dead_runs,
    relay_health_schedule,
    relay_partitions,
    relay_sync,
    relay_sync_schedule,
    run_failed,
    run_succeeded,
)
from bigbrotr_dagster.defs.discovery import (
    relay_candidates,
    relay_discovery,
    relay_discovery_sensor,
    relay_validated,
)
from bigbrotr_dagster.defs.health import alive_by_network, relay_health
from bigbrotr_dagster.defs.instance import tell_of_home
from bigbrotr_dagster.defs.relays import cursor_within_coverage, relay_cursor, relays, resync
from bigbrotr_dagster.defs.report import archive_report, report, report_schedule
from bigbrotr_dagster.defs.runs import ArchiveDatabase, Synchronizer

tell_of_home()

with warnings.catch_warnings():
    warnings.simplefilter("ignore", dg.BetaWarning)
    assets = dg.with_source_code_references(
        [
            relay_candidates,
            relay_validated,
            relays,
            relay_cursor,
            relay_health,
            archive_stats,
            archive_coverage,
            archive_report,
        ]
    )

defs = dg.Definitions(
    assets=assets,
    asset_checks=[cursor_within_coverage, alive_by_network, *ARCHIVE_CHECKS],
    jobs=[relay_sync, resync, cleanup, relay_discovery, report],
    # The second brings its job.
    schedules=[relay_sync_schedule, relay_health_schedule, cleanup_schedule, report_schedule],
    sensors=[
        relay_partitions,
        relay_discovery_sensor,
        dead_runs,
        archive_coverage_refresh,
        run_failed,
        run_succeeded,
    ],
    resources={"database": ArchiveDatabase(), "synchronizer": Synchronizer()},
    # A process for each step would double a run's cost (16 CPU s rather than 8).
    executor=dg.in_process_executor,
)
