"""NIP-11: what a relay says of its own limits, in a document at the HTTP address that its WebSocket has too.

These are hints. Relays copy them from examples and forget them, so they may choose a first guess and never
prove anything; nonsense in them is the same as nothing.
"""

import asyncio
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import h11

from bigbrotr_dagster.nostr import salvage
from bigbrotr_dagster.nostr.dial import USER_AGENT, tls_context, tls_trouble
from bigbrotr_dagster.nostr.reach import explain, reach
from bigbrotr_dagster.nostr.relay_url import RelayURL
from bigbrotr_dagster.nostr.text import safe_line

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
    said = await fetch_document(
        relay, timeout=timeout, proxy_url=proxy_url, allow_private=allow_private, verify=verify
    )
    return Limitation() if said.problem else read_limits(said.body)


@dataclass(frozen=True, slots=True)
class Document:
    """What came of asking for a document: its bytes and what type they are said to be, or why there are none."""

    body: bytes = b""
    content_type: str = ""
    problem: str = ""


async def fetch_document(
    relay: RelayURL,
    *,
    timeout: float,  # noqa: ASYNC109 (of the connection only)
    proxy_url: str | None,
    allow_private: bool,
    verify: bool = True,
    max_size: int = MAX_DOCUMENT,
) -> Document:
    """Ask `relay` for its document, of at most `max_size` bytes; the other arguments are `fetch_limitation`'s.

    Raises:
        ConnectError: the relay cannot be connected to at all.
    """
    sock = await reach(relay, within=timeout, proxy_url=proxy_url, allow_private=allow_private)
    seconds = min(timeout, DOCUMENT_SECONDS)
    try:
        async with asyncio.timeout(seconds):
            tls: dict[str, Any] = {}
            if relay.secure:
                tls = {"ssl": tls_context(verify=verify), "server_hostname": relay.host}
            reader, writer = await asyncio.open_connection(sock=sock, limit=READ_AT_ONCE, **tls)
            try:
                client = h11.Connection(h11.CLIENT)
                writer.write(_request(client, relay))
                return await _document(client, reader, max_size)
            finally:
                writer.transport.abort()
    except TimeoutError:
        return Document(problem=f"no whole answer within {seconds:g} s")
    except ssl.SSLError as exc:
        return Document(problem=str(tls_trouble(exc)))
    except OSError as exc:
        return Document(problem=str(explain(exc)))
    except h11.RemoteProtocolError as exc:
        return Document(problem=safe_line(f"no HTTP: {exc}"))


def decoded(raw: bytes) -> object:
    """The JSON value that a document is; None where it is none."""
    try:
        return salvage.loads(raw)
    except salvage.Unreadable:
        return None


def read_limits(raw: bytes) -> Limitation:
    """Read the limits from a NIP-11 document; never raises, whatever it is."""
    return parse_limits(decoded(raw))


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


async def _document(client: h11.Connection, reader: asyncio.StreamReader, max_size: int) -> Document:
    body, content_type, received = bytearray(), "", 0
    while received <= max_size:
        match client.next_event():
            case h11.NEED_DATA:
                data = await reader.read(READ_AT_ONCE)
                received += len(data)
                client.receive_data(data)
            case h11.Response(status_code=status) if status != 200:
                return Document(problem=f"HTTP status {status}")
            case h11.Response(headers=headers):
                content_type = next((value for name, value in headers if name == b"content-type"), b"").decode(
                    "latin-1"
                )
            case h11.Data(data=data):
                body += data
            case h11.EndOfMessage():
                return Document(bytes(body), content_type)
            case h11.ConnectionClosed() | h11.PAUSED:
                return Document(problem="the answer ended early")
    return Document(problem=f"more than {max_size} bytes")


def _count(limitation: dict[Any, Any], key: str) -> int | None:
    value = limitation.get(key)
    return value if type(value) is int and 1 <= value <= MAX_PLAUSIBLE else None


def _flag(limitation: dict[Any, Any], key: str) -> bool | None:
    value = limitation.get(key)
    return value if isinstance(value, bool) else None
