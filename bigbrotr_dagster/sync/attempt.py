"""One attempt on one relay: its sync, its row in `sync_attempt`, and its report."""

import asyncio
import logging
import time
from collections.abc import Coroutine
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

import psycopg

from bigbrotr_dagster.config import NetworkConfig, SynchronizerConfig
from bigbrotr_dagster.nostr.relay_url import RelayURL
from bigbrotr_dagster.nostr.text import safe_line
from bigbrotr_dagster.storage.ingest import BatchWriter
from bigbrotr_dagster.storage.sessions import Pool, retried
from bigbrotr_dagster.storage.state import AttemptResult, SyncState, begin_attempt, finish_attempt
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable
from bigbrotr_dagster.sync.caps import Caps
from bigbrotr_dagster.sync.history import claim_as_configured, cursor_claims, open_history
from bigbrotr_dagster.sync.relay import RelayFailed, RelaySync
from bigbrotr_dagster.sync.report import OnReport, Progress, RelayReport

log = logging.getLogger(__name__)


class Interruption(Enum):
    """Why an attempt ended that is nobody's failure: there is no report on it. The value is what its row says."""

    STOPPED = "stopped"
    DATABASE_LOST = "the database stopped answering"


@dataclass(frozen=True, slots=True)
class Cycle:
    """What all relays of one cycle share."""

    config: SynchronizerConfig
    run_id: str
    pool: Pool
    caps: Caps
    writer: BatchWriter
    private_key: bytes | None
    progress: Progress


async def attempt(cycle: Cycle, options: NetworkConfig, relay: RelayURL, done: OnReport) -> None:
    """One sync, with its row in `sync_attempt` whatever comes; `done` gets a report unless it was stopped."""
    started = time.monotonic()
    claims = cursor_claims(cycle.config.as_configured().processing)
    state = await retried(
        cycle.pool, lambda connection: begin_attempt(connection, relay.url, cycle.run_id, claims)
    )
    sync = _relay_sync(cycle, options, relay, state)
    gaps_before = sum(len(history.gaps) for history in sync.histories)
    error: str | None = None
    interruption: Interruption | None = Interruption.STOPPED
    try:
        await sync.run()
        interruption = None
    except RelayFailed as failure:
        interruption, error = None, str(failure)
    except (DatabaseUnavailable, psycopg.Error):
        interruption = Interruption.DATABASE_LOST
        raise
    except Exception as failure:  # ours, not the relay's: the other relays go on all the same
        log.exception("the sync of %s failed", relay.url)
        interruption, error = None, safe_line(f"internal error: {failure!r}")
    finally:

        async def end() -> None:
            await _finish(cycle, sync, state, error if interruption is None else interruption.value)
            if interruption is None:
                report = _report(cycle, sync, error, time.monotonic() - started)
                report = replace(report, gaps_before=gaps_before, went_well_before=state.went_well)
                done(replace(report, transfers_per_event=_transfers(report, state)))

        await to_its_end(end())


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do short work that being cancelled must not cut off: what is stored is recorded, too."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def _relay_sync(cycle: Cycle, options: NetworkConfig, relay: RelayURL, state: SyncState) -> RelaySync:
    wanted, now = cycle.config.processing, time.time()
    histories = [open_history(given, wanted, now, state) for given in wanted.filters]
    configured = cycle.config.as_configured().processing
    if configured != wanted:
        claim_as_configured(histories, configured, now, state)
    return RelaySync(
        relay,
        cycle.config,
        options,
        state,
        histories,
        cycle.writer,
        cycle.progress,
        private_key=cycle.private_key,
        deadline=cycle.caps.deadline,
    )


async def _finish(cycle: Cycle, sync: RelaySync, state: SyncState, error: str | None) -> None:
    await cycle.writer.flush()
    result = AttemptResult(ok=error is None, error=error, interval=cycle.config.interval, **asdict(sync.traffic))
    read = {history.hash: history.read for history in sync.histories}
    changed = {hash: by_age for hash, by_age in read.items() if by_age != state.read.get(hash)}
    await retried(
        cycle.pool,
        lambda connection: finish_attempt(connection, sync.relay.url, state, result, sync.tally, changed),
    )


def _report(cycle: Cycle, sync: RelaySync, error: str | None, seconds: float) -> RelayReport:
    tally, traffic, cursor = sync.tally, sync.traffic, sync.cursor
    return RelayReport(
        url=sync.relay.url,
        network=sync.relay.network.value,
        ok=error is None,
        error=error,
        stopped_by=sync.stopped_by,
        events_received=traffic.events_received,
        events_new=tally.events_new,
        events_known=tally.events_known,
        events_rejected=dict(tally.rejected),
        observations_new=tally.observations_new,
        late_events=tally.late_events,
        late_by=dict(tally.late_by),
        events_claimed=tally.events_claimed,
        events_gone=tally.events_gone,
        proved_by=sync.proved_by,
        requests=traffic.requests,
        bytes_received=traffic.bytes_received,
        cursor=cursor,
        lag_seconds=max(0, int(time.time()) - cursor.timestamp) if cursor else None,
        pending_seconds=sum(history.pending.seconds for history in sync.histories),
        gaps=[gap for history in sync.histories for gap in history.gaps],
        without_kinds=sync.without_kinds,
        seconds=seconds,
    )


def _transfers(report: RelayReport, state: SyncState) -> float | None:
    """What the relay sent in the last day, this sync among it, by event that was new of it."""
    new = state.new_lately + report.observations_new
    return round((state.received_lately + report.events_received) / new, 3) if new else None
