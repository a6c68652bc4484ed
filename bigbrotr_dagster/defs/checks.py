"""Checks on `relay_cursor`, each of one property."""

import dagster as dg

from bigbrotr_dagster.defs.partition_events import RELAY_CURSOR
from bigbrotr_dagster.defs.resources import ArchiveDatabase
from bigbrotr_dagster.sync import cursors_beyond_coverage

OFFENDERS_SHOWN = 20


@dg.asset_check(asset=RELAY_CURSOR, blocking=False)
def cursor_within_coverage(database: ArchiveDatabase) -> dg.AssetCheckResult:
    """No cursor claims more than the relay's coverage proves: events below a cursor are stored, or a named gap."""
    offenders = cursors_beyond_coverage(database.ready(), None)
    return dg.AssetCheckResult(
        passed=not offenders,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{len(offenders)} cursors are beyond their coverage" if offenders else None,
        metadata={"cursors_beyond_coverage": len(offenders), "relays": offenders[:OFFENDERS_SHOWN]},
    )
