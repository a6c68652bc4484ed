"""A connection to one relay: have a conversation on it, and learn how each request ended.

`conversation` holds what is said, and the clocks; what the requests of a connection share is in `line`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from websockets.exceptions import ConnectionClosed

from bigbrotr_dagster.negentropy import Reconciliation
from bigbrotr_dagster.nostr.auth import Authenticator
from bigbrotr_dagster.nostr.challenge import introduce
from bigbrotr_dagster.nostr.conversation import Conversation
from bigbrotr_dagster.nostr.counting import counted
from bigbrotr_dagster.nostr.dial import dial
from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.intake import Intake
from bigbrotr_dagster.nostr.late import EndedSubscriptions
from bigbrotr_dagster.nostr.line import Line
from bigbrotr_dagster.nostr.publishing import published
from bigbrotr_dagster.nostr.reach import ConnectError, Failure
from bigbrotr_dagster.nostr.reconciling import MAX_BYTES, Reconciled, ReconcileEnding, reconciled
from bigbrotr_dagster.nostr.rejected import Rejected
from bigbrotr_dagster.nostr.relay_url import RelayURL
from bigbrotr_dagster.nostr.request import AT_ONCE, AfterEose
from bigbrotr_dagster.nostr.subscription import Reply, decoded
from bigbrotr_dagster.nostr.tls_peer import TlsPeer, fetch_tls_peer, tls_peer

__all__ = [
    "AT_ONCE",
    "AfterEose",
    "ConnectError",
    "Connection",
    "Conversation",
    "Failure",
    "Intake",
    "ReconcileEnding",
    "Reconciled",
    "Rejected",
    "Reply",
    "TlsPeer",
    "connect",
    "fetch_tls_peer",
]

MAX_MESSAGE_SIZE = 2 * 1024 * 1024
"""Default bound of one message in bytes: contact lists pass 512 KiB, NIP-77 replies reach 1 MiB."""

PINGS, PING_PAUSE = 3, 0.02
"""So many measure the way to a relay, and so many seconds are between them."""

PAGE_TIMEOUTS = 10
"""Default of `page_timeout`, in multiples of `timeout`."""


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
    line = Line(socket, Authenticator(private_key, relay.url), timeout, total, max_event_size)
    connection = Connection(relay, line, insecure=insecure)
    try:
        if line.authenticator.able:
            await introduce(line)
        yield connection
    except BaseException:
        socket.transport.abort()  # no time for courtesies
        raise
    finally:
        await socket.close()
        connection.take_left()


class Connection:
    """An open connection; `connect` makes them. One conversation at a time: further ones wait their turn."""

    def __init__(self, relay: RelayURL, line: Line, *, insecure: bool) -> None:
        self.relay = relay
        self.insecure = insecure
        """The relay's certificate was not trusted, and `allow_insecure` let that pass."""
        self._line = line

    @property
    def closed(self) -> bool:
        """Whether no further request can succeed."""
        return not self._line.is_open

    @property
    def spoke(self) -> bool:
        """Whether the other end has said what only a relay says; any server can take a handshake."""
        return self._line.spoke

    @property
    def tls(self) -> TlsPeer | None:
        """The relay's certificate, and how it talks; None where the connection is not TLS."""
        return tls_peer(self._line.socket.transport)

    def header(self, name: str) -> str | None:
        """A header of the relay's answer to the handshake; the first one, where there are several."""
        response = self._line.socket.response
        found = response.headers.get_all(name) if response is not None else []
        return str(found[0]) if found else None

    @property
    def late(self) -> EndedSubscriptions:
        """What came for requests that had ended; also what came while the connection was closed."""
        return self._line.late

    def conversation(self, *, alone: bool = False, intake: Intake | None = None) -> Conversation:
        """Several requests at once, or one `alone`, of which more is learned; use it in a `with` statement."""
        return Conversation(self._line, intake, alone=alone)

    async def request(
        self, selection: Filter, *, max_events: int, max_bytes: int, intake: Intake | None = None
    ) -> Reply:
        """Ask for one thing alone, in a conversation of its own (`Conversation.ask`), and return the reply."""
        with self.conversation(alone=True, intake=intake) as conversation:
            conversation.ask(selection, max_events=max_events, max_bytes=max_bytes)
            _, reply = await anext(conversation)
            return reply

    async def linger(self, seconds: float) -> None:
        """Wait so long for events that come late; the first one ends the wait."""
        async with self._line.turn:
            with suppress(TimeoutError, ConnectionClosed):
                async with asyncio.timeout(seconds):
                    while not self.late.have_more:
                        self._take_late(await self._line.socket.receive())

    def take_left(self) -> None:
        """Take what has come and was not received, now that no request will."""
        for raw in self._line.socket.left():
            self._take_late(raw)

    def _take_late(self, raw: bytes) -> None:
        self.late.take(decoded(raw), raw)

    async def round_trip(self) -> float:
        """Seconds that a ping takes there and back (RFC 6455), the least of a few; 0 if one does not come back.

        A machine that is busy for a moment makes any way look long.
        """
        pings = []
        try:
            async with asyncio.timeout(self._line.timeout):
                for number in range(PINGS):
                    await asyncio.sleep(PING_PAUSE if number else 0)
                    pings.append(await self._line.socket.ping())
                return min([await ping for ping in pings])
        except (TimeoutError, ConnectionClosed):
            return 0.0

    async def publish(self, event: Event) -> str:
        """Give the relay an event; returns why it was not taken, or nothing where it was."""
        async with self._line.turn:
            return await published(self._line, event)

    async def count(self, selection: Filter) -> int | None:
        """Ask how many events the relay has (NIP-45); None where it does not say. It proves nothing."""
        async with self._line.turn:
            return await counted(self._line, selection)

    async def reconcile(
        self, selection: Filter, reconciliation: Reconciliation, *, max_bytes: int = MAX_BYTES
    ) -> Reconciled:
        """Compare what the relay holds with what we hold (NIP-77); no event is sent for that.

        `reconciliation` is a new one, of our items that `selection` matches; the filter's `limit` plays no part.
        What was found is in it afterwards, and is of worth as `Reconciliation` says; only a talk that finished
        proves anything of the whole window. More than `max_bytes` bytes end it.

        Whatever the relay does is in what is returned.

        Raises:
            RuntimeError: `reconciliation` was used before.
        """
        async with self._line.turn:
            return await reconciled(self._line, selection, reconciliation, max_bytes)
