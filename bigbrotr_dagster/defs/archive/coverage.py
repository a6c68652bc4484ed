"""The archive as a whole: how much of every relay is covered, as a picture over time."""

from typing import Any

import dagster as dg

from bigbrotr_dagster.archive.coverage import ArchiveCoverage
from bigbrotr_dagster.archive.coverage import archive_coverage as coverage_of
from bigbrotr_dagster.defs.archive.gaps import reason_table
from bigbrotr_dagster.defs.archive.picture import in_words, markdown_image, picture, strip
from bigbrotr_dagster.defs.archive.sketch import sketch
from bigbrotr_dagster.defs.archive.tables import SYNC_COVERAGE, SYNC_GAP
from bigbrotr_dagster.defs.graph import ARCHIVE_COVERAGE, OWNERS, fresh_within_hours
from bigbrotr_dagster.defs.runs import ArchiveDatabase, Synchronizer


@dg.asset(
    key=ARCHIVE_COVERAGE,
    deps=[SYNC_COVERAGE, SYNC_GAP],
    group_name="archive",
    owners=OWNERS,
    kinds={"postgres"},
    tags={"bigbrotr/layer": "coverage"},
    freshness_policy=fresh_within_hours(1, 6),
    description=(
        "How much of the archive is covered, pending, or a named gap. In its metadata `coverage` is a picture of "
        "all relays over time, `most_behind` one of those that are most behind, and `coverage_by_relay` the "
        "whole one, with relays as rows and months as columns (days of a young archive, quarters of an old). The "
        "sensor `archive_coverage_refresh` draws them anew every ten minutes."
    ),
)
def archive_coverage(database: ArchiveDatabase, synchronizer: Synchronizer) -> dg.MaterializeResult:
    """Draw the archive's coverage as it is now."""
    return dg.MaterializeResult(metadata=coverage_metadata(coverage_of(database.ready(), synchronizer.config())))


def coverage_metadata(coverage: ArchiveCoverage) -> dict[str, Any]:
    """The pictures and the numbers. The latter are of all relays, between the pictures' first and last second.

    Sums of seconds are floats: the UI plots no integer beyond 32 bits.
    """
    total = coverage.total
    metadata: dict[str, Any] = {
        "relays": coverage.relays,
        "relays_without_coverage": coverage.uncovered,
        "covered_share": round(total.covered_share, 6),
        "pending_seconds": float(total.pending),
        "gap_seconds": float(total.gap),
        "gaps": coverage.gaps,
        "since": dg.MetadataValue.timestamp(float(coverage.edges[0])),
    }
    if coverage.reasons:
        metadata["gap_reasons"] = reason_table(coverage.reasons)
    if not total.covered and not total.gap:
        return {"coverage": dg.MetadataValue.md(_nothing(coverage))} | metadata
    words, most_behind = in_words(coverage), sketch(coverage)
    return {
        "coverage": dg.MetadataValue.md(f"{markdown_image(strip(coverage), 'All relays')}\n\n{words}"),
        **({"most_behind": dg.MetadataValue.md(most_behind)} if most_behind else {}),
        "coverage_by_relay": dg.MetadataValue.md(
            f"{markdown_image(picture(coverage), f'Coverage by relay: {words}')}\n\n{_caption(coverage)}"
        ),
    } | metadata


def _nothing(coverage: ArchiveCoverage) -> str:
    if not coverage.relays:
        return "No relay is registered: the job `add_relays` registers some, or `bigbrotr-dagster relays add URL`."
    return f"Nothing is covered yet of {coverage.relays:,} registered relays: the first sync is still under way."


def _caption(coverage: ArchiveCoverage) -> str:
    """What a cell means, and what the picture leaves out."""
    lines = [
        f"A cell is one {coverage.unit} (UTC) of a relay, filled from below with the covered share of its "
        "seconds, then with gaps; a relay that is asked for several filters has their average."
    ]
    left_out = coverage.relays - len(coverage.shown)
    if left_out:
        lines.append(
            f"These are the {len(coverage.shown)} relays most behind; **{left_out:,} others** are left out."
        )
    if coverage.uncovered:
        lines.append(f"Nothing is covered yet of {coverage.uncovered:,} relays, which come last.")
    return " ".join(lines)
