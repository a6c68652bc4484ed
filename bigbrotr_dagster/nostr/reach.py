"""A TCP connection to a relay, direct or through a SOCKS proxy. Every failure is a `ConnectError` of one line.

Theory of operation. A relay's URL comes from a stranger, so it must not become a way into the network that
this runs in (server-side request forgery):

- names are resolved here (`resolver.py`), private addresses are dropped, and the socket is connected to the very
  address that was checked: a name that resolves to something else a moment later (DNS rebinding) gains nothing;
- onion, i2p and loki names never reach the local resolver: they go to the SOCKS proxy as they are (socks5h).
  What a name means behind a proxy cannot be checked here; literal private addresses are refused there too. The
  proxy's own name is the operator's, and is looked up as the system does it, search domains included;
- environment variables such as HTTPS_PROXY have no say.
"""

import asyncio
import hashlib
import ipaddress
import socket
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote, urlsplit

from python_socks import ProxyConnectionError, ProxyType
from python_socks import ProxyError as SocksError
from python_socks.async_.asyncio import Proxy

from bigbrotr_dagster.errors import RelayError
from bigbrotr_dagster.nostr.address import is_private_address
from bigbrotr_dagster.nostr.relay_url import Network, RelayURL
from bigbrotr_dagster.nostr.resolver import Address, NameNotFound, resolver
from bigbrotr_dagster.nostr.text import safe_line

MAX_LINE = 300
"""Characters of what is said of a failure."""

MAX_ADDRESSES = 4
"""Addresses of one name that are tried."""

_OVERLAYS = {Network.TOR, Network.I2P, Network.LOKI}


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


class ConnectError(RelayError):
    """The relay could not be reached; the message is one line."""

    def __init__(self, failure: Failure, text: str) -> None:
        super().__init__(safe_line(" ".join(text.split()), MAX_LINE))
        self.failure = failure

    @property
    def private(self) -> bool:
        """Whether the relay was refused for its private address."""
        return self.failure is Failure.PRIVATE

    @property
    def may_be_a_restart(self) -> bool:
        """Whether the host is there and the relay is not: refused, reset, or a proxy before it answers."""
        return self.failure in (Failure.HTTP, Failure.HANDSHAKE) or isinstance(self.__cause__, ConnectionError)


@dataclass(frozen=True, slots=True)
class Way:
    """How to get to `relay`: through a proxy, or to one of `addresses`, which may be dialled."""

    relay: RelayURL
    proxy: Proxy | None = None
    addresses: tuple[Address, ...] = ()

    async def go(self, within: float) -> socket.socket:
        """Return a TCP socket that is connected to the relay.

        Args:
            within: Seconds; the addresses share them.

        Raises:
            ConnectError: one line that says why not.
        """
        try:
            async with asyncio.timeout(within):
                if self.proxy is not None:
                    sock = await _through(self.proxy, self.relay)
                else:
                    sock = await self._directly(within / len(self.addresses))
        except TimeoutError as exc:
            raise timed_out(within) from exc
        # asyncio does this only for sockets that it made. A REQ after a CLOSE would wait for the CLOSE's
        # acknowledgement otherwise, and that comes 40 ms late.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    async def _directly(self, share: float) -> socket.socket:
        error = OSError("no address")
        for family, ip in self.addresses:
            try:
                async with asyncio.timeout(share):
                    return await _connect_tcp(family, ip, self.relay.port)
            except OSError as exc:  # also the timeout
                error = exc
        raise explain(error) from error


async def find_way(relay: RelayURL, *, within: float, proxy_url: str | None, allow_private: bool) -> Way:
    """Find out where `relay` is. An address in its URL needs no lookup, nor does a relay behind a proxy.

    Args:
        within: Seconds that its nameservers have; waiting for a turn to ask them is not counted.
        proxy_url: A SOCKS5 proxy, socks5://[user:password@]host:port; it resolves the name.
        allow_private: Let the address be a private or loopback one.

    Raises:
        ConnectError: one line that says why there is no way.
    """
    if relay.network is Network.LOCAL and not allow_private:
        raise ConnectError(Failure.PRIVATE, f"{relay.host} is a private address")
    if proxy_url is not None:
        return Way(relay, _socks(proxy_url, relay.url))
    if relay.network in _OVERLAYS:
        raise ConnectError(Failure.PROXY, f"no SOCKS5 proxy is set for {relay.network} relays")
    found = _literal(relay.host) or await _resolve(relay.host, within)
    allowed = [address for address in found if allow_private or not is_private_address(address[1])]
    if not allowed:
        raise ConnectError(Failure.PRIVATE, f"{relay.host} is the private address {found[0][1]}")
    return Way(relay, addresses=tuple(allowed[:MAX_ADDRESSES]))


async def reach(relay: RelayURL, *, within: float, proxy_url: str | None, allow_private: bool) -> socket.socket:
    """Find the way to `relay` and go it, each in `within` seconds; as `find_way` and `Way.go`."""
    way = await find_way(relay, within=within, proxy_url=proxy_url, allow_private=allow_private)
    return await way.go(within)


def timed_out(within: float) -> ConnectError:
    """What to say of a relay that let so many seconds pass."""
    return ConnectError(Failure.TIMEOUT, f"no connection within {within:g} s")


def explain(exc: OSError) -> ConnectError:
    """Say in one line what the network did."""
    match exc:
        case TimeoutError():
            return ConnectError(Failure.TIMEOUT, "the network gave no answer")
        case ConnectionRefusedError():
            return ConnectError(Failure.NETWORK, "connection refused")
    return ConnectError(Failure.NETWORK, exc.strerror or str(exc) or "connection lost")


def _socks(proxy_url: str, isolation: str) -> Proxy:
    """The proxy, which is to resolve names, with a user name of its own for `isolation`.

    Tor gives each SOCKS user a circuit of its own, so relays cannot link our visits to each other.
    Credentials in `proxy_url` are kept.
    """
    try:
        parts = urlsplit(proxy_url)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise ConnectError(Failure.PROXY, f"not a proxy URL: {exc}") from exc
    if parts.scheme not in ("socks5", "socks5h") or not host or parts.path not in ("", "/"):
        raise ConnectError(Failure.PROXY, "the proxy is not socks5://host:port")
    user, password = hashlib.sha256(isolation.encode()).hexdigest()[:32], "0"
    if parts.username is not None:
        user, password = unquote(parts.username), unquote(parts.password or "")
    return Proxy(ProxyType.SOCKS5, host, port or 1080, user, password, rdns=True)


async def _through(proxy: Proxy, relay: RelayURL) -> socket.socket:
    try:
        return await proxy.connect(relay.host, relay.port)
    except ProxyConnectionError as exc:
        raise ConnectError(Failure.PROXY, f"SOCKS proxy: {exc}") from exc
    except SocksError as exc:
        if exc.error_code is not None:
            raise ConnectError(Failure.NETWORK, f"SOCKS proxy answers: {exc}") from exc
        raise ConnectError(Failure.PROXY, f"SOCKS proxy: {exc}") from exc
    except (OSError, ValueError) as exc:
        raise ConnectError(Failure.PROXY, f"SOCKS proxy: {exc}") from exc


async def _connect_tcp(family: socket.AddressFamily, ip: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (ip, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _literal(host: str) -> list[Address]:
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return []
    return [(socket.AF_INET if version == 4 else socket.AF_INET6, host)]


async def _resolve(host: str, within: float) -> list[Address]:
    async with resolver() as names:
        try:
            return await names.addresses(host, within=within)
        except NameNotFound as exc:
            raise ConnectError(Failure.DNS, str(exc)) from exc
