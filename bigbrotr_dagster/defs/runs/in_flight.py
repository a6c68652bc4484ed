"""What runs that have not ended are about: relays that are being synced, or wait for it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

import dagster as dg

from bigbrotr_dagster.archive.turns import finished_since
from bigbrotr_dagster.defs.graph import RELAY_CURSOR, RELAY_HEALTH
from bigbrotr_dagster.nostr.relay_url import InvalidRelayURL, parse_relay_url

NETWORK_TAG = "bigbrotr/network"
"""On the runs that schedule and sensor start."""

RELAYS_TAG = "bigbrotr/relays"
"""How many relays a run was given, for the list of runs: "12", and "12 clearnet, 3 tor" without `NETWORK_TAG`."""

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


def counted(urls: Iterable[str]) -> str:
    """Relays by network: "12 clearnet, 3 tor"."""
    by_network = Counter(map(_network, urls))
    return ", ".join(f"{count} {network}" for network, count in by_network.most_common())


def _network(url: str) -> str:
    try:
        return str(parse_relay_url(url).network)
    except InvalidRelayURL:
        return "unknown"


def tag_with_relays(instance: dg.DagsterInstance, run: dg.DagsterRun, urls: Sequence[str]) -> None:
    """Let the list of runs show what a run is about, where neither its partition nor who started it did."""
    if urls and not {RELAYS_TAG, PARTITION_NAME_TAG} & run.tags.keys():
        instance.add_run_tags(run.run_id, {RELAYS_TAG: counted(urls)})


Finished = Callable[[str, Mapping[str, datetime]], set[str]]
"""Tells of which relays the work was done after the given time; the first argument is the archive's URL."""

HEALTH_JOB = "relay_health"
"""The job that checks how relays are."""

OTHER_JOBS = {HEALTH_JOB: RELAY_HEALTH, "export_days": dg.AssetKey("event_day")}
"""What jobs materialize whose runs bear partitions, and are no syncs."""

OPS = {RELAY_CURSOR: "relay_cursor", RELAY_HEALTH: "check_relays"}
"""The op that materializes each asset, in whose config the relays are; none may have the name of a job."""


def relays_in_flight(
    instance: dg.DagsterInstance,
    database_url: str,
    asset: dg.AssetKey = RELAY_CURSOR,
    finished: Finished = finished_since,
) -> set[str]:
    """Relays that a queued or running run, however started, has yet to finish: to ask again would only queue up.

    What a run is done with is not in flight any more: one slow relay must not hold back hundreds of others. Runs
    that do not materialize `asset` do not count.
    """
    since: dict[str, datetime] = {}
    for record in instance.get_run_records(dg.RunsFilter(statuses=IN_FLIGHT)):
        for url in named_relays(record.dagster_run, instance, asset):
            since[url] = max(record.create_timestamp, since.get(url, record.create_timestamp))
    return set(since) - finished(database_url, since)


def named_relays(
    run: dg.DagsterRun, instance: dg.DagsterInstance, asset: dg.AssetKey = RELAY_CURSOR
) -> Sequence[str]:
    """The relays in a run's config, else the partitions in its tags, where it materializes `asset`."""
    found: object = run.run_config
    for name in ("ops", OPS[asset], "config", "relays"):
        found = found.get(name) if isinstance(found, Mapping) else None
    if isinstance(found, list) and found:
        return [str(url) for url in found]
    if not _materializes(run, asset):
        return []
    if PARTITION_NAME_TAG in run.tags:
        return [run.tags[PARTITION_NAME_TAG]]
    first, last = run.tags.get(ASSET_PARTITION_RANGE_START_TAG), run.tags.get(ASSET_PARTITION_RANGE_END_TAG)
    keys = instance.get_dynamic_partitions("relay") if first and last else []
    if first not in keys or last not in keys:
        return []
    return keys[keys.index(first) : keys.index(last) + 1]


def _materializes(run: dg.DagsterRun, asset: dg.AssetKey) -> bool:
    """Whether it does; a run that does not say what it materializes is a sync, unless its job is another one."""
    if run.asset_selection is not None:
        return asset in run.asset_selection
    return asset == OTHER_JOBS.get(run.job_name, RELAY_CURSOR)
