"""What is kept fresh without runs, each of which would cost a hundred times as much: tables, statistics, coverage.

Each sensor reports a table and what depends on it in one tick, so that neither is behind the other.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Self

import dagster as dg

from bigbrotr_dagster.archive.coverage import archive_coverage, proved_relays
from bigbrotr_dagster.archive.stats import sizes_of_tables, table_marks
from bigbrotr_dagster.defs.archive import coverage_metadata, take_stock
from bigbrotr_dagster.defs.archive.tables import EVENT, EVENT_RELAY, SYNC_COVERAGE, SYNC_GAP, told_of_tables
from bigbrotr_dagster.defs.graph import ARCHIVE_COVERAGE, ARCHIVE_STATS
from bigbrotr_dagster.defs.runs import ArchiveDatabase, Synchronizer

COVERAGE_EVERY_SECONDS = 600
EVERY_SECONDS_WHILE_NEW = 60
"""Of the pictures while relays get their first proof, and of the statistics while the events double."""

NOTHING_SYNCED = "0-0-0"
"""The mark of `sync_coverage` in an archive that is new."""

looking = partial(dg.sensor, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
"""A sensor that looks twice a minute, from the first start on."""


@dataclass(frozen=True, slots=True)
class LastLook:
    """A sensor's cursor: when it reported (Unix time), how many relays had some proof then, the tables' marks."""

    at: int = 0
    proved: int = 0
    marks: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, cursor: str | None) -> Self:
        """What `str` gave, or an earlier version, which kept the first two numbers; nothing for any other text."""
        try:
            return cls(**json.loads(cursor or "{}"))
        except (ValueError, TypeError):
            at, _, proved = (cursor or "").partition(" ")
            return cls(int(at), int(proved)) if at.isdigit() and proved.isdigit() else cls()

    def __str__(self) -> str:
        return json.dumps(asdict(self))


@looking(
    asset_selection=[EVENT, EVENT_RELAY, ARCHIVE_STATS],
    description=(
        "After syncs, reports what came to `event` and `event_relay`, and refreshes `archive_stats` and the "
        "checks: at most every `stats_interval` seconds, and while the events double every minute."
    ),
)
def archive_stats_refresh(
    context: dg.SensorEvaluationContext, database: ArchiveDatabase, synchronizer: Synchronizer
) -> dg.SensorResult | dg.SkipReason:
    """Materializations without a run; the cursor is a `LastLook`."""
    url, options, now = database.ready(), synchronizer.config(), int(time.time())
    last, marks = LastLook.parse(context.cursor), table_marks(url)
    if marks["sync_coverage"] in (last.marks.get("sync_coverage"), NOTHING_SYNCED):
        return dg.SkipReason("Nothing was synced since the last look.")
    is_new = int(marks["event"]) > 2 * int(last.marks.get("event", "0"))
    wait = min(options.stats_interval, EVERY_SECONDS_WHILE_NEW) if is_new else options.stats_interval
    if now - last.at < wait:
        return dg.SkipReason(f"The statistics are {now - last.at} s old.")
    events = list(take_stock(url, options, marks, last.marks))
    return dg.SensorResult(asset_events=events, cursor=str(LastLook(now, marks=marks)))


@looking(
    asset_selection=[SYNC_COVERAGE, SYNC_GAP, ARCHIVE_COVERAGE],
    description=(
        "Draws the archive's coverage every ten minutes, after a minute when another relay has some, and reports "
        "what came to `sync_coverage` and `sync_gap`."
    ),
)
def archive_coverage_refresh(
    context: dg.SensorEvaluationContext, database: ArchiveDatabase, synchronizer: Synchronizer
) -> dg.SensorResult | dg.SkipReason:
    """Materializations without a run; the cursor is a `LastLook`."""
    url, now = database.ready(), int(time.time())
    proved, last = proved_relays(url), LastLook.parse(context.cursor)
    wait = COVERAGE_EVERY_SECONDS if proved == last.proved else EVERY_SECONDS_WHILE_NEW
    if not proved:
        return dg.SkipReason("Nothing is proved yet.")
    if now - last.at < wait:
        return dg.SkipReason(f"The picture is {now - last.at} s old.")
    marks = table_marks(url)  # before the picture: what comes meanwhile is told of at the next look
    tables = told_of_tables((SYNC_COVERAGE, SYNC_GAP), marks, last.marks, sizes_of_tables(url))
    metadata = coverage_metadata(archive_coverage(url, synchronizer.config()))
    picture = dg.AssetMaterialization(ARCHIVE_COVERAGE, metadata=metadata)
    return dg.SensorResult(asset_events=[*tables, picture], cursor=str(LastLook(now, proved, marks)))
