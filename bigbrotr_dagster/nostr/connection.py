"""A connection to one relay: ask for a page at a time, and learn how each request ended.

Theory of operation. `Subscription` decides what a message means; this module sends, receives and watches
the clock. A request never raises for what a relay does: refusal, silence, a drop and nonsense are all
outcomes, and what arrived before them is in the page. Three clocks bound it: `timeout` seconds without a
message; a shorter grace after a NOTICE, which names no subscription and may be all the answer there is; and
`page_timeout` seconds over all, against a relay that drips.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import count
from time import monotonic

from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from bigbrotr_dagster.nostr import messages
from bigbrotr_dagster.nostr.auth import Authenticator
from bigbrotr_dagster.nostr.deadline import Deadline
from bigbrotr_dagster.nostr.dial import dial
from bigbrotr_dagster.nostr.exchange import AfterEose, Exchange, SideBySide, counted, introduce, new_id
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.intake import Intake
from bigbrotr_dagster.nostr.late import EndedSubscriptions
from bigbrotr_dagster.nostr.reach import ConnectError, Failure
from bigbrotr_dagster.nostr.rejected import Rejected
from bigbrotr_dagster.nostr.relay_socket import RelaySocket
from bigbrotr_dagster.nostr.relay_url import RelayURL
from bigbrotr_dagster.nostr.subscription import Reply, Subscription, decoded, protocol_error
from bigbrotr_dagster.nostr.text import safe_line
from bigbrotr_dagster.windowing.outcome import NOISE, Ending, Outcome

__all__ = ["AfterEose", "ConnectError", "Connection", "Failure", "Intake", "Rejected", "Reply", "connect"]

MAX_MESSAGE_SIZE = 2 * 1024 * 1024
"""Default bound of one message in bytes: contact lists pass 512 KiB, NIP-77 replies reach 1 MiB."""

NOTICE_GRACE = 3.0
"""Seconds that a relay has to answer after a NOTICE."""

MOST_HALVINGS = 4
"""So often that time is halved, once for each NOTICE that turned out to be all the answer there was."""

COUNT_TIMEOUT = 3.0
"""Seconds that a relay has to answer a COUNT: many do not know it, and say nothing."""

MOST_OPEN = 2
"""Subscriptions that stay open after their EOSE: with the next one fewer than any relay is known to allow."""

MUCH_NOISE = 100
"""Messages that are no answer, and nothing else: a relay that sends them is not silent."""

INTRODUCTION = 3.0
"""Seconds for a relay to challenge us and to take our answer, before the first request."""

PAGE_TIMEOUTS = 10
"""Default of `page_timeout`, in multiples of `timeout`."""

AT_ONCE = AfterEose()
"""An EOSE ends the request."""

Answered = Callable[[int, Reply], Awaitable[Sequence[Filter]]]
"""Told of each of several requests how it ended, by its number; returns what to ask for in its place."""

# Close codes (RFC 6455) that websockets sends when the relay breaks the protocol or a bound.
_FAULT_CODES = {1002, 1007, 1009}


@asynccontextmanager
async def connect(
    relay: RelayURL,
    *,
    timeout: float,  # noqa: ASYNC109 (outlives the call: it times each request's silence too)
    proxy_url: str | None = None,
    allow_private: bool = False,
    allow_insecure: bool = False,
    private_key: bytes | None = None,
    max_message_size: int = MAX_MESSAGE_SIZE,
    max_event_size: int | None = None,
    page_timeout: float | None = None,
) -> AsyncIterator["Connection"]:
    """Connect to `relay`, and close the connection in the end.

    Args:
        timeout: Seconds to connect in, and seconds of silence that end a request.
        proxy_url: A SOCKS5 proxy, socks5://[user:password@]host:port; it resolves the names.
        allow_private: Let the relay be on a private or loopback address.
        allow_insecure: Go on without verification where the certificate is not trusted.
        private_key: The 32 bytes that answer NIP-42 challenges; without it they are not answered.
        max_message_size: Bytes; a longer message ends the connection.
        max_event_size: Bytes of JSON; a longer event is rejected.
        page_timeout: Seconds that one request may take in all.

    Raises:
        ConnectError: one line that says why the relay cannot be reached.
    """
    socket, insecure = await dial(
        relay,
        within=timeout,
        proxy_url=proxy_url,
        allow_private=allow_private,
        allow_insecure=allow_insecure,
        max_message_size=max_message_size,
    )
    total = PAGE_TIMEOUTS * timeout if page_timeout is None else page_timeout
    authenticator = Authenticator(private_key, relay.url)
    connection = Connection(relay, socket, authenticator, insecure, timeout, total, max_event_size)
    try:
        if authenticator.able:
            await introduce(socket, authenticator, min(timeout, INTRODUCTION))
        yield connection
    except BaseException:
        socket.transport.abort()  # no time for courtesies
        raise
    finally:
        await socket.close()
        connection.take_left()


class Connection:
    """An open connection; `connect` makes them. One request runs at a time, further ones wait their turn."""

    def __init__(
        self,
        relay: RelayURL,
        socket: RelaySocket,
        authenticator: Authenticator,
        insecure: bool,
        timeout: float,
        page_timeout: float,
        max_event_size: int | None,
    ) -> None:
        self.relay = relay
        self.insecure = insecure
        """The relay's certificate was not trusted, and `allow_insecure` let that pass."""
        self._socket = socket
        self._authenticator = authenticator
        self._timeout = timeout
        self._page_timeout = page_timeout
        self._max_event_size = max_event_size
        self._turn = asyncio.Lock()
        self._notices = 0  # in a row that were all the answer there was
        self._open: list[str] = []  # subscriptions that the relay may still think of as open
        self.late = EndedSubscriptions()
        """What came for requests that had ended; also what came while the connection was closed."""

    @property
    def closed(self) -> bool:
        """Whether no further request can succeed."""
        return self._socket.state is not State.OPEN

    async def request(
        self,
        selection: Filter,
        *,
        max_events: int,
        max_bytes: int,
        after_eose: AfterEose = AT_ONCE,
        stay_open: bool = False,
        intake: Intake | None = None,
    ) -> Reply:
        """Send one REQ and collect its answers until it ends; `after_eose` tells what may come after its EOSE.

        More than `max_events` events or `max_bytes` bytes end it as a protocol error. The relay's
        subscription is closed unless the relay has ended it, or it is to `stay_open` after an EOSE with nothing
        before it: then the next ones close it. `intake` takes what is too much to be kept until the end.
        """
        async with self._turn:
            subscription = self._subscription(selection, max_events, max_bytes)
            grace = NOTICE_GRACE / 2 ** min(self._notices, MOST_HALVINGS)
            exchange = Exchange(
                self._socket, subscription, self._authenticator, grace, self.late, after_eose, intake
            )
            asked_at = monotonic()
            outcome = await self._timed(exchange.run, exchange.silence)
            if subscription.notices:
                self._notices = self._notices + 1 if outcome.ending is Ending.NOTICE else 0
            self._open.append(subscription.id)
            if outcome.ending is Ending.CLOSED:
                self._open.pop()
            elif outcome.ending is not Ending.EOSE or subscription.received or not stay_open:
                await self._close_subscriptions(0)
            await self._close_subscriptions(MOST_OPEN)
            self._ended(subscription, outcome, max_events, max_bytes)
            page = subscription.finish(outcome)
            if (page.ignored or page.garbage) and outcome.ending in (Ending.TIMEOUT, Ending.PROTOCOL_ERROR):
                text = outcome.text.replace("silent", "no answer")
                prefix = (
                    NOISE if not page.received and page.ignored + page.garbage >= MUCH_NOISE else outcome.prefix
                )
                page.outcome = replace(outcome, prefix=prefix, text=f"{text}: {page.summary}")
            page.waited, page.lasted = exchange.waited, monotonic() - asked_at
            page.late, page.silence = exchange.late, exchange.longest_silence
            page.as_member = exchange.asked_again
            return page

    async def request_side_by_side(
        self,
        selections: Sequence[Filter],
        answered: Answered,
        *,
        max_events: int,
        max_bytes: int,
        intake: Intake | None = None,
    ) -> None:
        """As `request`, for several filters at once: their answers come mixed, and the way there is gone once.

        `answered` is called with the number of each request (from 0, in the order of asking) and its page, and
        returns what to ask for in its place; once the connection has failed or fallen silent, that is not asked.
        `max_events` and `max_bytes` bound each answer.
        """
        async with self._turn:
            await self._close_subscriptions(0)
            following, numbers = count(), dict[str, int]()

            def subscribed(asked: Sequence[Filter]) -> list[Subscription]:
                made = [self._subscription(selection, max_events, max_bytes) for selection in asked]
                numbers.update({each.id: next(following) for each in made})
                return made

            async def ended(subscription: Subscription, outcome: Outcome) -> list[Subscription]:
                self._ended(subscription, outcome, max_events, max_bytes)
                page = subscription.finish(outcome)
                return subscribed(await answered(numbers.pop(subscription.id), page))

            together = SideBySide(
                self._socket, subscribed(selections), self._authenticator, ended, self.late, intake
            )
            otherwise = await self._timed(together.run, lambda: None)
            for subscription in together.open.values():
                self._open.append(subscription.id)
                await self._close_subscriptions(0)
                await answered(numbers[subscription.id], subscription.finish(otherwise))

    async def linger(self, seconds: float) -> None:
        """Wait so long for events that come late; the first one ends the wait."""
        async with self._turn:
            with suppress(TimeoutError, ConnectionClosed):
                async with asyncio.timeout(seconds):
                    while not self.late.have_more:
                        self._take_late(await self._socket.receive())

    def take_left(self) -> None:
        """Take what has come and was not received, now that no request will."""
        for raw in self._socket.left():
            self._take_late(raw)

    def _take_late(self, raw: bytes) -> None:
        self.late.take(decoded(raw), raw)

    def _ended(self, subscription: Subscription, outcome: Outcome, max_events: int, max_bytes: int) -> None:
        """Remember a request that has ended, for more may come for it."""
        again = partial(self._subscription, subscription.filter, max_events, max_bytes)
        self.late.add(subscription, outcome, again)

    async def round_trip(self) -> float:
        """Seconds that a ping takes there and back (RFC 6455); 0 if nothing comes back."""
        try:
            async with asyncio.timeout(self._timeout):
                return await (await self._socket.ping())
        except (TimeoutError, ConnectionClosed):
            return 0.0

    async def count(self, selection: Filter) -> int | None:
        """Ask how many events the relay has (NIP-45); None where it does not say. It proves nothing."""
        async with self._turn:
            id = new_id()
            try:
                async with asyncio.timeout(min(self._timeout, COUNT_TIMEOUT)):
                    await self._socket.send(messages.count(id, selection), text=True)
                    return await counted(self._socket, self._authenticator, id, self.late)
            except (TimeoutError, ConnectionClosed):
                return None

    def _subscription(self, selection: Filter, max_events: int, max_bytes: int) -> Subscription:
        return Subscription(
            new_id(), selection, max_events=max_events, max_bytes=max_bytes, max_event_size=self._max_event_size
        )

    async def _timed(
        self, run: Callable[[Deadline], Awaitable[Outcome]], silence: Callable[[], Outcome | None]
    ) -> Outcome:
        """How `run` ended; `silence` tells what it means if the relay says nothing more."""
        alarm = asyncio.timeout(None)
        deadline = Deadline(alarm, silence=self._timeout, total=self._page_timeout)
        try:
            async with alarm:
                return await run(deadline)
        except TimeoutError:
            return self._fault() or silence() or deadline.outcome()
        except ConnectionClosed as exc:
            return self._fault() or Outcome(Ending.DISCONNECTED, text=_one_line(exc))

    def _fault(self) -> Outcome | None:
        """Return the outcome if we ended the connection for what the relay sent.

        It may be known before the relay lets go of the connection.
        """
        protocol = self._socket.protocol
        sent = protocol.close_sent
        if sent is not None and sent.code in _FAULT_CODES and not protocol.close_rcvd_then_sent:
            return protocol_error(safe_line(f"connection closed by us: {sent}"))
        return None

    async def _close_subscriptions(self, most: int) -> None:
        """Close the oldest ones, but for so many."""
        with suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(self._timeout):
                while len(self._open) > most:
                    await self._socket.send(messages.close(self._open.pop(0)), text=True)


def _one_line(exc: ConnectionClosed) -> str:
    return safe_line(str(exc))
