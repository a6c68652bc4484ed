"""The jobs: syncs, checks of health, and the clean-up of what the registry no longer knows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil

import dagster as dg

from bigbrotr_dagster.archive.registry import delete_stale_cursors
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.defs.graph import RELAY_CURSOR, RELAY_HEALTH
from bigbrotr_dagster.defs.instance.pruning import prune
from bigbrotr_dagster.defs.relays import follow_registry
from bigbrotr_dagster.defs.runs import ArchiveDatabase, Synchronizer
from bigbrotr_dagster.defs.runs.in_flight import HEALTH_JOB, NETWORK_TAG, OPS, RELAYS_TAG
from bigbrotr_dagster.defs.runs.run_process import OUR_ASSETS, OUR_JOBS, OUR_TABLES, OUR_TAGS

QUIET = {"console": {"config": {"log_level": "WARNING"}}}
"""Run config of `loggers`: what a run logs is in the UI, a terminal shows what went wrong."""

relay_sync = dg.define_asset_job(
    "relay_sync",
    selection=dg.AssetSelection.assets(RELAY_CURSOR),
    executor_def=dg.in_process_executor,
    description="Sync the relays that the run's config names; the schedule and the sensor start it.",
)

relay_health = dg.define_asset_job(
    HEALTH_JOB,
    selection=dg.AssetSelection.assets(RELAY_HEALTH),
    executor_def=dg.in_process_executor,
    description="Check how the relays are that the run's config names; the schedule starts it.",
)


@dg.op
def remove_unregistered(
    context: dg.OpExecutionContext, database: ArchiveDatabase, synchronizer: Synchronizer
) -> None:
    """Delete the cursors, and the partitions, of relays that are no longer registered. Their events stay."""
    url = database.ready()
    followed = follow_registry(context.instance, url, synchronizer.config())  # first: it may register some
    cursors = delete_stale_cursors(url)
    context.log.info("\n".join([f"{cursors} cursors removed", *followed.lines()]))


@dg.op
def prune_history(context: dg.OpExecutionContext, synchronizer: Synchronizer) -> None:
    """Delete Dagster's events and runs that are older than `history_days`; the newest of each partition stay."""
    days = synchronizer.config().history_days
    if days is None:
        return
    pruned = prune(context.instance, days, OUR_ASSETS | OUR_TABLES, OUR_JOBS, OUR_TAGS)
    context.log.info(f"{pruned.events} events, {pruned.checks} results of checks, {pruned.runs} runs removed")


@dg.job(executor_def=dg.in_process_executor)
def cleanup() -> None:
    """Remove what nobody needs: cursors and partitions of relays that are no longer registered, old runs of ours.

    Never an event of the archive.
    """
    remove_unregistered()
    prune_history()


def batches(
    due: Mapping[str, Sequence[str]], excluded: Iterable[str], options: SynchronizerConfig, run_key: str
) -> Iterator[dg.RunRequest]:
    """Run requests for the syncs that are due: at most `runs_per_tick` for each network."""
    return _batches(due, excluded, relay_sync.name, RELAY_CURSOR, options.partitions_per_run, options, run_key)


def health_batches(
    due: Mapping[str, Sequence[str]], excluded: Iterable[str], options: SynchronizerConfig, run_key: str
) -> Iterator[dg.RunRequest]:
    """Run requests for the checks of health that are due, as `batches`: of `relays_per_run` relays."""
    return _batches(due, excluded, HEALTH_JOB, RELAY_HEALTH, options.monitor.relays_per_run, options, run_key)


def _batches(
    due: Mapping[str, Sequence[str]],
    excluded: Iterable[str],
    job: str,
    asset: dg.AssetKey,
    per_run: int,
    options: SynchronizerConfig,
    run_key: str,
) -> Iterator[dg.RunRequest]:
    """Relays are dealt out in turn. The dead are the most behind: in a run of their own they would fail it."""
    skipped = set(excluded)
    for network, urls in due.items():
        wanted = [url for url in urls if url not in skipped]
        count = min(options.runs_per_tick, ceil(len(wanted) / per_run))
        configured = options.networks.get(network)
        tags = {**configured.run_tags} if configured else {}
        for number in range(count):
            relays = wanted[number::count]
            yield dg.RunRequest(
                run_key=f"{run_key}/{network}/{number}",
                job_name=job,
                run_config={
                    "ops": {OPS[asset]: {"config": {"relays": relays}}},
                    "loggers": QUIET,
                },
                tags=tags | {NETWORK_TAG: network, RELAYS_TAG: str(len(relays))},
            )
