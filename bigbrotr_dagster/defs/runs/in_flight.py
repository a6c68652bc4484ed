"""What runs that have not ended are about: relays that are being synced, or wait for it."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import dagster as dg

from bigbrotr_dagster.archive.turns import finished_since

NETWORK_TAG = "bigbrotr/network"
"""On the runs that schedule and sensor start."""

# Dagster's tags on a run of partitions.
PARTITION_NAME_TAG = "dagster/partition"
ASSET_PARTITION_RANGE_START_TAG = "dagster/asset_partition_range_start"
ASSET_PARTITION_RANGE_END_TAG = "dagster/asset_partition_range_end"
BACKFILL_TAG = "dagster/backfill"

IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def relays_in_flight(instance: dg.DagsterInstance, database_url: str) -> set[str]:
    """Relays that a queued or running run, however started, has yet to finish: to ask again would only queue up.

    What a run is done with is not in flight any more: one slow relay must not hold back hundreds of others.
    """
    since: dict[str, datetime] = {}
    for record in instance.get_run_records(dg.RunsFilter(statuses=IN_FLIGHT)):
        for url in named_relays(record.dagster_run, instance):
            since[url] = max(record.create_timestamp, since.get(url, record.create_timestamp))
    return set(since) - finished_since(database_url, since)


def named_relays(run: dg.DagsterRun, instance: dg.DagsterInstance) -> Sequence[str]:
    """The relays in a run's config, else the partitions in its tags."""
    found: object = run.run_config
    for name in ("ops", "relay_cursor", "config", "relays"):
        found = found.get(name) if isinstance(found, Mapping) else None
    if isinstance(found, list) and found:
        return [str(url) for url in found]
    if PARTITION_NAME_TAG in run.tags:
        return [run.tags[PARTITION_NAME_TAG]]
    first, last = run.tags.get(ASSET_PARTITION_RANGE_START_TAG), run.tags.get(ASSET_PARTITION_RANGE_END_TAG)
    keys = instance.get_dynamic_partitions("relay") if first and last else []
    if first not in keys or last not in keys:
        return []
    return keys[keys.index(first) : keys.index(last) + 1]
