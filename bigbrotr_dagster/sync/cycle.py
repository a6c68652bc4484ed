"""Many relays' syncs at once: caps (`caps.py`), a deadline, one writer; no relay stops or starves another.

Theory of operation. Relays come in order of how long they have waited for their turn, and each leaves after its
budget (`budget.py`), so that a cycle ends, and whoever had no turn in it is among the first of the next one. Those
whose host has no room wait for it no longer than `interval` seconds of the cycle. What is not begun is named in
the report (`left_out`), never passed over in silence.
"""

import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC

from bigbrotr_dagster.config import ConfigError, NetworkConfig, SynchronizerConfig
from bigbrotr_dagster.nostr.keys import InvalidPrivateKey, parse_private_key
from bigbrotr_dagster.nostr.relay_url import RelayURL
from bigbrotr_dagster.nostr.resolver import resolver
from bigbrotr_dagster.storage.address import shown
from bigbrotr_dagster.storage.ingest import batch_writer
from bigbrotr_dagster.storage.left_out import put_in_force
from bigbrotr_dagster.storage.locks import lock_keeper
from bigbrotr_dagster.storage.sessions import Pool, connect, open_pool, retried
from bigbrotr_dagster.storage.state import begin_cycle, finish_cycle, fresh_relays, running_attempt
from bigbrotr_dagster.storage.trouble import database_errors, database_trouble
from bigbrotr_dagster.sync.attempt import Cycle, attempt, to_its_end
from bigbrotr_dagster.sync.caps import Caps, Refused, by_network, each_relay
from bigbrotr_dagster.sync.garbage import rare_searches
from bigbrotr_dagster.sync.report import CycleReport, OnReport, Progress, RelayReport, watched

BUSY_WAIT = 5.0
"""Seconds to wait for a relay that another process seems to sync: a killed one's lock goes away by itself."""


async def sync_relays(
    database_url: str,
    config: SynchronizerConfig,
    urls: Sequence[str],
    *,
    run_id: str = "",
    skip_fresh: bool = False,
    busy_wait: float = BUSY_WAIT,
    room_wait: float | None = None,
    on_report: OnReport | None = None,
) -> CycleReport:
    """Sync relays, each network's in the given order, `max_tasks` at a time, `max_per_host` of one host.

    `on_report` is called in the event loop as each relay ends. Relays that `max_duration` leaves no time for, or
    whose host has had no room within `room_wait` seconds (None: `interval`), are `left_out` in the report.
    Those that `skip_fresh` passes over are not in it: they succeeded within the last `interval` seconds. A relay
    that another process still syncs when the others are done, and `busy_wait` seconds later, is reported as
    busy. Cancelling stores what was received and proved, and raises CancelledError.

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

    def refuse(relay: Refused) -> None:
        done(RelayReport(relay.url, relay.network, ok=False, error=relay.problem, skipped=relay.skipped))

    queues = by_network(urls, config, refuse)
    try:
        with database_errors(shown(database_url)):
            put_in_force(database_url, [one.rule() for one in config.processing.leave_out])
            async with (
                _cycle(database_url, config, run_id, progress, busy_wait, room_wait) as cycle,
                _noted(cycle.pool, run_id, len(urls)),
            ):

                async def work(options: NetworkConfig, relay: RelayURL) -> None:
                    await attempt(cycle, options, relay, done)

                async def busy(options: NetworkConfig, relay: RelayURL) -> None:
                    done(await _busy(cycle, relay))

                await each_relay(cycle.caps, queues, work, busy)
    finally:
        report.left_out = [relay.url for relays in queues.values() for relay in relays]
        report.seconds = time.monotonic() - started
    return report


def _without_fresh(database_url: str, urls: Sequence[str], interval: float) -> list[str]:
    with connect(database_url) as connection:
        fresh = set(fresh_relays(connection, urls, interval))
    return [url for url in urls if url not in fresh]


@asynccontextmanager
async def _cycle(
    database_url: str,
    config: SynchronizerConfig,
    run_id: str,
    progress: Progress,
    busy_wait: float,
    room_wait: float | None,
) -> AsyncIterator[Cycle]:
    key = _private_key(config.keys.keys_env)
    longest = config.timeouts.max_duration
    deadline = None if longest is None else time.monotonic() + longest
    room_until = time.monotonic() + (config.interval if room_wait is None else room_wait)
    async with AsyncExitStack() as stack:
        stack.enter_context(rare_searches())
        await stack.enter_async_context(resolver())
        pool = await stack.enter_async_context(open_pool(database_url))
        locks = await stack.enter_async_context(lock_keeper(database_url))
        writer = await stack.enter_async_context(
            batch_writer(
                pool,
                batch_size=config.processing.batch_size,
                flush_interval=config.processing.flush_interval,
            )
        )
        caps = Caps(config, locks, deadline, room_until, busy_wait=busy_wait)
        yield Cycle(config, run_id, pool, caps, writer, key, progress)


@asynccontextmanager
async def _noted(pool: Pool, run_id: str, relays: int) -> AsyncIterator[None]:
    """Note that the cycle begins, and how it ends: done, or stopped. Of a database that is away it stays open."""
    await retried(pool, lambda connection: begin_cycle(connection, run_id, relays))
    try:
        yield
    except BaseException as error:
        if database_trouble(error) is None:
            await to_its_end(retried(pool, lambda connection: finish_cycle(connection, run_id, ok=False)))
        raise
    await retried(pool, lambda connection: finish_cycle(connection, run_id, ok=True))


def _private_key(variable: str) -> bytes | None:
    text = os.environ.get(variable)
    if not text:
        return None
    try:
        return parse_private_key(text)
    except InvalidPrivateKey as error:
        raise ConfigError(f"{variable}: {error}") from error


async def _busy(cycle: Cycle, relay: RelayURL) -> RelayReport:
    """What is known of the process that syncs the relay."""
    by = await retried(cycle.pool, lambda connection: running_attempt(connection, relay.url))
    error = "another process is syncing this relay"
    if by is not None:
        run_id, since = by
        error += f" since {since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" + (f", run {run_id}" if run_id else "")
    return RelayReport(relay.url, relay.network.value, ok=False, busy=True, error=error)
