"""The archive as a page of plots: the asset `archive_report`, and the schedule that makes it anew once a day.

The page itself is made in `archive.report`, one floor down. Start reading at `assets`.
"""

from bigbrotr_dagster.defs.report.assets import archive_report
from bigbrotr_dagster.defs.report.job import report, report_schedule

__all__ = ["archive_report", "report", "report_schedule"]
