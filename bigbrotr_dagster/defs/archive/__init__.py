"""Assets and checks on the archive as a whole: its tables, their coverage, statistics and soundness.

`tables` has the tables, `coverage` what is drawn of them (`picture`, and `sketch` in short), `stats` what is
counted, `checks` judge them, `gaps` says what is open and why (of single relays as well: their records show it).
Start reading at `tables`.
"""

from bigbrotr_dagster.defs.archive import tables
from bigbrotr_dagster.defs.archive.checks import ARCHIVE_CHECKS, evaluation
from bigbrotr_dagster.defs.archive.coverage import archive_coverage, coverage_metadata
from bigbrotr_dagster.defs.archive.gaps import (
    OPEN_GAPS,
    archive_gap_check,
    gap_seconds,
    gap_table,
    relay_gap_check,
)
from bigbrotr_dagster.defs.archive.stats import archive_stats, take_stock

__all__ = [
    "ARCHIVE_CHECKS",
    "OPEN_GAPS",
    "archive_coverage",
    "archive_gap_check",
    "archive_stats",
    "coverage_metadata",
    "evaluation",
    "gap_seconds",
    "gap_table",
    "relay_gap_check",
    "tables",
    "take_stock",
]
