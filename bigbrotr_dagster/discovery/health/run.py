"""Many relays' checks at once: caps as the sync's, one writer, batches that a kill repeats at most one of.

Theory of operation. Relays are worked on under `sync.caps`, for a purpose of their own: a sync of a relay does not
hold up its check. What is found waits for nothing but the doubt whether it is true (`doubt`), and is written once
a batch is full, or a few seconds after its first relay. A relay is reported when what was found is safe.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Container, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from bigbrotr_dagster.config import NetworkConfig, SynchronizerConfig
from bigbrotr_dagster.discovery.health.doubt import Doubt
from bigbrotr_dagster.discovery.health.places import Places, open_places
from bigbrotr_dagster.discovery.health.probe import Found, probe
from bigbrotr_dagster.discovery.health.state import known_health
from bigbrotr_dagster.discovery.health.store import RelayHealth, store
from bigbrotr_dagster.discovery.health.writing import writing_key
from bigbrotr_dagster.nostr.relay_url import InvalidRelayURL, RelayURL, parse_relay_url
from bigbrotr_dagster.nostr.resolver import resolver
from bigbrotr_dagster.storage.address import shown
from bigbrotr_dagster.storage.locks import lock_keeper
from bigbrotr_dagster.storage.sessions import Pool, open_pool
from bigbrotr_dagster.storage.trouble import database_errors
from bigbrotr_dagster.sync.caps import Caps, Refused, by_network, each_relay

PURPOSE = "health"
"""Of the locks: a relay is checked once at a time, whoever syncs it meanwhile."""

MOST_AT_ONCE = 100
"""Relays in a transaction."""

FLUSH_SECONDS = 3.0
"""The longest that what is found waits to be written."""

ROOM_WAIT = 300.0
"""Seconds of a run that relays wait for room at their host."""

OnReport = Callable[[RelayHealth], None]


@dataclass(slots=True)
class HealthReport:
    """What came of a run; each relay that was asked for is in one of these.

    `relays` were checked, and that is stored. `disbelieved`: none of their network answered, so that it may be our
    own way to them that is closed; nothing was written of them, and they stay due. `refused` cannot be tried,
    `busy` are being checked by another process, `left_out` had no turn, `unregistered` left the registry.
    """

    relays: list[RelayHealth] = field(default_factory=list)
    disbelieved: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    busy: list[str] = field(default_factory=list)
    unregistered: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def missed(self) -> Mapping[str, str]:
        """The relays of which nothing was stored, each with the reason."""
        doubt = "not believed, for no relay of its network answers"
        return {
            **self.refused,
            **dict.fromkeys(self.busy, "another process is checking it"),
            **dict.fromkeys(self.left_out, "no room at its host"),
            **dict.fromkeys(self.unregistered, "not registered any more"),
            **{url: f"{doubt}: {why}" for url, why in self.disbelieved.items()},
        }

    @property
    def alive(self) -> int:
        """How many of the relays that were checked are alive."""
        return sum(relay.alive for relay in self.relays)


async def check_relays(
    database_url: str,
    config: SynchronizerConfig,
    urls: Sequence[str],
    *,
    on_report: OnReport | None = None,
) -> HealthReport:
    """Check how relays are, each network's in the given order, `max_tasks` at a time, `max_per_host` of one host.

    `on_report` is called in the event loop, once what was found of a relay is stored. Cancelling stores what was
    found, and raises CancelledError.

    Raises:
        ConfigError: MaxMind's files cannot be read, or a write test is asked for without a key.
        DatabaseUnavailable: the database does not answer, or stopped answering.
    """
    started, report = time.monotonic(), HealthReport()
    known = known_health(database_url, [*urls, *_normal_forms(urls)])
    registered = _registered(urls, {health.url for health in known})

    def refuse(relay: Refused) -> None:
        report.refused |= dict.fromkeys(registered.get(relay.url, [relay.url]), relay.problem)

    queues = by_network(dict.fromkeys(_normal_forms(urls)), config, refuse)
    dead = {_normal_form(health.url) for health in known if health.alive is False}

    def done(health: RelayHealth) -> None:
        report.relays.append(health)
        if on_report is not None:
            on_report(health)

    try:
        with database_errors(shown(database_url)):
            async with _run(database_url, config, registered, dead, done) as run:

                async def work(network: NetworkConfig, relay: RelayURL) -> None:
                    await run.check(network, relay)

                async def busy(network: NetworkConfig, relay: RelayURL) -> None:
                    report.busy += registered[relay.url]

                await each_relay(run.caps, queues, work, busy)
                await run.end()
    finally:
        report.seconds = time.monotonic() - started
    report.left_out = [url for relays in queues.values() for relay in relays for url in registered[relay.url]]
    report.unregistered = run.gone
    for one in run.doubt.disbelieved:
        report.disbelieved |= dict.fromkeys(registered[one.relay.url], one.reason or "")
    return report


def _normal_forms(urls: Sequence[str]) -> list[str]:
    """The URLs in normal form; what is none stays as it is."""
    return list(map(_normal_form, urls))


def _normal_form(url: str) -> str:
    try:
        return parse_relay_url(url).url
    except InvalidRelayURL:
        return url


def _registered(urls: Sequence[str], known: Container[str]) -> dict[str, list[str]]:
    """The URLs as they are in the registry, by their normal form: other programs may have written them there.

    They may have written one in several ways: it is checked once, and each of its rows says so.
    """
    names: dict[str, dict[str, None]] = {}
    for url in urls:
        normal = _normal_form(url)
        names.setdefault(normal, {})[url if url in known else normal] = None
    return {normal: list(written) for normal, written in names.items()}


class _Run:
    """One run: checks relays, and writes what is found."""

    def __init__(
        self,
        config: SynchronizerConfig,
        caps: Caps,
        pool: Pool,
        places: Places,
        registered: dict[str, list[str]],
        doubt: Doubt,
        done: OnReport,
    ) -> None:
        self.caps = caps
        self.doubt = doubt
        self.gone: list[str] = []
        """Relays that are registered no more; nothing was written of them."""
        self._config = config
        self._pool = pool
        self._places = places
        self._key = writing_key(config)
        self._registered = registered
        self._done = done
        self._batch: list[tuple[str, Found]] = []
        self._first_at = 0.0
        self._writing = asyncio.Lock()

    async def check(self, network: NetworkConfig, relay: RelayURL) -> None:
        """Check a relay; writes the batch where it is its turn."""
        started = time.monotonic()
        found = await probe(self._config, network, relay, self._places, self._key)
        now = time.monotonic()
        self._take(self.doubt.take(found, started, now), now)
        if len(self._batch) >= MOST_AT_ONCE or (self._batch and now - self._first_at >= FLUSH_SECONDS):
            await self.write()

    async def end(self) -> None:
        """Write what is left."""
        self._take(self.doubt.end(), time.monotonic())
        await self.write()

    async def tick(self) -> None:
        """Write what has waited long enough, though no other relay is done; for ever."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS / 2)
            if self._batch and time.monotonic() - self._first_at >= FLUSH_SECONDS:
                await self.write()

    def _take(self, believed: Sequence[Found], now: float) -> None:
        if believed and not self._batch:
            self._first_at = now
        self._batch += [(url, found) for found in believed for url in self._registered[found.relay.url]]

    async def write(self) -> None:
        """All that is to be written, `MOST_AT_ONCE` at a time; one batch after the other.

        It is forgotten once it is stored: a cancellation in between has it written again.
        """
        async with self._writing:
            while self._batch:
                batch = self._batch[:MOST_AT_ONCE]
                stored = await store(self._pool, batch)
                del self._batch[: len(batch)]
                self.gone += sorted({url for url, _ in batch} - {health.url for health in stored})
                for health in stored:
                    self._done(health)


@asynccontextmanager
async def _run(
    database_url: str, config: SynchronizerConfig, registered: dict[str, list[str]], dead: set[str], done: OnReport
) -> AsyncIterator[_Run]:
    async with AsyncExitStack() as stack:
        places = stack.enter_context(open_places(config))
        await stack.enter_async_context(resolver())
        pool = await stack.enter_async_context(open_pool(database_url, most=2))
        locks = await stack.enter_async_context(lock_keeper(database_url))
        caps = Caps(config, locks, None, time.monotonic() + ROOM_WAIT, PURPOSE)
        run = _Run(config, caps, pool, places, registered, Doubt(dead), done)
        async with asyncio.TaskGroup() as group:
            ticking = group.create_task(run.tick())
            try:
                yield run
            except asyncio.CancelledError:
                await asyncio.shield(run.write())  # what is believed by now; another run finds out the rest
                raise
            finally:
                ticking.cancel()
