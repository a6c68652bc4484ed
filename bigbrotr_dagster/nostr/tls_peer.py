"""What the other end of a TLS connection shows of itself: its certificate, and how the two talk."""

import asyncio
import ssl
from dataclasses import dataclass

from bigbrotr_dagster.nostr.dial import tls_context, tls_trouble
from bigbrotr_dagster.nostr.reach import explain, reach, timed_out
from bigbrotr_dagster.nostr.relay_url import RelayURL


@dataclass(frozen=True, slots=True)
class TlsPeer:
    """`certificate` is in DER, as it came: nobody vouches for what it says."""

    certificate: bytes
    protocol: str
    cipher: str
    cipher_bits: int


def tls_peer(transport: asyncio.BaseTransport) -> TlsPeer | None:
    """The peer of an open connection; None where it is not TLS."""
    tls = transport.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True) if tls is not None else None
    if not certificate:
        return None
    name, _, bits = tls.cipher() or ("", "", 0)
    return TlsPeer(certificate, tls.version() or "", name, bits)


async def fetch_tls_peer(
    relay: RelayURL,
    *,
    timeout: float,  # noqa: ASYNC109 (of the lookup, and of all the rest)
    proxy_url: str | None,
    allow_private: bool,
) -> TlsPeer | None:
    """Connect for the certificate alone, whoever vouches for it; nothing else is said or read.

    Raises:
        ConnectError: one line that says why that is not possible.
    """
    sock = await reach(relay, within=timeout, proxy_url=proxy_url, allow_private=allow_private)
    context = tls_context(verify=False)
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname=relay.host)
            try:
                return tls_peer(writer.transport)
            finally:
                writer.transport.abort()
    except TimeoutError as exc:
        raise timed_out(timeout) from exc
    except ssl.SSLError as exc:
        raise tls_trouble(exc) from exc
    except OSError as exc:
        raise explain(exc) from exc
