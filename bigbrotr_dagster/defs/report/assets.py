"""The asset that is the report: an HTML file in the data folder of the process that makes it."""

from typing import Any

import dagster as dg

from bigbrotr_dagster.archive.report import Report, ReportRefused, write_report
from bigbrotr_dagster.defs.archive.tables import EVENT, EVENT_RELAY, SYNC_COVERAGE, SYNC_GAP
from bigbrotr_dagster.defs.graph import OWNERS, asset_key, fresh_within_hours
from bigbrotr_dagster.defs.runs import ArchiveDatabase, Synchronizer


@dg.asset(
    key=asset_key("archive_report"),
    deps=[EVENT, EVENT_RELAY, SYNC_COVERAGE, SYNC_GAP],
    group_name="archive",
    owners=OWNERS,
    kinds={"postgres", "plotly", "html"},
    tags={"bigbrotr/layer": "report"},
    freshness_policy=fresh_within_hours(30, 54),
)
def archive_report(database: ArchiveDatabase, synchronizer: Synchronizer) -> dg.MaterializeResult:
    """The archive as a page of plots: growth, coverage, gaps, kinds, networks, and what relays have in common.

    One HTML file that opens in any browser, without network: `path` in the metadata says where. The schedule
    `report_schedule` makes it anew once a day. It needs the extra `report`. Large tables are sampled, and the page
    says which plots are estimates.

    Raises:
        dg.Failure: plotly is missing, or the file cannot be written, in one line; to try again is of no use.
    """
    try:
        made = write_report(database.ready(), synchronizer.config())
    except ReportRefused as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    return dg.MaterializeResult(metadata=report_metadata(made))


def report_metadata(made: Report) -> dict[str, Any]:
    """Where the report is, how large, and the numbers at its top. Large ones are floats, as elsewhere."""
    return {
        "path": dg.MetadataValue.path(str(made.path)),
        "bytes": made.bytes,
        "plots": made.plots,
        "events": float(made.facts.events),
        "events_sampled": made.facts.sampled,
        "sampled_share": round(made.facts.sampled_share, 6),
        "covered_share": round(made.facts.coverage.total.covered_share, 6),
    }
