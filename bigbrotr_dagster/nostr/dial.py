"""Opening a WebSocket to a relay. Every failure is a `ConnectError` of one clear line.

Redirects are not followed: the place that they name was not checked (see `reach.py`).
"""

import asyncio
import ssl
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, cast

from websockets.asyncio.client import connect as websockets_connect
from websockets.exceptions import InvalidStatus, WebSocketException

from bigbrotr_dagster.nostr.reach import ConnectError, Failure, explain, reach, timed_out
from bigbrotr_dagster.nostr.relay_socket import RelaySocket
from bigbrotr_dagster.nostr.relay_url import RelayURL

CLOSE_TIMEOUT = 0.1
"""Seconds that a relay has to answer a close frame: a courtesy, which no one waits for across an ocean."""

USER_AGENT = "bigbrotr-dagster"


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
) -> tuple[RelaySocket, bool]:
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


async def _open(route: _Route, tls: ssl.SSLContext | None) -> RelaySocket:
    options: dict[str, Any] = {} if tls is None else {"ssl": tls}
    options["create_connection"] = partial(RelaySocket, max_message_size=route.max_message_size)
    sock = await reach(
        route.relay, within=route.within, proxy_url=route.proxy_url, allow_private=route.allow_private
    )
    try:
        opened = await _Connect(
            route.relay.url,
            sock=sock,
            proxy=None,
            user_agent_header=USER_AGENT,
            # A kilobyte can inflate to a megabyte, and all that one read brings is inflated at once, before
            # any bound of ours applies; it also costs CPU, and CPU is what limits an archive.
            compression=None,
            max_size=route.max_message_size,
            open_timeout=None,  # ours
            close_timeout=CLOSE_TIMEOUT,
            ping_interval=20,  # keeps idle connections alive in NATs
            ping_timeout=None,  # each request times its own silence; a paused reader sees no pong
            **options,
        )
        return cast(RelaySocket, opened)
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
