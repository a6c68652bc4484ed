"""The graph's keys. One partition per registered relay; its key is its URL in normal form, without comma."""

from datetime import timedelta

import dagster as dg

from bigbrotr_dagster.defs.settings import configuration, graph_settings


def asset_key(name: str) -> dg.AssetKey:
    """The key of one of our assets in this project: its name, below the project's prefix."""
    return dg.AssetKey([*graph_settings().key_prefix, name])


RELAYS = asset_key("relays")
RELAY_CURSOR = asset_key("relay_cursor")
RELAY_HEALTH = asset_key("relay_health")
ARCHIVE_COVERAGE = asset_key("archive_coverage")
ARCHIVE_STATS = asset_key("archive_stats")
OWNERS = ["team:archive"]
RELAY_PARTITIONS = dg.DynamicPartitionsDefinition(name="relay")


def fresh_within_hours(warn: int, fail: int) -> dg.FreshnessPolicy:
    """Freshness of what every sync renews; where syncs are rare, three or six of their intervals."""
    interval = configuration().interval
    return dg.FreshnessPolicy.time_window(
        fail_window=max(timedelta(hours=fail), timedelta(seconds=6 * interval)),
        warn_window=max(timedelta(hours=warn), timedelta(seconds=3 * interval)),
    )
