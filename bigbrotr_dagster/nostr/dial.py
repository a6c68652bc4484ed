"""Reaching a relay: names, addresses, TLS, SOCKS. Every failure is a `ConnectError` of one clear line.

Theory of operation. A relay's URL comes from a stranger, so it must not become a way into the network that
this runs in (server-side request forgery):

- names are resolved here, private addresses are dropped, and the socket is connected to the very address that
  was checked: a name that resolves to something else a moment later (DNS rebinding) gains nothing;
- redirects are not followed;
- onion, i2p and loki names never reach the local resolver: they go to the SOCKS proxy as they are (socks5h).
  What a name means behind a proxy cannot be checked here; literal private addresses are refused there too;
- environment variables such as HTTPS_PROXY have no say.
"""

import asyncio
import hashlib
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, partial
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from python_socks import ProxyConnectionError
from python_socks import ProxyError as SocksError
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websockets_connect
from websockets.exceptions import (
    InvalidProxy,
    InvalidStatus,
    ProxyError,
    WebSocketException,
)

from bigbrotr_dagster.nostr.relay_url import Network, RelayURL, is_private_address

MAX_ADDRESSES = 4
"""Addresses of one name that are tried."""

CLOSE_TIMEOUT = 2.0
"""Seconds that a relay has to answer a close frame."""

MAX_UNSENT = 1024 * 1024
"""Bytes that may wait for a relay that does not read: it can make us answer pings without end."""

USER_AGENT = "bigbrotr-dagster"

_OVERLAYS = {Network.TOR, Network.I2P, Network.LOKI}

# Not asyncio's own executor: dead names hold a thread for tens of seconds, and others need theirs.
_RESOLVERS = ThreadPoolExecutor(max_workers=32, thread_name_prefix="resolve")


class Failure(StrEnum):
    """Why a relay could not be reached."""

    PRIVATE = "private"
    DNS = "dns"
    TIMEOUT = "timeout"
    NETWORK = "network"
    CERTIFICATE = "certificate"
    TLS = "tls"
    HTTP = "http"
    HANDSHAKE = "handshake"
    PROXY = "proxy"
    """The proxy itself failed, or there is none: not the relay's fault."""


class ConnectError(Exception):
    """The relay could not be reached; the message is one line."""

    def __init__(self, failure: Failure, text: str) -> None:
        super().__init__(" ".join(text.split())[:300])
        self.failure = failure

    @property
    def private(self) -> bool:
        """Whether the relay was refused for its private address."""
        return self.failure is Failure.PRIVATE


class RelaySocket(ClientConnection):
    """A websockets connection that drops a peer who makes it answer but does not read."""

    def data_received(self, data: bytes) -> None:
        """Take bytes from the transport."""
        super().data_received(data)
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
    proxy: str | None
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
    proxy = _check_route(relay, proxy_url, allow_private)
    route = _Route(relay, within, proxy, allow_private, max_message_size)
    try:
        async with asyncio.timeout(within):
            try:
                return await _open(route, _verifying() if relay.secure else None), False
            except ConnectError as exc:
                if not (allow_insecure and exc.failure is Failure.CERTIFICATE):
                    raise
            return await _open(route, _unverifying()), True
    except TimeoutError as exc:
        raise ConnectError(Failure.TIMEOUT, f"no connection within {within:g} s") from exc


def _check_route(relay: RelayURL, proxy_url: str | None, allow_private: bool) -> str | None:
    if relay.network is Network.LOCAL and not allow_private:
        raise ConnectError(Failure.PRIVATE, f"{relay.host} is a private address")
    if proxy_url is not None:
        return socks_url(proxy_url, relay.url)
    if relay.network in _OVERLAYS:
        raise ConnectError(Failure.PROXY, f"no SOCKS5 proxy is set for {relay.network} relays")
    return None


def socks_url(proxy_url: str, isolation: str) -> str:
    """Return `proxy_url` with remote name resolution, and a user name of its own for `isolation`.

    Tor gives each SOCKS user a circuit of its own, so relays cannot link our visits to each other.
    Credentials in `proxy_url` are kept.

    Raises:
        ConnectError: if it is not the URL of a SOCKS5 proxy.
    """
    try:
        parts = urlsplit(proxy_url)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise ConnectError(Failure.PROXY, f"not a proxy URL: {exc}") from exc
    if parts.scheme not in ("socks5", "socks5h") or not host or parts.path not in ("", "/"):
        raise ConnectError(Failure.PROXY, "the proxy is not socks5://host:port")
    if parts.username is not None:
        credentials = f"{quote(parts.username, safe='%')}:{quote(parts.password or '', safe='%')}"
    else:
        credentials = f"{hashlib.sha256(isolation.encode()).hexdigest()[:32]}:0"
    address = f"[{host}]" if ":" in host else host
    return urlunsplit(("socks5h", f"{credentials}@{address}:{port or 1080}", "", "", ""))


async def _open(route: _Route, tls: ssl.SSLContext | None) -> ClientConnection:
    options: dict[str, Any] = {} if tls is None else {"ssl": tls}
    if route.proxy is None:
        options["sock"] = await _reach(route)
    try:
        return await _Connect(
            route.relay.url,
            create_connection=RelaySocket,
            proxy=route.proxy,
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


async def _reach(route: _Route) -> socket.socket:
    """Return a TCP socket that is connected to an address of the relay, checked."""
    host = route.relay.host
    found = await _resolve(host, route.relay.port)
    allowed = [each for each in found if route.allow_private or not is_private_address(str(each[1][0]))]
    if not allowed:
        raise ConnectError(Failure.PRIVATE, f"{host} is the private address {found[0][1][0]}")
    candidates = allowed[:MAX_ADDRESSES]
    error = OSError("no address")
    for family, address in candidates:
        try:
            async with asyncio.timeout(route.within / len(candidates)):
                return await _connect_tcp(family, address)
        except OSError as exc:  # also the timeout
            error = exc
    raise _explain(error) from error


async def _connect_tcp(family: socket.AddressFamily, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _resolve(host: str, port: int) -> list[tuple[socket.AddressFamily, Any]]:
    lookup = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        found = await asyncio.get_running_loop().run_in_executor(_RESOLVERS, lookup)
    except (OSError, UnicodeError) as exc:
        raise ConnectError(Failure.DNS, f"name not found: {host}") from exc
    return [(family, address) for family, _, _, _, address in found]


def _explain(exc: Exception) -> ConnectError:
    """Say in one line what went wrong; the order goes from the special to the general."""
    match exc:
        case ssl.SSLCertVerificationError():
            return ConnectError(Failure.CERTIFICATE, f"TLS certificate: {exc.verify_message}")
        case ssl.SSLError():
            return ConnectError(Failure.TLS, f"TLS: {exc.reason or exc}")
        case ProxyConnectionError() | InvalidProxy():
            return ConnectError(Failure.PROXY, f"SOCKS proxy: {exc}")
        case ProxyError(__cause__=SocksError(error_code=int())):
            return ConnectError(Failure.NETWORK, f"SOCKS proxy answers: {exc.__cause__}")
        case ProxyError():
            return ConnectError(Failure.PROXY, f"SOCKS proxy: {exc.__cause__ or exc}")
        case InvalidStatus():
            return ConnectError(Failure.HTTP, f"HTTP status {exc.response.status_code} instead of 101")
        case TimeoutError():
            return ConnectError(Failure.TIMEOUT, "the network gave no answer")
        case ConnectionRefusedError():
            return ConnectError(Failure.NETWORK, "connection refused")
        case OSError():
            return ConnectError(Failure.NETWORK, exc.strerror or str(exc) or "connection lost")
    return ConnectError(Failure.HANDSHAKE, f"no WebSocket handshake: {exc}")


@cache
def _verifying() -> ssl.SSLContext:
    return ssl.create_default_context()  # about 20 ms: made once


@cache
def _unverifying() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
