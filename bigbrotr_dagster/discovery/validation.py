"""Trying candidates: who speaks Nostr becomes a relay, whoever does not waits longer each time.

Theory of operation. Candidates are tried in the order of what they promise, under the caps that syncs have, too. A
relay is written at once, in one transaction with its candidate's end. Failures are written a hundred at a time.
Where nearly all of a network's look as if our own line were down, some of its relays that are known to be alive
are asked; if none of them answers either, nothing is held against anybody, and the rest waits for the next time.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from psycopg.types.json import Jsonb

from bigbrotr_dagster.config import NetworkConfig, SynchronizerConfig, reachable_networks, run_network
from bigbrotr_dagster.discovery.candidates import is_wanted
from bigbrotr_dagster.discovery.probe import OURS, NotARelay, probe
from bigbrotr_dagster.nostr.reach import ConnectError, reach
from bigbrotr_dagster.nostr.relay_url import RelayURL, parse_relay_url
from bigbrotr_dagster.nostr.resolver import resolver
from bigbrotr_dagster.storage.address import shown
from bigbrotr_dagster.storage.locks import lock_keeper
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import AsyncConnection, Pool, open_pool, retried
from bigbrotr_dagster.storage.trouble import database_errors
from bigbrotr_dagster.sync.caps import Caps, Refused, by_network, each_relay

__all__ = ["ValidationReport", "networks", "validate"]

BATCH = 100
"""Failures in a transaction: what a kill can cost."""

DOWN_SHARE = 0.9
"""Of a network's failures in a batch: if more could be our own line's fault, that is looked into."""

MOST_ASKED = 5
"""Relays known to be alive that are asked whether a network can be reached."""

DAILY_TRIES = 12
"""Failures in a row after which a candidate is tried once a week: five of growing distance, and a week of days."""

VOUCHED_SECONDS = 86_400
"""Age up to which a trusted monitor's word stands for a try of our own."""

PURPOSE = "probe"


@dataclass(slots=True)
class ValidationReport:
    """What came of it. `failed`: by reason; `networks_down`: those that we cannot reach, which nobody can help.

    `waiting`: candidates that are left, to be tried or tried again. `left_today`: relays that may still be
    registered today (`discovery.max_new_per_day`).
    """

    validated: list[str] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    networks_down: set[str] = field(default_factory=set)
    waiting: int = 0
    left_today: int = 0
    seconds: float = 0.0

    @property
    def tried(self) -> int:
        """Candidates that were tried."""
        return len(self.validated) + self.failed.total()


async def validate(database_url: str, options: SynchronizerConfig) -> ValidationReport:
    """Try the most promising candidates that are due, at most `discovery.max_tries`.

    Raises:
        DatabaseUnavailable: the database does not answer, or stopped answering.
    """
    report, started = ValidationReport(), time.monotonic()
    async with AsyncExitStack() as stack:
        stack.enter_context(database_errors(shown(database_url)))
        pool = await stack.enter_async_context(open_pool(database_url, most=2))
        due = await _due(pool, options, report)
        if due:
            await stack.enter_async_context(resolver())
            locks = await stack.enter_async_context(lock_keeper(database_url))
            caps = Caps(options, locks, None, time.monotonic() + options.interval, PURPOSE)
            await _Validation(pool, caps, report).run(due)
        async with pool.connection() as connection:
            row = await (await connection.execute(query("count_candidates"))).fetchone()
            report.waiting = row[0] if row else 0
    report.seconds = time.monotonic() - started
    return report


def networks(options: SynchronizerConfig) -> list[str]:
    """The networks whose candidates are tried."""
    chosen = options.discovery.networks
    return [name for name in reachable_networks(options) if chosen is None or name in chosen]


async def _due(pool: Pool, options: SynchronizerConfig, report: ValidationReport) -> dict[str, int | None]:
    """The candidates to try, in order, with the time when a monitor vouched for each."""
    async with pool.connection() as connection:
        row = await (await connection.execute(query("promoted_lately"))).fetchone()
        report.left_today = max(0, options.discovery.max_new_per_day - (row[0] if row else 0))
        if not report.left_today:
            return {}
        rows = await connection.execute(query("due_candidates"), {"networks": networks(options)})
        due = {url: vouched_at async for url, host, vouched_at in rows if is_wanted(host, options.discovery)}
    return dict(list(due.items())[: options.discovery.max_tries])


class _Validation:
    """One pass over some candidates."""

    def __init__(self, pool: Pool, caps: Caps, report: ValidationReport) -> None:
        self._pool = pool
        self._caps = caps
        self._report = report
        self._failures: list[dict[str, Any]] = []
        self._reached: set[str] = set()  # networks of which one became a relay, since failures were last written
        self._writing = asyncio.Lock()

    async def run(self, due: dict[str, int | None]) -> None:
        """Try them; what failed is written also where this ends early."""

        async def work(options: NetworkConfig, relay: RelayURL) -> None:
            is_over = not self._report.left_today or run_network(relay.network) in self._report.networks_down
            if not is_over:
                await self._try(options, relay, due[relay.url])

        async def busy(options: NetworkConfig, relay: RelayURL) -> None:
            """Another process tries it."""

        def refuse(refused: Refused) -> None:
            """It was one of a network that is on, a moment ago."""

        try:
            await each_relay(self._caps, by_network(due, self._caps.config, refuse), work, busy)
        finally:
            await self._write_failures()

    async def _try(self, options: NetworkConfig, relay: RelayURL, vouched_at: int | None) -> None:
        if vouched_at is None or vouched_at < time.time() - VOUCHED_SECONDS:
            tried_at = datetime.now(UTC)
            try:
                await probe(relay, options, self._caps.config)
            except NotARelay as failure:
                row = {"url": relay.url, "network": run_network(relay.network), "reason": failure.reason}
                self._failures.append(row | {"error": str(failure), "tried_at": tried_at.isoformat()})
                if len(self._failures) >= BATCH:
                    await self._write_failures()
                return
        if self._report.left_today:
            self._report.left_today -= 1
            self._reached.add(run_network(relay.network))
            await retried(self._pool, lambda connection: _promote(connection, relay.url))
            self._report.validated.append(relay.url)

    async def _write_failures(self) -> None:
        async with self._writing:
            failures, self._failures = self._failures, []
            reached, self._reached = self._reached, set()
            for network in {row["network"] for row in failures} - reached:
                reasons = [row["reason"] for row in failures if row["network"] == network]
                ours = sum(reason in OURS for reason in reasons)
                if ours > DOWN_SHARE * len(reasons) and await self._is_down(network):
                    self._report.networks_down.add(network)
            down = self._report.networks_down
            failures = [row for row in failures if row["network"] not in down or row["reason"] not in OURS]
            await retried(self._pool, lambda connection: _note_failures(connection, failures))
            self._report.failed.update(row["reason"] for row in failures)

    async def _is_down(self, network: str) -> bool:
        """Whether of a network's relays that were alive none can be reached. Without any, it is not known: no."""
        names = [name for name in networks(self._caps.config) if run_network(name) == network]
        values = {"networks": names, "most": MOST_ASKED}
        async with self._pool.connection() as connection:
            alive = [url async for (url,) in await connection.execute(query("known_alive"), values)]
        answers = await asyncio.gather(*(self._answers(url) for url in alive))
        return bool(alive) and not any(answers)

    async def _answers(self, url: str) -> bool:
        config, relay = self._caps.config, parse_relay_url(url)
        options = config.networks.get(relay.network)
        if options is None:
            return False
        try:
            sock = await reach(
                relay,
                within=options.timeout,
                proxy_url=options.proxy_url,
                allow_private=config.allow_private,
            )
        except ConnectError:
            return False
        sock.close()
        return True


async def _promote(connection: AsyncConnection, url: str) -> None:
    await connection.execute(query("promote_candidate"), {"url": url})


async def _note_failures(connection: AsyncConnection, failures: Sequence[dict[str, Any]]) -> None:
    if failures:
        values = {"given": Jsonb(failures), "daily_tries": DAILY_TRIES}
        await connection.execute(query("note_failures"), values)
