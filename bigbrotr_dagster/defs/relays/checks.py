"""Checks on `relay_cursor`, each of one property."""

import dagster as dg

from bigbrotr_dagster.archive.coverage import open_gaps
from bigbrotr_dagster.archive.proof import cursors_beyond_coverage
from bigbrotr_dagster.archive.turns import failing_relays
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.defs.archive import archive_gap_check, evaluation
from bigbrotr_dagster.defs.graph import RELAY_CURSOR
from bigbrotr_dagster.defs.instance.partition_events import RunContext, log_for_all
from bigbrotr_dagster.defs.relays.records import REACHABLE
from bigbrotr_dagster.defs.runs import ArchiveDatabase, Synchronizer

OFFENDERS_SHOWN = 20


CURSOR_WITHIN_COVERAGE = "cursor_within_coverage"


@dg.asset_check(asset=RELAY_CURSOR, name=CURSOR_WITHIN_COVERAGE, blocking=False)
def cursor_within_coverage(database: ArchiveDatabase, synchronizer: Synchronizer) -> dg.AssetCheckResult:
    """No cursor claims more than the relay's coverage proves: events below a cursor are stored, or a named gap.

    Every sync evaluates it at its end; executing it from the UI does so at any time.
    """
    return _evaluate(database, synchronizer.config())


def record_checks(context: RunContext, database: ArchiveDatabase, options: SynchronizerConfig) -> None:
    """Evaluate the checks over all relays in a sync's run; their own steps are skipped, for it yields no asset."""
    log_for_all(context, archive_gap_check(open_gaps(database.ready(), options)))
    log_for_all(context, evaluation(RELAY_CURSOR, REACHABLE, _reach_of_all(database, options)))
    log_for_all(context, evaluation(RELAY_CURSOR, CURSOR_WITHIN_COVERAGE, _evaluate(database, options)))


def _reach_of_all(database: ArchiveDatabase, options: SynchronizerConfig) -> dg.AssetCheckResult:
    """The check of all relays: without it the asset's state would be that of whichever relay was judged last.

    About one relay in twenty is dead at any time, which is no state of the archive: it passes as a run would.
    """
    tried, failed = failing_relays(database.ready(), options)
    return dg.AssetCheckResult(
        passed=failed <= options.failed_share * tried,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"of all relays: {failed:,} of {tried:,} failed in their last sync" if failed else None,
        metadata={"relays_tried": tried, "relays_failed": failed},
    )


def _evaluate(database: ArchiveDatabase, options: SynchronizerConfig) -> dg.AssetCheckResult:
    offenders = cursors_beyond_coverage(database.ready(), options)
    return dg.AssetCheckResult(
        passed=not offenders,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{len(offenders)} cursors are beyond their coverage" if offenders else None,
        metadata={"cursors_beyond_coverage": len(offenders), "relays": offenders[:OFFENDERS_SHOWN]},
    )
