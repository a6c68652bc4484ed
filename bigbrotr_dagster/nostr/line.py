"""What all requests of one connection share: the socket, its clocks, and what is still open at the other end."""

import asyncio
import secrets
from contextlib import suppress
from dataclasses import dataclass, field

from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from bigbrotr_dagster.nostr import messages
from bigbrotr_dagster.nostr.auth import Authenticator
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.late import EndedSubscriptions
from bigbrotr_dagster.nostr.relay_socket import RelaySocket
from bigbrotr_dagster.nostr.subscription import Subscription, protocol_error
from bigbrotr_dagster.nostr.text import safe_line
from bigbrotr_dagster.windowing.outcome import Ending, Outcome

NOTICE_GRACE = 3.0
"""Seconds that a relay has to answer after a NOTICE."""

MOST_HALVINGS = 4
"""So often that time is halved, once for each NOTICE that turned out to be all the answer there was."""

MOST_OPEN = 2
"""Subscriptions that stay open after their EOSE: with the next one fewer than any relay is known to allow."""

# Close codes (RFC 6455) that websockets sends when the relay breaks the protocol or a bound.
_FAULT_CODES = {1002, 1007, 1009}


@dataclass(slots=True)
class Line:
    """One connection, seen from the requests on it.

    `timeout`: seconds of silence that end a request; `page_timeout`: seconds that it may take in all.
    `max_event_size`: bytes of JSON. `turn` is held by who reads from the socket.
    """

    socket: RelaySocket
    authenticator: Authenticator
    timeout: float
    page_timeout: float
    max_event_size: int | None
    late: EndedSubscriptions = field(default_factory=EndedSubscriptions)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    spoke: bool = False
    """Whether it has said what only a relay says: an event, an answer to a request, a notice, a challenge."""
    _notices: int = 0  # in a row that were all the answer there was
    _open: list[str] = field(default_factory=list)  # subscriptions that the relay may still think of as open

    @property
    def is_open(self) -> bool:
        """Whether anything can still be sent."""
        return self.socket.state is State.OPEN

    @property
    def grace(self) -> float:
        """Seconds that the relay has after a NOTICE: fewer with each one that was all there came."""
        return NOTICE_GRACE / float(2 ** min(self._notices, MOST_HALVINGS))

    def note_notice(self, *, was_all: bool) -> None:
        """A request that brought a NOTICE has ended, maybe by that."""
        self._notices = self._notices + 1 if was_all else 0

    def subscription(self, selection: Filter, max_events: int, max_bytes: int) -> Subscription:
        """A subscription with an id that no other one has."""
        return Subscription(
            new_id(), selection, max_events=max_events, max_bytes=max_bytes, max_event_size=self.max_event_size
        )

    async def ended(self, subscription: Subscription, outcome: Outcome, *, stay_open: bool) -> None:
        """Close a subscription unless the relay has, and remember it, for more may come.

        It may `stay_open` after an EOSE with nothing before it: then the next ones close it.
        """
        if outcome.ending is not Ending.CLOSED:
            self._open.append(subscription.id)
            if outcome.ending is not Ending.EOSE or subscription.received or not stay_open:
                await self.close_subscriptions()
        await self.close_subscriptions(MOST_OPEN)
        self.late.add(subscription, outcome)

    async def close_subscriptions(self, most: int = 0) -> None:
        """Close the oldest ones, but for so many.

        Not on a socket that closes: what has come by then is still to be read.
        """
        if len(self._open) <= most or not self.is_open:
            return
        with suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(self.timeout):
                while len(self._open) > most:
                    await self.socket.send(messages.close(self._open.pop(0)), text=True)

    def lost(self, error: ConnectionClosed) -> Outcome:
        """What it means that the connection has ended."""
        return self.fault() or Outcome(Ending.DISCONNECTED, text=safe_line(str(error)))

    def fault(self) -> Outcome | None:
        """Return the outcome if we ended the connection for what the relay sent.

        It may be known before the relay lets go of the connection.
        """
        protocol = self.socket.protocol
        sent = protocol.close_sent
        if sent is not None and sent.code in _FAULT_CODES and not protocol.close_rcvd_then_sent:
            return protocol_error(safe_line(f"connection closed by us: {sent}"))
        return None


def new_id() -> str:
    """A subscription id that no other request has."""
    return secrets.token_hex(8)
