"""Everything that Dagster loads: `dagster dev -m bigbrotr_dagster.definitions`, in a clone or an empty folder.

The objects are listed, because load_from_defs_folder needs a pyproject.toml beside the package.
"""

import warnings

import dagster as dg

from bigbrotr_dagster.defs.archive import ARCHIVE_CHECKS, archive_coverage, archive_stats, tables
from bigbrotr_dagster.defs.automation import (
    archive_coverage_refresh,
    archive_stats_refresh,
    cleanup,
    cleanup_schedule,
    dead_runs,
    relay_health_schedule,
    relay_partitions,
    relay_sync,
    relay_sync_schedule,
    run_failed,
)
from bigbrotr_dagster.defs.data_sets import event_day, export_days, export_days_sensor
from bigbrotr_dagster.defs.discovery import (
    relay_candidates,
    relay_discovery,
    relay_discovery_sensor,
    relay_validated,
)
from bigbrotr_dagster.defs.health import alive_by_network, relay_health
from bigbrotr_dagster.defs.instance import tell_of_home
from bigbrotr_dagster.defs.relays import (
    add_relays,
    cursor_within_coverage,
    relay_cursor,
    relays,
    remove_relays,
    resync,
)
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
            event_day,
            archive_report,
        ]
    )

defs = dg.Definitions(
    assets=[*assets, *tables.table_specs()],
    asset_checks=[cursor_within_coverage, alive_by_network, *ARCHIVE_CHECKS],
    jobs=[relay_sync, resync, cleanup, relay_discovery, export_days, report, add_relays, remove_relays],
    # The second brings its job.
    schedules=[relay_sync_schedule, relay_health_schedule, cleanup_schedule, report_schedule],
    sensors=[
        relay_partitions,
        relay_discovery_sensor,
        export_days_sensor,
        dead_runs,
        archive_stats_refresh,
        archive_coverage_refresh,
        run_failed,
    ],
    resources={"database": ArchiveDatabase(), "synchronizer": Synchronizer()},
    # A process for each step would double a run's cost (16 CPU s rather than 8).
    executor=dg.in_process_executor,
)
