"""NIP-11: what a relay says of its own limits, in a document at the HTTP address that its WebSocket has too.

These are hints. Relays copy them from examples and forget them, so they may choose a first guess and never
prove anything; nonsense in them is the same as nothing.
"""

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import h11

from bigbrotr_dagster.nostr import salvage
from bigbrotr_dagster.nostr.dial import USER_AGENT, tls_context
from bigbrotr_dagster.nostr.reach import reach
from bigbrotr_dagster.nostr.relay_url import RelayURL

MAX_DOCUMENT = 128 * 1024
"""Bytes of the document, and of what frames it."""

READ_AT_ONCE = 16 * 1024
"""Bytes."""

MAX_PLAUSIBLE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Limitation:
    """The parts of NIP-11 that concern a reader, most of them of `limitation`; None where the relay does not say.

    `max_limit` and `default_limit` count events of one filter, `max_message_length` is in bytes.
    """

    max_limit: int | None = None
    default_limit: int | None = None
    max_subscriptions: int | None = None
    max_subid_length: int | None = None
    max_message_length: int | None = None
    auth_required: bool | None = None
    supported_nips: frozenset[int] | None = None


DOCUMENT_SECONDS = 5.0
"""Seconds that the relay has for its document, once it is connected."""


async def fetch_limitation(
    relay: RelayURL,
    *,
    timeout: float,  # noqa: ASYNC109 (of the connection only)
    proxy_url: str | None,
    allow_private: bool,
    verify: bool = True,
) -> Limitation:
    """Ask `relay` for its limits; whatever it says, or does not say, is no error.

    Args:
        timeout: Seconds to connect in.
        proxy_url: A SOCKS5 proxy that leads to the relay.
        allow_private: Let the relay be on a private or loopback address.
        verify: Demand a certificate that is trusted.

    Raises:
        ConnectError: the relay cannot be connected to at all.
    """
    sock = await reach(relay, within=timeout, proxy_url=proxy_url, allow_private=allow_private)
    try:
        async with asyncio.timeout(min(timeout, DOCUMENT_SECONDS)):
            tls: dict[str, Any] = {}
            if relay.secure:
                tls = {"ssl": tls_context(verify=verify), "server_hostname": relay.host}
            reader, writer = await asyncio.open_connection(sock=sock, limit=READ_AT_ONCE, **tls)
            try:
                client = h11.Connection(h11.CLIENT)
                writer.write(_request(client, relay))
                return read_limits(await _document(client, reader))
            finally:
                writer.transport.abort()
    except (OSError, h11.RemoteProtocolError):
        return Limitation()


def read_limits(raw: bytes) -> Limitation:
    """Read the limits from a NIP-11 document; never raises, whatever it is."""
    try:
        return parse_limits(salvage.loads(raw))
    except salvage.Unreadable:
        return Limitation()


def parse_limits(document: object) -> Limitation:
    """Read the limits from a decoded NIP-11 document; never raises, whatever it is."""
    if not isinstance(document, dict):
        return Limitation()
    limitation, nips = document.get("limitation"), document.get("supported_nips")
    if not isinstance(limitation, dict):
        limitation = {}
    return Limitation(
        max_limit=_count(limitation, "max_limit"),
        default_limit=_count(limitation, "default_limit"),
        max_subscriptions=_count(limitation, "max_subscriptions"),
        max_subid_length=_count(limitation, "max_subid_length"),
        max_message_length=_count(limitation, "max_message_length"),
        auth_required=_flag(limitation, "auth_required"),
        supported_nips=frozenset(one for one in nips if type(one) is int) if isinstance(nips, list) else None,
    )


def _request(client: h11.Connection, relay: RelayURL) -> bytes:
    parts = urlsplit(relay.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {
        "Host": parts.netloc,
        "Accept": "application/nostr+json",
        "User-Agent": USER_AGENT,
        "Connection": "close",
    }
    request = h11.Request(method="GET", target=target, headers=list(headers.items()))
    return (client.send(request) or b"") + (client.send(h11.EndOfMessage()) or b"")


async def _document(client: h11.Connection, reader: asyncio.StreamReader) -> bytes:
    """The body of the answer; empty if there is none, if its status is not 200, or if it is too long."""
    document, received = b"", 0
    while received <= MAX_DOCUMENT:
        match client.next_event():
            case h11.NEED_DATA:
                data = await reader.read(READ_AT_ONCE)
                received += len(data)
                client.receive_data(data)
            case h11.Response(status_code=status) if status != 200:
                return b""
            case h11.Data(data=data):
                document += data
            case h11.EndOfMessage():
                return document
            case h11.ConnectionClosed() | h11.PAUSED:
                return b""
    return b""


def _count(limitation: dict[Any, Any], key: str) -> int | None:
    value = limitation.get(key)
    return value if type(value) is int and 1 <= value <= MAX_PLAUSIBLE else None


def _flag(limitation: dict[Any, Any], key: str) -> bool | None:
    value = limitation.get(key)
    return value if isinstance(value, bool) else None
