"""Many relays at once: caps per network, a deadline, one writer; one relay's failure never stops another."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any

import psycopg

from bigbrotr_dagster.nostr.keys import InvalidPrivateKey, parse_private_key
from bigbrotr_dagster.nostr.relay_url import RelayURL
from bigbrotr_dagster.nostr.text import safe_line
from bigbrotr_dagster.storage.locks import POLL, LockKeeper, lock_keeper
from bigbrotr_dagster.storage.pool import DatabaseUnavailable, Pool, connect, open_pool, retried, shown
from bigbrotr_dagster.storage.registry import fresh_relays
from bigbrotr_dagster.storage.state import (
    AttemptResult,
    SyncState,
    begin_attempt,
    finish_attempt,
    running_attempt,
)
from bigbrotr_dagster.storage.trouble import database_trouble
from bigbrotr_dagster.storage.writer import BatchWriter, batch_writer
from bigbrotr_dagster.sync.config import NetworkConfig, SynchronizerConfig
from bigbrotr_dagster.sync.config_file import ConfigError
from bigbrotr_dagster.sync.garbage import rare_searches
from bigbrotr_dagster.sync.history import open_history
from bigbrotr_dagster.sync.relay import RelayFailed, RelaySync
from bigbrotr_dagster.sync.report import CycleReport, OnReport, Progress, RelayReport, watched
from bigbrotr_dagster.sync.work_queue import RelayQueue, by_network

log = logging.getLogger(__name__)

BUSY_PATIENCE = 5.0
"""Seconds to wait for a relay that another process seems to sync: a killed one's lock goes away by itself."""

STOPPED = "stopped"
DATABASE_LOST = "the database stopped answering"

SLOT_SECONDS = 5.0
"""Seconds that a slot is kept from one relay to the next while another process waits for one."""


@dataclass(frozen=True, slots=True)
class _Cycle:
    """What all relays of one cycle share."""

    config: SynchronizerConfig
    run_id: str
    pool: Pool
    locks: LockKeeper
    writer: BatchWriter
    private_key: bytes | None
    deadline: float | None
    progress: Progress
    busy_patience: float


async def sync_relays(
    database_url: str,
    config: SynchronizerConfig,
    urls: Sequence[str],
    *,
    run_id: str = "",
    skip_fresh: bool = False,
    busy_patience: float = BUSY_PATIENCE,
    on_report: OnReport | None = None,
) -> CycleReport:
    """Sync relays, each network's in the given order, `max_tasks` at a time.

    `on_report` is called in the event loop as each relay ends. Relays that `max_duration` leaves no time for are
    not in the report, nor are those that `skip_fresh` leaves out, for they succeeded within the last `interval`
    seconds. A relay that another process still syncs when the others are done, and `busy_patience` seconds later,
    is reported as busy. Cancelling stores what was received and proved, and raises CancelledError.

    Raises:
        ConfigError: the private key is not one.
        DatabaseUnavailable: the database does not answer, or stopped answering.
    """
    started = time.monotonic()
    progress = watched.get() or Progress()
    report = progress.report = CycleReport()

    def done(relay: RelayReport) -> None:
        report.relays.append(relay)
        progress.relays_done += 1
        if on_report is not None:
            on_report(relay)

    if skip_fresh:
        urls = _without_fresh(database_url, urls, config.interval)
    progress.relays += len(urls)
    queues = by_network(urls, config, done)
    try:
        async with (
            _cycle(database_url, config, run_id, progress, busy_patience) as cycle,
            asyncio.TaskGroup() as group,
        ):
            for network, relays in queues.items():
                options = config.networks.get(network)
                if options is not None:
                    for _ in range(min(options.max_tasks, len(relays.untried))):
                        group.create_task(_work(cycle, network, options, relays, done))
    except Exception as error:  # a group of them, where several relays met it at once
        trouble = database_trouble(error, shown(database_url))
        if trouble is None or trouble is error:
            raise
        raise trouble from error
    finally:
        report.seconds = time.monotonic() - started
    return report


def _without_fresh(database_url: str, urls: Sequence[str], interval: float) -> list[str]:
    with connect(database_url) as connection:
        fresh = set(fresh_relays(connection, urls, interval))
    return [url for url in urls if url not in fresh]


@asynccontextmanager
async def _cycle(
    database_url: str, config: SynchronizerConfig, run_id: str, progress: Progress, busy_patience: float
) -> AsyncIterator[_Cycle]:
    key = _private_key(config.keys.keys_env)
    longest = config.timeouts.max_duration
    deadline = None if longest is None else time.monotonic() + longest
    async with AsyncExitStack() as stack:
        stack.enter_context(rare_searches())
        pool = await stack.enter_async_context(open_pool(database_url))
        locks = await stack.enter_async_context(lock_keeper(database_url))
        writer = await stack.enter_async_context(
            batch_writer(
                pool,
                batch_size=config.processing.batch_size,
                flush_interval=config.processing.flush_interval,
            )
        )
        yield _Cycle(config, run_id, pool, locks, writer, key, deadline, progress, busy_patience)


def _private_key(variable: str) -> bytes | None:
    text = os.environ.get(variable)
    if not text:
        return None
    try:
        return parse_private_key(text)
    except InvalidPrivateKey as error:
        raise ConfigError(f"{variable}: {error}") from error


async def _work(cycle: _Cycle, network: str, options: NetworkConfig, waiting: RelayQueue, done: OnReport) -> None:
    """Take one relay after the other, each under a slot of the network that counts over all processes."""
    while waiting and not _is_late(cycle):
        async with cycle.locks.slot(network, options.max_tasks):
            taken = time.monotonic()
            while waiting and not _is_late(cycle):
                await _take_next(cycle, options, waiting, done)
                if time.monotonic() - taken > SLOT_SECONDS and await cycle.locks.is_wanted(network):
                    break
        if waiting:
            await asyncio.sleep(2 * POLL)  # whoever waits looks once in POLL seconds


def _is_late(cycle: _Cycle) -> bool:
    return cycle.deadline is not None and time.monotonic() >= cycle.deadline


async def _take_next(cycle: _Cycle, options: NetworkConfig, waiting: RelayQueue, done: OnReport) -> None:
    once_more = not waiting.untried
    relay = waiting.busy.popleft() if once_more else waiting.untried.popleft()
    async with cycle.locks.relay(relay.url, cycle.busy_patience if once_more else 0) as ours:
        if ours:
            await _attempt(cycle, options, relay, done)
        elif once_more:
            done(await _busy(cycle, relay))
        else:
            waiting.busy.append(relay)


async def _busy(cycle: _Cycle, relay: RelayURL) -> RelayReport:
    """What is known of the process that syncs the relay."""
    by = await retried(cycle.pool, lambda connection: running_attempt(connection, relay.url))
    error = "another process is syncing this relay"
    if by is not None:
        run_id, since = by
        error += f" since {since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" + (f", run {run_id}" if run_id else "")
    return RelayReport(relay.url, relay.network.value, ok=False, busy=True, error=error)


async def _attempt(cycle: _Cycle, options: NetworkConfig, relay: RelayURL, done: OnReport) -> None:
    """One sync, with its row in `sync_attempt` whatever comes; `done` gets a report unless it was stopped."""
    started = time.monotonic()
    state = await retried(cycle.pool, lambda connection: begin_attempt(connection, relay.url, cycle.run_id))
    sync = _relay_sync(cycle, options, relay, state)
    gaps_before = sum(len(history.gaps) for history in sync.histories)
    error: str | None = STOPPED
    try:
        await sync.run()
        error = None
    except RelayFailed as failure:
        error = str(failure)
    except (DatabaseUnavailable, psycopg.Error):
        error = DATABASE_LOST
        raise
    except Exception as failure:  # ours, not the relay's: the other relays go on all the same
        log.exception("the sync of %s failed", relay.url)
        error = safe_line(f"internal error: {failure!r}")
    finally:

        async def end() -> None:
            await _finish(cycle, sync, state, error)
            if error not in (STOPPED, DATABASE_LOST):
                report = _report(cycle, sync, error, time.monotonic() - started)
                done(replace(report, gaps_before=gaps_before, went_well_before=state.went_well))

        await _to_its_end(end())


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do short work that being cancelled must not cut off: what is stored is recorded, too."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def _relay_sync(cycle: _Cycle, options: NetworkConfig, relay: RelayURL, state: SyncState) -> RelaySync:
    wanted, now = cycle.config.processing, time.time()
    histories = [open_history(given, wanted, now, state) for given in wanted.filters]
    return RelaySync(
        relay,
        cycle.config,
        options,
        state,
        histories,
        cycle.writer,
        cycle.progress,
        private_key=cycle.private_key,
        deadline=cycle.deadline,
    )


async def _finish(cycle: _Cycle, sync: RelaySync, state: SyncState, error: str | None) -> None:
    await cycle.writer.flush()
    traffic = sync.traffic
    result = AttemptResult(
        ok=error is None,
        error=error,
        events_received=traffic.events_received,
        requests=traffic.requests,
        bytes_received=traffic.bytes_received,
        insecure=traffic.insecure,
        interval=cycle.config.interval,
    )
    audited = {history.hash: history.audit.rotation for history in sync.histories}
    rotations = {hash: rotation for hash, rotation in audited.items() if rotation is not None}
    await retried(
        cycle.pool,
        lambda connection: finish_attempt(connection, sync.relay.url, state, result, sync.tally, rotations),
    )


def _report(cycle: _Cycle, sync: RelaySync, error: str | None, seconds: float) -> RelayReport:
    tally, traffic, cursor = sync.tally, sync.traffic, sync.cursor
    return RelayReport(
        url=sync.relay.url,
        network=sync.relay.network.value,
        ok=error is None,
        error=error,
        events_received=traffic.events_received,
        events_new=tally.events_new,
        events_known=tally.events_known,
        events_rejected=dict(tally.rejected),
        observations_new=tally.observations_new,
        late_events=tally.late_events,
        requests=traffic.requests,
        bytes_received=traffic.bytes_received,
        cursor=cursor,
        lag_seconds=max(0, int(time.time()) - cursor.timestamp) if cursor else None,
        pending_seconds=sum(history.pending.seconds for history in sync.histories),
        gaps=[gap for history in sync.histories for gap in history.gaps],
        without_kinds=sync.without_kinds,
        seconds=seconds,
    )
