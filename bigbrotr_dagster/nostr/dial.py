"""Opening a WebSocket to a relay. Every failure is a `ConnectError` of one clear line.

Redirects are not followed: the place that they name was not checked (see `reach.py`).
"""

import asyncio
import ssl
from functools import cache, partial
from typing import Any, cast

from websockets.asyncio.client import connect as websockets_connect
from websockets.exceptions import InvalidStatus, WebSocketException

from bigbrotr_dagster.nostr.reach import ConnectError, Failure, Way, explain, find_way, timed_out
from bigbrotr_dagster.nostr.relay_socket import RelaySocket
from bigbrotr_dagster.nostr.relay_url import RelayURL

CLOSE_TIMEOUT = 0.1
"""Seconds that a relay has to answer a close frame: a courtesy, which no one waits for across an ocean."""

USER_AGENT = "bigbrotr-dagster"


class _Connect(websockets_connect):
    def process_redirect(self, exc: Exception) -> Exception:
        """Never follow: the place it names was not checked."""
        return exc


async def dial(
    relay: RelayURL,
    *,
    within: float,
    proxy_url: str | None,
    allow_private: bool,
    allow_insecure: bool,
    max_message_size: int,
) -> tuple[RelaySocket, bool]:
    """Open a WebSocket to `relay`: `within` seconds to look up its name, and as many for all the rest.

    Returns:
        The socket, and whether its certificate went unverified: that is tried only with `allow_insecure`, and
        only after the certificate was found wanting.

    Raises:
        ConnectError: for every way in which this can fail.
    """
    way = await find_way(relay, within=within, proxy_url=proxy_url, allow_private=allow_private)
    try:
        async with asyncio.timeout(within):
            try:
                tls = tls_context(verify=True) if relay.secure else None
                return await _open(way, within, max_message_size, tls), False
            except ConnectError as exc:
                if not (allow_insecure and exc.failure is Failure.CERTIFICATE):
                    raise
            return await _open(way, within, max_message_size, tls_context(verify=False)), True
    except TimeoutError as exc:
        raise timed_out(within) from exc


async def _open(way: Way, within: float, max_message_size: int, tls: ssl.SSLContext | None) -> RelaySocket:
    options: dict[str, Any] = {} if tls is None else {"ssl": tls}
    options["create_connection"] = partial(RelaySocket, max_message_size=max_message_size)
    sock = await way.go(within)
    try:
        opened = await _Connect(
            way.relay.url,
            sock=sock,
            proxy=None,
            user_agent_header=USER_AGENT,
            # A kilobyte can inflate to a megabyte, and all that one read brings is inflated at once, before
            # any bound of ours applies; it also costs CPU, and CPU is what limits an archive.
            compression=None,
            max_size=max_message_size,
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
        case ssl.SSLError():
            return tls_trouble(exc)
        case InvalidStatus():
            return ConnectError(Failure.HTTP, f"HTTP status {exc.response.status_code} instead of 101")
        case OSError():
            return explain(exc)
    return ConnectError(Failure.HANDSHAKE, f"no WebSocket handshake: {exc}")


def tls_trouble(exc: ssl.SSLError) -> ConnectError:
    """Say in one line what is wrong with a relay's TLS."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return ConnectError(Failure.CERTIFICATE, f"TLS certificate: {exc.verify_message}")
    return ConnectError(Failure.TLS, f"TLS: {exc.reason or exc}")


@cache
def tls_context(*, verify: bool) -> ssl.SSLContext:
    """The one context of either kind: making it takes about 20 ms."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
