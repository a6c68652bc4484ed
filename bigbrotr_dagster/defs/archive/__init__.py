"""Assets and checks on the archive as a whole: `archive_coverage`, `archive_stats`, and whether it is sound.

`coverage` is the one with the `picture`, `stats` the other, `checks` judge it, `gaps` says what is open and why
(of single relays as well: their records show it). Start reading at `coverage`.
"""

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
    "take_stock",
]
