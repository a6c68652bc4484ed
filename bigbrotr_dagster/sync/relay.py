"""One relay's sync: connect, walk each filter's history, hand every answer to the writer.

What is next after each answer, and after each connection, `windowing.conduct` says; this module does it.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from bigbrotr_dagster.config import NetworkConfig, SynchronizerConfig
from bigbrotr_dagster.errors import RelayError
from bigbrotr_dagster.nostr.connection import ConnectError, Connection, Reply, connect
from bigbrotr_dagster.nostr.relay_url import RelayURL
from bigbrotr_dagster.storage.ingest import BatchWriter, Cursor, Tally
from bigbrotr_dagster.storage.state import Nip77, SyncState
from bigbrotr_dagster.sync.asking import Asking, Traffic
from bigbrotr_dagster.sync.budget import Budget
from bigbrotr_dagster.sync.history import History
from bigbrotr_dagster.sync.reconciling import Reconciling
from bigbrotr_dagster.sync.report import Progress
from bigbrotr_dagster.sync.restricted import Restricted
from bigbrotr_dagster.sync.stated import Stated
from bigbrotr_dagster.windowing.ages import DAY
from bigbrotr_dagster.windowing.conduct import SHORT_WINDOW_REQUESTS, Conduct, Move
from bigbrotr_dagster.windowing.outcome import Ending, Outcome
from bigbrotr_dagster.windowing.policy import Reaction, reaction
from bigbrotr_dagster.windowing.tasks import Ask, Unproven
from bigbrotr_dagster.windowing.walk import Walk

LINGER = 1.0
"""Seconds in the end of a sync that brought no event, in which one may come after its EOSE."""

ONE_IN = 16
"""Of so many syncs that were expected to bring none, one takes that time."""


class RelayFailed(RelayError):
    """The relay's sync ends here for this run, through its own fault; the message is one line."""


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
        self.histories = list(histories)
        self._config = config
        self._network = network
        self._state = state
        self._private_key = private_key
        self._budget = Budget(config, deadline)
        self.stopped_by: str | None = None
        """What left the rest for another run."""
        self._conduct = Conduct(state.habits, state.failures, config.processing.limit)
        self._idle = config.timeouts.without_progress(relay.network)
        insecure = config.processing.allow_insecure
        self._stated = Stated(relay, network, allow_private=config.allow_private, allow_insecure=insecure)
        self._asking = Asking(
            relay, state.habits, self._conduct, self._stated, writer, progress, lambda: self.cursor
        )
        self._reconciling = Reconciling(
            state,
            self._asking,
            writer,
            self._stated,
            relay_url=relay.url,
            trust_claims=config.processing.trust_claims,
            recent=int(config.processing.lookback) or DAY,
            is_late=self._is_late,
        )
        self._restricted = Restricted(
            state.habits, self.histories, has_key=private_key is not None, is_due=state.forgotten
        )
        self.histories += self._restricted.opened

    async def run(self) -> None:
        """Ask until nothing is pending, or the relay's share of this run is used up.

        Raises:
            RelayFailed: the relay cannot be reached, refuses, or brings nothing any more.
            DatabaseUnavailable: what it brought cannot be stored.
        """
        walks = await self._walks()
        while not all(walk.is_done for _, walk in walks) and not self._is_late():
            before = _steps(walks)
            outcome = await self._converse(walks)
            if outcome is None:
                continue
            is_deceived = self._asking.claims.are_deceived
            decision = self._conduct.ended(outcome, _steps(walks) - before, time.monotonic(), deceived=is_deceived)
            match decision.move:
                case Move.NAME_KINDS:
                    walks = await self._walks(str(outcome))
                case Move.GIVE_UP:
                    if decision.gap is not None:
                        for history in self.histories:
                            await self._name_gaps(history, decision.gap, str(outcome))
                    raise RelayFailed(outcome.text if self._conduct.is_away else str(outcome))
            await asyncio.sleep(decision.pause)
        if not all(walk.is_done for _, walk in walks):
            self.stopped_by = self._spent()

    async def _walks(self, refusal: str = "all kinds") -> list[tuple[History, Walk]]:
        """The walks through each history that this relay can be asked for.

        A history of all kinds that it refuses becomes a gap, and its common kinds are asked for by number.
        """
        walks = []
        for history in list(self.histories):
            asked: tuple[History, ...] = (history,)
            if self._state.habits.rung.names_kinds and history.named:
                await self._name_gaps(history, Unproven.REFUSED, refusal)
                asked = history.named
                self.histories.extend(asked)
            walks += [begun for each in asked for begun in self._begin(each)]
        return walks

    def _begin(self, history: History) -> list[tuple[History, Walk]]:
        limit, is_compared = self._config.processing.limit, self._reconciling.takes(history)
        walks = history.walks(limit, self._state.habits, is_compared=is_compared)
        return [(history, walk) for walk in walks]

    @property
    def traffic(self) -> Traffic:
        """What was exchanged with the relay so far."""
        return self._asking.traffic

    @property
    def tally(self) -> Tally:
        """What the writer has counted of it so far."""
        return self._asking.tally

    @property
    def proved_by(self) -> str:
        """How it is known that nothing is missing of what had been proved before."""
        return "reconciled" if self._state.nip77 is Nip77.SPOKEN else "paged"

    @property
    def without_kinds(self) -> tuple[int, ...]:
        """Kinds that the relay keeps from us: what is covered is covered without them."""
        return self._restricted.missing

    @property
    def cursor(self) -> Cursor | None:
        """The end of what is settled without a break, under every filter."""
        reaches = [history.reach for history in self.histories]
        settled = [reach for reach in reaches if reach is not None]
        return Cursor(min(settled)) if settled and len(settled) == len(reaches) else None

    async def _converse(self, walks: list[tuple[History, Walk]]) -> Outcome | None:
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
                self._conduct.connected()
                self._asking.connected(connection)
                if self._state.habits.is_unknown and not self._state.covered:
                    self._state.habits.note_stated_limit((await self._stated.limits()).max_limit)
                while True:
                    for history, walk, share in _turns(walks):
                        if (history, walk) not in walks:
                            continue  # it was refused
                        outcome = await self._walk(connection, history, walk, share)
                        if outcome is None:
                            continue
                        if history not in self._restricted.opened or reaction(outcome) is not Reaction.REFUSED:
                            return outcome
                        walks.remove((history, walk))
                        self._restricted.refused()
                        await self._name_gaps(history, Unproven.REFUSED, str(outcome))
                    await self._linger(connection)
                    if self._is_late():
                        break
                    if all(walk.is_done for _, walk in walks):
                        opened = await self._restricted.probe(connection, self._asking)
                        self.histories += opened
                        left = await self._reconciling.go_through(connection, self.histories)
                        walks += [begun for each in (*opened, *left) for begun in self._begin(each)]
                        if not opened and not left:
                            break
            await self._asking.take_late(connection)
            if all(walk.is_done for _, walk in walks):
                await self._asking.claims.release()
        except ConnectError as error:
            if self.traffic.requests == 0 and not (self._state.went_well and error.may_be_a_restart):
                raise RelayFailed(str(error)) from error
            self._conduct.refused(time.monotonic(), may_restart=error.may_be_a_restart)
            return Outcome(Ending.DISCONNECTED, text=str(error))
        return None

    async def _linger(self, connection: Connection) -> None:
        """Give events time to come after the last EOSE, where nothing shows that this relay's come before it."""
        if self._asking.claims.has_doubts or self._may_be_deceived():
            self._asking.claims.has_doubts = False
            await connection.linger(LINGER)
            await self._asking.take_late(connection)

    def _may_be_deceived(self) -> bool:
        """Whether a sync that brought nothing should have brought something, or cannot tell."""
        if self.traffic.events_received or self._state.habits.grace:
            return False
        if self._state.received_before or not self._state.covered:
            return True
        # An event is asked for again a few times in all: at those, it has time to come.
        return any(history.reads_again for history in self.histories) or secrets.randbelow(ONE_IN) == 0

    async def _name_gaps(self, history: History, reason: Unproven, detail: str) -> None:
        await self._asking.deliver(history, Reply(Outcome(Ending.CLOSED)), history.give_up(reason, detail))

    async def _walk(self, connection: Connection, history: History, walk: Walk, share: float) -> Outcome | None:
        """Go on until this share of the budget is used up.

        Returns the first outcome that calls for another connection, or for giving up.
        """
        more = partial(self._more, walk, share)
        while not self._is_late(share) and (asks := await self._next(connection, walk)):
            outcome = await self._asking.converse(connection, history, walk, asks, more)
            if outcome is not None and len(asks) == 1:
                outcome = await self._heed(connection, history, asks[0], outcome)
            if outcome is not None:
                return outcome
            self._check_progress()
            await self._reconciling.take_over(connection, history, walk)
        return None

    async def _heed(self, connection: Connection, history: History, ask: Ask, outcome: Outcome) -> Outcome | None:
        """Do what is next after the answer to one ask; returns the outcome if that is to leave the connection."""
        if self._asking.claims.are_deceived:
            return replace(outcome, text="events come after it")
        minds = self._conduct.minds_limits(outcome, closed=connection.closed)
        decision = self._conduct.after(
            outcome,
            ask,
            closed=connection.closed,
            optional=history in self._restricted.opened,
            stated=(await self._stated.limits()).max_limit if minds else None,
        )
        await asyncio.sleep(decision.pause)
        return outcome if decision.move is Move.LEAVE else None

    def _check_progress(self) -> None:
        idle = time.monotonic() - self._asking.progress_at
        if idle > self._idle:
            raise RelayFailed(f"nothing new for {idle:.0f} s")

    async def _next(self, connection: Connection, walk: Walk) -> list[Ask]:
        """The next requests: more than one where the relay is far."""
        await self._asking.supply(walk)
        distance, width = self._asking.distance, 1
        if distance.is_far(connection):
            distance.heed((await self._stated.limits()).max_subscriptions)
            width = distance.width(self._state.habits)
        return distance.asks(walk, width)

    def _more(self, walk: Walk, share: float, under_way: int) -> list[Ask]:
        """What goes out beside the requests under way, as long as nothing speaks against it."""
        self._check_progress()
        distance = self._asking.distance
        width = distance.width(self._state.habits)
        waits = width == 1 or walk.crowded is not None or self._is_late(share)
        return [] if waits else distance.asks(walk, width - under_way)

    def _is_late(self, share: float = 1.0) -> bool:
        """Whether the rest is left for another run, or for what this share leaves."""
        return self._spent(share) is not None

    def _spent(self, share: float = 1.0) -> str | None:
        if self._conduct.is_spent(self.traffic.requests, share):
            return f"{SHORT_WINDOW_REQUESTS} requests for two hours each"
        return self._budget.used_up(self.traffic, share)


def _steps(walks: Sequence[tuple[History, Walk]]) -> int:
    """Answers that brought the walks nearer to their end."""
    return sum(walk.steps for _, walk in walks)


def _turns(walks: Sequence[tuple[History, Walk]]) -> list[tuple[History, Walk, float]]:
    """Each walk with the share of the budget up to which it goes on: its part, and what those before it left.

    Then once more, for what the last ones left.
    """
    first = [(*each, place / len(walks)) for place, each in enumerate(walks, 1)]
    return first + [(*each, 1.0) for each in walks]
