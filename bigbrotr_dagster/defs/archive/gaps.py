"""Open gaps in words, as a table, and as a check on the relay's own partition."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from bigbrotr_dagster.archive.coverage import GapReason
from bigbrotr_dagster.defs.graph import RELAY_CURSOR
from bigbrotr_dagster.sync import RelayReport

OPEN_GAPS = "open_gaps"
GAPS_SHOWN = 20

_COLUMNS = [
    dg.TableColumn("since", "string", description="First second (UTC)."),
    dg.TableColumn("until", "string", description="Last second (UTC)."),
    dg.TableColumn("since_unix", "int"),
    dg.TableColumn("until_unix", "int"),
    dg.TableColumn("reason", "string"),
    dg.TableColumn("held", "int", description="Events that came of these seconds."),
    dg.TableColumn("missing", "int", description="An estimate of those that did not; empty if nothing tells."),
]


def gap_table(report: RelayReport) -> dg.TableMetadataValue:
    """The first gaps of a report, oldest first."""
    first = sorted(report.gaps, key=lambda gap: gap.interval)[:GAPS_SHOWN]
    records = [
        dg.TableRecord(
            {
                "since": utc(gap.interval.since),
                "until": utc(gap.interval.until),
                "since_unix": gap.interval.since,
                "until_unix": gap.interval.until,
                "reason": str(gap),
                "held": gap.held,
                "missing": gap.missing,
            }
        )
        for gap in first
    ]
    return dg.MetadataValue.table(records, dg.TableSchema(_COLUMNS))


def gap_seconds(report: RelayReport) -> int:
    """Seconds in the relay's open gaps."""
    return sum(gap.interval.seconds for gap in report.gaps)


def relay_gap_check(report: RelayReport) -> dg.AssetCheckEvaluation:
    """Whether a relay has open gaps, for its partition."""
    reasons = Counter(str(gap.reason) for gap in report.gaps)
    settled = f"all {report.gaps_before} are settled" if report.gaps_before else None
    metadata: dict[str, Any] = {"gaps": len(report.gaps), "gap_seconds": gap_seconds(report)}
    if report.gaps:
        metadata["gap_list"] = gap_table(report)
    return dg.AssetCheckEvaluation(
        asset_key=RELAY_CURSOR,
        check_name=OPEN_GAPS,
        passed=not report.gaps,
        severity=dg.AssetCheckSeverity.WARN,
        description=in_words(reasons, gap_seconds(report)) if report.gaps else settled,
        metadata=metadata,
        partition=report.url,
    )


def archive_gap_check(reasons: Sequence[GapReason]) -> dg.AssetCheckEvaluation:
    """Whether any relay has open gaps."""
    seconds = sum(one.seconds for one in reasons)
    counts = Counter({one.reason: one.gaps for one in reasons})
    return dg.AssetCheckEvaluation(
        asset_key=RELAY_CURSOR,
        check_name=OPEN_GAPS,
        passed=not reasons,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"of all relays: {in_words(counts, seconds)}" if reasons else None,
        metadata={"gaps": counts.total(), "gap_seconds": float(seconds)},
    )


def reason_table(reasons: Sequence[GapReason]) -> dg.TableMetadataValue:
    """The gaps of many relays, by reason."""
    records = [
        dg.TableRecord({"reason": one.reason, "gaps": one.gaps, "relays": one.relays, "seconds": one.seconds})
        for one in reasons
    ]
    counts = [dg.TableColumn(name, "int") for name in ("gaps", "relays", "seconds")]
    return dg.MetadataValue.table(records, dg.TableSchema([dg.TableColumn("reason", "string"), *counts]))


def in_words(reasons: Counter[str], seconds: int) -> str:
    """As in "3 gaps: saturated x2, refused x1; 14 s in all"."""
    listing = ", ".join(f"{reason} x{count:,}" for reason, count in reasons.most_common())
    return f"{reasons.total():,} gap{'s' if reasons.total() > 1 else ''}: {listing}; {duration(seconds)} in all"


def duration(seconds: int) -> str:
    """A length of time in the unit that suits it."""
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 3 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds} s"


def utc(second: int) -> str:
    """A Unix time as people read it (ISO 8601, UTC)."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
