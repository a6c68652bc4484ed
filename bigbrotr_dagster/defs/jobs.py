"""The jobs: the sync that schedule and sensor start, and the clean-up of what the registry no longer knows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from math import ceil

import dagster as dg

from bigbrotr_dagster.defs.partitions import RELAY_CURSOR, follow_registry
from bigbrotr_dagster.defs.resources import ArchiveDatabase
from bigbrotr_dagster.sync import SynchronizerConfig, delete_stale_cursors, finished_since, registered_relays

NETWORK_TAG = "bigbrotr/network"

# Dagster's tags on a run of partitions.
PARTITION_NAME_TAG = "dagster/partition"
ASSET_PARTITION_RANGE_START_TAG = "dagster/asset_partition_range_start"
ASSET_PARTITION_RANGE_END_TAG = "dagster/asset_partition_range_end"

IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

QUIET = {"console": {"config": {"log_level": "WARNING"}}}
"""Run config of `loggers`: what a run logs is in the UI, a terminal shows what went wrong."""

relay_sync = dg.define_asset_job(
    "relay_sync",
    selection=dg.AssetSelection.assets(RELAY_CURSOR),
    executor_def=dg.in_process_executor,
    description="Sync the relays that the run's config names; the schedule and the sensor start it.",
)


@dg.op
def remove_unregistered(context: dg.OpExecutionContext, database: ArchiveDatabase) -> None:
    """Delete the cursors, and the partitions, of relays that are no longer registered. Their events stay."""
    url = database.ready()
    cursors = delete_stale_cursors(url)
    added, removed = follow_registry(context.instance, registered_relays(url))
    context.log.info(f"{cursors} cursors and {len(removed)} partitions removed, {len(added)} partitions added")


@dg.job(executor_def=dg.in_process_executor)
def cleanup() -> None:
    """Remove what belongs to relays that are no longer registered: cursors and partitions, never events."""
    remove_unregistered()


def relays_in_flight(instance: dg.DagsterInstance, database_url: str) -> set[str]:
    """Relays that a queued or running run, however started, has yet to finish: to ask again would only queue up.

    What a run is done with is not in flight any more: one slow relay must not hold back hundreds of others.
    """
    since: dict[str, datetime] = {}
    for record in instance.get_run_records(dg.RunsFilter(statuses=IN_FLIGHT)):
        for url in _relays_of(record.dagster_run, instance):
            since[url] = max(record.create_timestamp, since.get(url, record.create_timestamp))
    return set(since) - finished_since(database_url, since)


def batches(
    due: Mapping[str, Sequence[str]], excluded: Iterable[str], options: SynchronizerConfig, run_key: str
) -> Iterator[dg.RunRequest]:
    """Run requests for the relays that are due: at most `runs_per_tick` for each network.

    Relays are dealt out in turn. The dead are the most behind of all: in a run of their own they would fail it.
    """
    skipped = set(excluded)
    for network, urls in due.items():
        wanted = [url for url in urls if url not in skipped]
        count = min(options.runs_per_tick, ceil(len(wanted) / options.partitions_per_run))
        for number in range(count):
            yield dg.RunRequest(
                run_key=f"{run_key}/{network}/{number}",
                job_name=relay_sync.name,
                run_config={
                    "ops": {"relay_cursor": {"config": {"relays": wanted[number::count]}}},
                    "loggers": QUIET,
                },
                tags={NETWORK_TAG: network},
            )


def _relays_of(run: dg.DagsterRun, instance: dg.DagsterInstance) -> Sequence[str]:
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
