"""The graph's keys. One partition per registered relay; its key is its URL in normal form, without comma."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from bigbrotr_dagster.archive.registry import RegisteredRelay
from bigbrotr_dagster.config import load_config

RELAYS = dg.AssetKey("relays")
RELAY_CURSOR = dg.AssetKey("relay_cursor")
RELAY_HEALTH = dg.AssetKey("relay_health")
ARCHIVE_COVERAGE = dg.AssetKey("archive_coverage")
ARCHIVE_STATS = dg.AssetKey("archive_stats")
OWNERS = ["team:archive"]
RELAY_PARTITIONS = dg.DynamicPartitionsDefinition(name="relay")


def fresh_within_hours(warn: int, fail: int) -> dg.FreshnessPolicy:
    """Freshness of what every sync renews; where syncs are rare, three or six of their intervals."""
    interval = load_config().interval
    return dg.FreshnessPolicy.time_window(
        fail_window=max(timedelta(hours=fail), timedelta(seconds=6 * interval)),
        warn_window=max(timedelta(hours=warn), timedelta(seconds=3 * interval)),
    )


def registry_metadata(relays: Sequence[RegisteredRelay]) -> dict[str, Any]:
    """Number of relays, in all and by network, as metadata of asset `relays`."""
    by_network = Counter(str(relay.network) for relay in relays)
    return {
        "dagster/row_count": len(relays),
        **{f"relays_{name}": n for name, n in sorted(by_network.items())},
    }
