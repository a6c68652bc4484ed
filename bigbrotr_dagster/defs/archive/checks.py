"""Checks on the archive as a whole, each of one property; their cost does not grow with it."""

from collections.abc import Callable

import dagster as dg
from pydantic import Field

from bigbrotr_dagster.archive.soundness import orphans, rejections, unsound_events
from bigbrotr_dagster.archive.turns import lag_by_network
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.defs.archive.gaps import duration
from bigbrotr_dagster.defs.archive.tables import EVENT, EVENT_RELAY
from bigbrotr_dagster.defs.graph import ARCHIVE_STATS
from bigbrotr_dagster.defs.runs import ArchiveDatabase, Synchronizer

OFFENDERS_SHOWN = 20
LAG_SECONDS = 3_600
"""A network that is further behind than this, and than three intervals, has a problem of its own."""
REJECTED_SHARE = 0.1


@dg.asset_check(asset=ARCHIVE_STATS, name="lag_by_network")
def lag_check(database: ArchiveDatabase, synchronizer: Synchronizer) -> dg.AssetCheckResult:
    """The relays of each network are up to date: the median of those that answer is at most an hour behind.

    Where the interval is long it is three intervals.
    """
    return judge_lag(database.ready(), synchronizer.config())


@dg.asset_check(asset=ARCHIVE_STATS, name="rejected_share")
def rejected_check(database: ArchiveDatabase, synchronizer: Synchronizer) -> dg.AssetCheckResult:
    """At most one event in ten of the last 20,000 syncs was rejected; the table `event_quarantine` holds them."""
    return judge_rejections(database.ready(), synchronizer.config())


@dg.asset_check(asset=EVENT, name="stored_events_verify")
def verify_check(database: ArchiveDatabase, synchronizer: Synchronizer) -> dg.AssetCheckResult:
    """500 stored events, drawn at random, have the id that their content hashes to, and a valid signature."""
    return judge_stored_events(database.ready(), synchronizer.config())


class OrphanSearch(dg.Config):
    """How far to look."""

    look_at_all: bool = Field(
        default=False, description="Every observation: a billion take minutes. Otherwise 2,000 drawn at random."
    )


@dg.asset_check(asset=EVENT_RELAY, name="observations_have_events")
def orphan_check(config: OrphanSearch, database: ArchiveDatabase) -> dg.AssetCheckResult:
    """Every row of `event_relay` has its event: there are no foreign keys, the writer's transactions must do."""
    return judge_observations(database.ready(), look_at_all=config.look_at_all)


def judge_lag(url: str, options: SynchronizerConfig) -> dg.AssetCheckResult:
    """Whether the cursors of each network are near enough to now; `url` is the archive's.

    Raises:
        DatabaseUnavailable: the archive does not answer.
    """
    allowed = max(LAG_SECONDS, 3 * options.interval)
    metadata: dict[str, float | int] = {"allowed_seconds": float(allowed)}
    behind = []
    for one in lag_by_network(url, options):
        metadata |= {f"relays_{one.network}": one.relays, f"without_cursor_{one.network}": one.without}
        if one.median is None or one.slowest is None:
            continue
        metadata |= {f"median_{one.network}": one.median, f"slowest_twentieth_{one.network}": one.slowest}
        if one.median > allowed:
            behind.append(f"half of {one.network} is {duration(round(one.median))} behind or more")
    return dg.AssetCheckResult(
        passed=not behind,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(behind) or None,
        metadata=metadata,
    )


def judge_rejections(url: str, options: SynchronizerConfig) -> dg.AssetCheckResult:
    """Whether few of the events that came lately were rejected.

    Raises:
        DatabaseUnavailable: the archive does not answer.
    """
    received, reasons = rejections(url)
    rejected = sum(reasons.values())
    share = rejected / received if received else 0.0
    listing = ", ".join(f"{reason} x{count:,}" for reason, count in reasons.items())
    return dg.AssetCheckResult(
        passed=share <= REJECTED_SHARE,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{rejected:,} of {received:,} events: {listing}" if rejected else None,
        metadata={"rejected_share": share, "events_rejected": rejected, "events_received": float(received)},
    )


def judge_stored_events(url: str, options: SynchronizerConfig) -> dg.AssetCheckResult:
    """Whether some stored events, drawn at random, are what was signed.

    Raises:
        DatabaseUnavailable: the archive does not answer.
    """
    looked_at, unsound = unsound_events(url)
    return dg.AssetCheckResult(
        passed=not unsound,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{len(unsound)} of {looked_at} stored events are not what was signed" if unsound else None,
        metadata={
            "events_drawn": looked_at,
            "events_unsound": len(unsound),
            "unsound": dict(list(unsound.items())[:OFFENDERS_SHOWN]),
        },
    )


def judge_observations(url: str, *, look_at_all: bool = False) -> dg.AssetCheckResult:
    """Whether the observations that were looked at have an event each.

    Raises:
        DatabaseUnavailable: the archive does not answer.
    """
    looked_at, missing = orphans(url, look_at_all=look_at_all)
    return dg.AssetCheckResult(
        passed=not missing,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{len(missing)} of {looked_at} observations have no event" if missing else None,
        metadata={
            "observations_looked_at": float(looked_at),
            "observations_without_event": len(missing),
            "observations": missing[:OFFENDERS_SHOWN],
        },
    )


ARCHIVE_CHECKS = [lag_check, rejected_check, verify_check, orphan_check]

Judge = Callable[[str, SynchronizerConfig], dg.AssetCheckResult]

JUDGES: dict[str, tuple[dg.AssetKey, Judge]] = {
    "lag_by_network": (ARCHIVE_STATS, judge_lag),
    "rejected_share": (ARCHIVE_STATS, judge_rejections),
    "stored_events_verify": (EVENT, judge_stored_events),
    "observations_have_events": (EVENT_RELAY, lambda url, options: judge_observations(url)),
}


def evaluation(asset: dg.AssetKey, name: str, result: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    """A check's result as an event, for where no step of the check's own yields it."""
    return dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name=name,
        passed=result.passed,
        severity=result.severity,
        description=result.description,
        metadata=result.metadata,
    )
