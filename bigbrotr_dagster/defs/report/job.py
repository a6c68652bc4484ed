"""When the report is made: once a day, where it can be."""

import dagster as dg

from bigbrotr_dagster.archive.report import needs
from bigbrotr_dagster.defs.report.assets import archive_report

report = dg.define_asset_job(
    "report",
    selection=dg.AssetSelection.assets(archive_report),
    executor_def=dg.in_process_executor,
    description="Make the report of the archive, an HTML file, as it is now.",
)


@dg.schedule(
    job=report,
    cron_schedule="47 4 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Makes the report once a day, at a quiet minute, where its extra is installed.",
)
def report_schedule() -> dg.RunRequest | dg.SkipReason:
    """A run a day; without plotly a line that says what is missing, and no run that fails."""
    missing = needs()
    return dg.SkipReason(missing) if missing else dg.RunRequest()
