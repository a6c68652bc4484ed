"""The archive in numbers: sizes of the tables, and events by network, kind and day."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from bigbrotr_dagster.archive.stats import KIND_NAMES, ArchiveStats
from bigbrotr_dagster.archive.stats import archive_stats as stats_of
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.defs.archive.checks import JUDGES, evaluation
from bigbrotr_dagster.defs.graph import ARCHIVE_STATS, OWNERS, RELAY_CURSOR, fresh_within_hours
from bigbrotr_dagster.defs.runs import ArchiveDatabase

DAY = 86_400
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TABLES_WITH_NUMBERS = ("relay", "event", "observation", "event_quarantine")


@dg.asset(
    key=ARCHIVE_STATS,
    deps=[RELAY_CURSOR],
    group_name="archive",
    owners=OWNERS,
    kinds={"postgres"},
    tags={"bigbrotr/layer": "stats"},
    freshness_policy=fresh_within_hours(2, 6),
    metadata={
        "dagster/table_name": "event",
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn("id", "bytea", description="SHA-256 of the canonical event (NIP-01)."),
                dg.TableColumn("pubkey", "bytea", description="Its author."),
                dg.TableColumn("created_at", "bigint", description="Unix time, as its author gives it."),
                dg.TableColumn("kind", "integer"),
                dg.TableColumn("tags", "jsonb"),
                dg.TableColumn("tagvalues", "text[]", description="'k:v' of tags with a one-letter name."),
                dg.TableColumn("content", "text"),
                dg.TableColumn("sig", "bytea", description="Schnorr signature of the id (BIP-340)."),
            ]
        ),
    },
)
def archive_stats(database: ArchiveDatabase) -> dg.MaterializeResult:
    """What the archive holds: rows and bytes of its tables, events by network, kind and day, plotted over time.

    Large tables are sampled, so that it costs a second at any size. The sensor `run_succeeded` takes stock anew
    after a sync, at most every `stats_interval` seconds of the configuration; it evaluates the checks as well.
    """
    return dg.MaterializeResult(metadata=stats_metadata(stats_of(database.ready())))


def take_stock(
    url: str, options: SynchronizerConfig
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    """The events of a materialization with its checks, for where there is no run."""
    yield dg.AssetMaterialization(ARCHIVE_STATS, metadata=stats_metadata(stats_of(url)))
    for name, judge in JUDGES.items():
        yield evaluation(ARCHIVE_STATS, name, judge(url, options))


def stats_metadata(stats: ArchiveStats) -> dict[str, Any]:
    """Numbers that the UI plots, and tables. Large numbers are floats: it plots no integer beyond 32 bits."""
    sizes = stats.tables
    metadata: dict[str, Any] = {"dagster/row_count": sizes["event"].rows}
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
