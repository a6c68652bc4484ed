"""The archive in numbers: sizes of the tables, and events by network, kind and day."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from bigbrotr_dagster.archive.stats import KIND_NAMES, ArchiveStats
from bigbrotr_dagster.archive.stats import archive_stats as stats_of
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.defs.archive.checks import JUDGES, evaluation
from bigbrotr_dagster.defs.archive.tables import EVENT, EVENT_RELAY, told_of_tables
from bigbrotr_dagster.defs.graph import ARCHIVE_STATS, OWNERS, fresh_within_hours
from bigbrotr_dagster.defs.runs import ArchiveDatabase

DAY = 86_400
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TABLES_WITH_NUMBERS = ("relay", "event", "observation", "event_quarantine")


@dg.asset(
    key=ARCHIVE_STATS,
    deps=[EVENT, EVENT_RELAY],
    group_name="archive",
    owners=OWNERS,
    kinds={"postgres"},
    tags={"bigbrotr/layer": "stats"},
    freshness_policy=fresh_within_hours(2, 6),
)
def archive_stats(database: ArchiveDatabase) -> dg.MaterializeResult:
    """What the archive holds: rows and bytes of its tables, events by network, kind and day, plotted over time.

    Large tables are sampled, so that it costs a second at any size. After syncs the sensor
    `archive_stats_refresh` takes stock anew, every `stats_interval` seconds; it evaluates the checks as well.
    """
    return dg.MaterializeResult(metadata=stats_metadata(stats_of(database.ready())))


def take_stock(
    url: str, options: SynchronizerConfig, marks: Mapping[str, str], seen: Mapping[str, str]
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    """The events of a materialization with its tables and checks, for where there is no run.

    The tables come first: what depends on one is newer then. `marks` and `seen` are those of `told_of_tables`.
    """
    stats = stats_of(url)
    yield from told_of_tables((EVENT, EVENT_RELAY), marks, seen, stats.tables)
    yield dg.AssetMaterialization(ARCHIVE_STATS, metadata=stats_metadata(stats))
    for name, (asset, judge) in JUDGES.items():
        yield evaluation(asset, name, judge(url, options))


def stats_metadata(stats: ArchiveStats) -> dict[str, Any]:
    """Numbers that the UI plots, and tables. Large numbers are floats: it plots no integer beyond 32 bits."""
    sizes = stats.tables
    metadata: dict[str, Any] = {}
    for name in TABLES_WITH_NUMBERS:
        if name in sizes:
            metadata |= {f"{name}_rows": float(sizes[name].rows), f"{name}_bytes": float(sizes[name].bytes)}
    metadata["bytes"] = float(sum(size.bytes for size in sizes.values()))
    for one in stats.networks:
        metadata[f"events_{one.network}"] = float(one.events)
    metadata["relays_per_event"] = round(stats.relays_per_event, 3)
    metadata["sampled_share"] = round(stats.sampled_share, 6)
    by_network = [(one.network, one.events, one.observations) for one in stats.networks]
    metadata["events_by_network"] = _table(by_network, network="string", events="int", observations="int")
    kinds = [(kind, KIND_NAMES.get(kind, ""), count) for kind, count in stats.kinds]
    metadata["events_by_kind"] = _table(kinds, kind="int", name="string", events="int")
    days = [((EPOCH + timedelta(days=day)).strftime("%Y-%m-%d"), count) for day, count in stats.days]
    metadata["events_by_day"] = _table(days, day="string", events="int")
    tables = [(name, size.rows, size.bytes) for name, size in sizes.items()]
    metadata["tables"] = _table(tables, table="string", rows="int", bytes="int")
    return metadata


def _table(records: list[tuple[Any, ...]], /, **columns: str) -> dg.TableMetadataValue:
    schema = dg.TableSchema([dg.TableColumn(name, kind) for name, kind in columns.items()])
    return dg.MetadataValue.table(
        [dg.TableRecord(dict(zip(columns, row, strict=True))) for row in records], schema
    )
