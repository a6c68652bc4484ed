"""One relay's sync: connect, walk each filter's history, hand every answer to the writer."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bigbrotr_dagster.nostr.connection import ConnectError, Connection, Page, connect
from bigbrotr_dagster.nostr.relay_url import RelayURL
from bigbrotr_dagster.storage.delivery import Cursor, Delivery, Quarantined, Tally
from bigbrotr_dagster.storage.state import SyncState
from bigbrotr_dagster.storage.writer import BatchWriter
from bigbrotr_dagster.sync.config import NetworkConfig, SynchronizerConfig
from bigbrotr_dagster.sync.history import History
from bigbrotr_dagster.sync.report import Progress
from bigbrotr_dagster.windowing import Answer, Ask, Ending, Outcome, Proof, Walk
from bigbrotr_dagster.windowing.policy import PATIENCE, Reaction, delays, reaction

EVENTS_PER_PAGE = 10
"""An answer may hold this many times the `limit` asked for: some relays ignore it."""

PAGE_BYTES = 64 * 2**20
"""Bytes of one answer."""


class RelayFailed(Exception):
    """The relay's sync ends here for this run, through its own fault; the message is one line."""


@dataclass(slots=True)
class Traffic:
    """What was exchanged with the relay."""

    requests: int = 0
    events_received: int = 0
    bytes_received: int = 0
    insecure: bool = False


class RelaySync:
    """Syncs `histories` of `relay`; `deadline` and the clock are `time.monotonic()`'s seconds."""

    def __init__(
        self,
        relay: RelayURL,
        config: SynchronizerConfig,
        network: NetworkConfig,
        state: SyncState,
        histories: Sequence[History],
        writer: BatchWriter,
        progress: Progress,
        *,
        private_key: bytes | None = None,
        deadline: float | None = None,
    ) -> None:
        self.relay = relay
        self.histories = histories
        self.traffic = Traffic()
        self.tally = Tally()
        self._config = config
        self._network = network
        self._state = state
        self._writer = writer
        self._progress = progress
        self._private_key = private_key
        self._deadline = deadline
        self._patience = config.timeouts.without_progress(relay.network)
        self._progress_at = time.monotonic()

    async def run(self) -> None:
        """Ask until nothing is pending, or the deadline has passed.

        Raises:
            RelayFailed: the relay cannot be reached, refuses, or brings nothing any more.
            DatabaseUnavailable: what it brought cannot be stored.
        """
        limit = self._config.processing.limit
        walks = [(history, history.walk(limit, self._state.habits)) for history in self.histories]
        waits, fruitless = delays(), 0
        while any(walk.pending for _, walk in walks) and not self._is_late():
            before = self._progress_at
            outcome = await self._converse(walks)
            if outcome is None:
                return
            if self._progress_at > before:
                waits, fruitless = delays(), 0
            fruitless += 1
            if fruitless >= PATIENCE or reaction(outcome) is Reaction.REFUSED:
                raise RelayFailed(str(outcome))
            await asyncio.sleep(next(waits))

    @property
    def cursor(self) -> Cursor | None:
        """The end of what is settled without a break, under every filter."""
        reaches = [history.reach for history in self.histories]
        settled = [reach for reach in reaches if reach is not None]
        return Cursor(min(settled)) if settled and len(settled) == len(reaches) else None

    async def _converse(self, walks: Sequence[tuple[History, Walk]]) -> Outcome | None:
        """Ask on one connection; returns the outcome that it has to be given up for, None when all is done."""
        try:
            async with connect(
                self.relay,
                timeout=self._network.timeout,
                proxy_url=self._network.proxy_url,
                allow_private=self._config.allow_private,
                allow_insecure=self._config.processing.allow_insecure,
                private_key=self._private_key,
                max_event_size=self._config.processing.max_event_size,
            ) as connection:
                self.traffic.insecure |= connection.insecure
                for history, walk in walks:
                    outcome = await self._walk(connection, history, walk)
                    if outcome is not None:
                        return outcome
        except ConnectError as error:
            if self.traffic.requests == 0:
                raise RelayFailed(str(error)) from error
            return Outcome(Ending.DISCONNECTED, text=str(error))
        return None

    async def _walk(self, connection: Connection, history: History, walk: Walk) -> Outcome | None:
        """Returns the first outcome that calls for another connection, or for giving up."""
        waits, fruitless = delays(), 0
        while not self._is_late() and (ask := walk.next()) is not None:
            outcome = await self._request(connection, history, walk, ask)
            match reaction(outcome):
                case Reaction.PROVED:
                    waits, fruitless = delays(), 0
                case Reaction.SLOW_DOWN if fruitless < PATIENCE and not connection.closed:
                    fruitless += 1
                    await asyncio.sleep(next(waits))
                case _:
                    return outcome
            idle = time.monotonic() - self._progress_at
            if idle > self._patience:
                raise RelayFailed(f"nothing new for {idle:.0f} s")
        return None

    async def _request(self, connection: Connection, history: History, walk: Walk, ask: Ask) -> Outcome:
        selection = history.selection(ask)
        if selection is None:
            page = Page(Outcome(Ending.EOSE))
        else:
            page = await connection.request(
                selection, max_events=EVENTS_PER_PAGE * ask.limit, max_bytes=PAGE_BYTES
            )
            self.traffic.requests += 1
            self.traffic.events_received += page.received
            self._progress.events_received += page.received
            self.traffic.bytes_received += page.bytes
        proof = Proof()
        if reaction(page.outcome) is Reaction.PROVED:
            refused = page.received - len(page.events) - len(page.outside)
            proof = walk.answered(ask, Answer(page.events, page.outcome, page.outside, refused))
            history.settle(proof)
        else:
            walk.failed(ask)
        if proof.covered or proof.gaps or page.events:
            self._progress_at = time.monotonic()
        await self._writer.put(self._delivery(history, page, proof))
        return page.outcome

    def _delivery(self, history: History, page: Page, proof: Proof) -> Delivery:
        """Everything that the page brought, and what it proves."""
        return Delivery(
            relay_url=self.relay.url,
            filter_hash=history.hash,
            filter=history.filter.to_dict(),
            seen_at=int(time.time()),
            tally=self.tally,
            events=[event for event in (*page.events, *page.outside) if history.wants(event.created_at)],
            rejected=[Quarantined(item.reason, item.raw, item.id) for item in page.rejected],
            rejected_counts=page.rejected_counts,
            covered=proof.covered,
            gaps=proof.gaps,
            cursor=self.cursor if proof.covered or proof.gaps else None,
            bytes=page.bytes,
        )

    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline
