"""The archive's tables as assets, for other people's assets to depend on: rows come to them by syncs, not by runs.

They are external to Dagster (`AssetSpec`): no run materializes them, `relay_cursor` is the one that works. The
sensors that keep statistics and coverage fresh report a materialization of each table to which rows came, without
a run. Dagster takes an external asset for up to date, and so what is refreshed without a run and depends on such
assets alone: of anything else it says "Unsynced" as soon as what is upstream has a newer materialization.
"""

import inspect
import warnings
from collections.abc import Iterable, Iterator, Mapping

import dagster as dg

from bigbrotr_dagster.archive.stats import DRAWN_FROM, TableSize
from bigbrotr_dagster.defs.graph import OWNERS, RELAY_CURSOR, asset_key

EVENT = asset_key("event")
EVENT_RELAY = asset_key("event_relay")
SYNC_COVERAGE = asset_key("sync_coverage")
SYNC_GAP = asset_key("sync_gap")

DATA_VERSION = "dagster/data_version"
"""Dagster's tag; `AutomationCondition.data_version_changed()` compares it."""

_COLUMNS: Mapping[dg.AssetKey, Mapping[str, tuple[str, str | None]]] = {
    EVENT: {
        "id": ("bytea", "SHA-256 of the canonical event (NIP-01)."),
        "pubkey": ("bytea", "Its author."),
        "created_at": ("bigint", "Unix time, as its author gives it."),
        "kind": ("integer", None),
        "tags": ("jsonb", None),
        "tagvalues": ("text[]", "'k:v' of tags with a one-letter name."),
        "content": ("text", None),
        "sig": ("bytea", "Schnorr signature of the id (BIP-340)."),
        "seq": ("bigint", "Order of arrival; what `observation` refers to."),
    },
    EVENT_RELAY: {
        "event_id": ("bytea", "`id` of the event."),
        "relay_url": ("text", "The relay that was seen to hold it."),
        "seen_at": ("bigint", "Unix time of the first sight."),
    },
    SYNC_COVERAGE: {
        "relay_url": ("text", None),
        "filter_hash": ("text", "Of the NIP-01 filter, without its range."),
        "filter": ("jsonb", None),
        "covered": ("int8multirange", "Seconds that are proved complete."),
        "read_at_ages": ("int8multirange[]", "By age (17 minutes, 2.3 hours, ...): seconds read when so old."),
        "reconciled_from": ("bigint", "From when on it was compared with the relay, event by event (NIP-77)."),
    },
    SYNC_GAP: {
        "relay_url": ("text", None),
        "filter_hash": ("text", "Of the NIP-01 filter, without its range."),
        "since": ("bigint", "First second (Unix time)."),
        "until": ("bigint", "Last second (Unix time)."),
        "reason": ("text", "Why these seconds could not be proved complete."),
        "held": ("integer", "Events that came of them."),
        "first_seen": ("timestamp with time zone", None),
        "last_try": ("timestamp with time zone", None),
        "tries": ("integer", None),
        "missing": ("bigint", "An estimate of the events that did not come; null if nothing tells."),
    },
}

_DESCRIPTIONS = {
    EVENT: (
        "Every event, once, whatever number of relays has it: the table `event`. Syncs bring its rows "
        "(materialize `relay_cursor`); after new ones the sensor `archive_stats_refresh` says so here, at most "
        "every `stats_interval` seconds, so that an asset of yours can follow."
    ),
    EVENT_RELAY: (
        "Which relay was seen to hold which event, and when first: the view `event_relay` of `observation`. "
        "After new ones the sensor `archive_stats_refresh` says so here."
    ),
    SYNC_COVERAGE: (
        "The seconds of each relay that are proved complete, by filter: the table `sync_coverage`. After syncs "
        "the sensor `archive_coverage_refresh` says so here, every ten minutes."
    ),
    SYNC_GAP: (
        "The seconds that were asked for and could not be proved complete, with the reason and the last try: the "
        "table `sync_gap`. Where gaps were found or tried, the sensor `archive_coverage_refresh` says so here."
    ),
}


def table_specs() -> Iterator[dg.AssetSpec]:
    """The tables, downstream of `relay_cursor`."""
    for key, columns in _COLUMNS.items():
        schema = [dg.TableColumn(name, kind, description=told) for name, (kind, told) in columns.items()]
        yield dg.AssetSpec(
            key,
            deps=[RELAY_CURSOR],
            group_name="archive",
            owners=OWNERS,
            kinds={"postgres", "view" if key == EVENT_RELAY else "table"},
            tags={"bigbrotr/layer": "coverage" if key in (SYNC_COVERAGE, SYNC_GAP) else "events"},
            description=_DESCRIPTIONS[key],
            metadata={
                "dagster/table_name": key.path[-1],
                "dagster/column_schema": dg.TableSchema(columns=schema),
                "dagster/code_references": _source(),
            },
        )


def _source() -> dg.CodeReferencesMetadataValue:
    """Where the specs are written: `with_source_code_references` passes external assets over."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        line = inspect.getsourcelines(table_specs)[1]
        return dg.CodeReferencesMetadataValue(
            code_references=[dg.LocalFileCodeReference(file_path=__file__, line_number=line)]
        )


def told_of_tables(
    keys: Iterable[dg.AssetKey],
    marks: Mapping[str, str],
    seen: Mapping[str, str],
    sizes: Mapping[str, TableSize],
) -> Iterator[dg.AssetMaterialization]:
    """A materialization of each table to which rows came, by the marks of now and of the last look (`seen`)."""
    for key in keys:
        name = key.path[-1]
        if seen.get(name) != marks[name]:
            size = sizes[DRAWN_FROM.get(name, name)]
            yield dg.AssetMaterialization(
                key,
                metadata={
                    "dagster/row_count": size.rows,
                    "rows": float(size.rows),  # the UI plots no integer beyond 32 bits
                    "bytes": float(size.bytes),
                },
                tags={DATA_VERSION: marks[name]},
            )
