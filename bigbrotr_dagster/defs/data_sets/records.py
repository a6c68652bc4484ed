"""What is told of a day in Dagster: a materialization of its partition."""

from typing import Any

import dagster as dg

from bigbrotr_dagster.archive.export import ExportedDay, Manifest
from bigbrotr_dagster.defs.graph import asset_key, listing

EVENT_DAY = asset_key("event_day")


def of_export(place: str, day: ExportedDay) -> dg.AssetMaterialization:
    """A day that was written. Large numbers are floats: the UI plots no integer beyond 32 bits."""
    coverage = day.coverage
    metadata = _metadata(place, day.date, day.events, day.observations, day.bytes, day.share) | {
        "relays_covered": len(coverage.covered),
        "relays_not_covered": len(coverage.lacking),
        "why": day.why,
        "files": dg.MetadataValue.json([f"{place}/{file.path}" for file in day.files]),
    }
    if coverage.lacking:
        gaps = {one.url: _lack(one.pending, sum(one.gaps.values())) for one in coverage.lacking}
        metadata["not_covered"] = dg.MetadataValue.text(listing(gaps))
    return dg.AssetMaterialization(EVENT_DAY, partition=day.date, metadata=metadata)


def of_manifest(place: str, date: str, manifest: Manifest) -> dg.AssetMaterialization:
    """A day that the command wrote: what can be told of it without reading all of its manifest again."""
    events, observations = (manifest.totals.get(name) or 0 for name in ("events", "observations"))
    size = sum(file.bytes for file in manifest.files)
    metadata = _metadata(place, date, events, observations, size, manifest.share)
    metadata["files"] = dg.MetadataValue.json([f"{place}/{file.path}" for file in manifest.files])
    return dg.AssetMaterialization(EVENT_DAY, partition=date, metadata=metadata)


def _metadata(place: str, date: str, events: int, observations: int, size: int, share: float) -> dict[str, Any]:
    return {
        "dagster/row_count": events,
        "dagster/uri": f"{place}/event/date={date}",
        "events": float(events),
        "observations": float(observations),
        "bytes": float(size),
        "share": round(share, 6),
    }


def _lack(pending: int, gaps: int) -> str:
    return f"{pending:,} s pending, {gaps:,} s in gaps"
