"""Opening a WebSocket to a relay. Every failure is a `ConnectError` of one clear line.

Redirects are not followed: the place that they name was not checked (see `reach.py`).
"""

import asyncio
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websockets_connect
from websockets.exceptions import InvalidStatus, WebSocketException

from bigbrotr_dagster.nostr.reach import ConnectError, Failure, explain, reach, timed_out
from bigbrotr_dagster.nostr.relay_url import RelayURL

CLOSE_TIMEOUT = 0.1
"""Seconds that a relay has to answer a close frame: a courtesy, which no one waits for across an ocean."""

MAX_UNSENT = 1024 * 1024
"""Bytes that may wait for a relay that does not read: it can make us answer pings without end."""

USER_AGENT = "bigbrotr-dagster"

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux


class RelaySocket(ClientConnection):
    """A websockets connection that drops a peer who makes it answer but does not read.

    It acknowledges at once: many relays hold back the end of an answer until what came before is acknowledged
    (Nagle's algorithm, RFC 896), and TCP may put that off for 40 ms.
    """

    def data_received(self, data: bytes) -> None:
        """Take bytes from the transport."""
        super().data_received(data)
        if _QUICKACK is not None:  # each time: the kernel forgets it after a while
            with suppress(OSError):  # the socket may be closed by now
                self.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        if self.transport.get_write_buffer_size() > MAX_UNSENT:
            self.transport.abort()


class _Connect(websockets_connect):
    def process_redirect(self, exc: Exception) -> Exception:
        """Never follow: the place it names was not checked."""
        return exc


@dataclass(frozen=True, slots=True)
class _Route:
    relay: RelayURL
    within: float  # seconds
    proxy_url: str | None
    allow_private: bool
    max_message_size: int


async def dial(
    relay: RelayURL,
    *,
    within: float,
    proxy_url: str | None,
    allow_private: bool,
    allow_insecure: bool,
    max_message_size: int,
) -> tuple[ClientConnection, bool]:
    """Open a WebSocket to `relay` in at most `within` seconds.

    Returns:
        The socket, and whether its certificate went unverified: that is tried only with `allow_insecure`, and
        only after the certificate was found wanting.

    Raises:
        ConnectError: for every way in which this can fail.
    """
    route = _Route(relay, within, proxy_url, allow_private, max_message_size)
    try:
        async with asyncio.timeout(within):
            try:
                return await _open(route, tls_context(verify=True) if relay.secure else None), False
            except ConnectError as exc:
                if not (allow_insecure and exc.failure is Failure.CERTIFICATE):
                    raise
            return await _open(route, tls_context(verify=False)), True
    except TimeoutError as exc:
        raise timed_out(within) from exc


async def _open(route: _Route, tls: ssl.SSLContext | None) -> ClientConnection:
    options: dict[str, Any] = {} if tls is None else {"ssl": tls}
    sock = await reach(
        route.relay, within=route.within, proxy_url=route.proxy_url, allow_private=route.allow_private
    )
    try:
        return await _Connect(
            route.relay.url,
            sock=sock,
            create_connection=RelaySocket,
            proxy=None,
            user_agent_header=USER_AGENT,
            # A kilobyte can inflate to a megabyte, and all that one read brings is inflated at once, before
            # any bound of ours applies; it also costs CPU, and CPU is what limits an archive.
            compression=None,
            max_size=route.max_message_size,
            max_queue=4,  # messages; what one read brings is queued in any case
            open_timeout=None,  # ours
            close_timeout=CLOSE_TIMEOUT,
            ping_interval=20,  # keeps idle connections alive in NATs
            ping_timeout=None,  # each request times its own silence; a paused reader sees no pong
            **options,
        )
    except (WebSocketException, OSError, EOFError) as exc:
        raise _explain(exc) from exc


def _explain(exc: Exception) -> ConnectError:
    """Say in one line what went wrong; the order goes from the special to the general."""
    match exc:
        case ssl.SSLCertVerificationError():
            return ConnectError(Failure.CERTIFICATE, f"TLS certificate: {exc.verify_message}")
        case ssl.SSLError():
            return ConnectError(Failure.TLS, f"TLS: {exc.reason or exc}")
        case InvalidStatus():
            return ConnectError(Failure.HTTP, f"HTTP status {exc.response.status_code} instead of 101")
        case OSError():
            return explain(exc)
    return ConnectError(Failure.HANDSHAKE, f"no WebSocket handshake: {exc}")


@cache
def tls_context(*, verify: bool) -> ssl.SSLContext:
    """The one context of either kind: making it takes about 20 ms."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
