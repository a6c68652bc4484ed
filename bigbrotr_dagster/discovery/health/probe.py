"""One relay's checks, on its wire: one WebSocket for round trips, headers and certificate, one HTTP connection.

Theory of operation. The WebSocket comes first: where the host cannot be reached by it, nothing else is tried, so
that a dead host costs its timeout once. Only for a certificate that is not trusted is there a second connection.
Every socket goes the checked way (`nostr.reach`): what a name resolves to is not dialled where it is private, and
overlay names go to their proxy as they are.
"""

import asyncio
import ipaddress
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bigbrotr_dagster.config import NetworkConfig, SynchronizerConfig
from bigbrotr_dagster.discovery.health.certificates import ssl_document
from bigbrotr_dagster.discovery.health.documents import Check, Document, failed
from bigbrotr_dagster.discovery.health.information import nip11_document
from bigbrotr_dagster.discovery.health.names import dns_document
from bigbrotr_dagster.discovery.health.places import Places
from bigbrotr_dagster.discovery.health.round_trips import NO_EVENTS, Talk, http_document, rtt_document
from bigbrotr_dagster.discovery.health.writing import write
from bigbrotr_dagster.nostr.connection import (
    ConnectError,
    Failure,
    Reply,
    TlsPeer,
    connect,
    fetch_tls_peer,
)
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.nip11 import fetch_document
from bigbrotr_dagster.nostr.reach import find_way
from bigbrotr_dagster.nostr.relay_url import Network, RelayURL
from bigbrotr_dagster.nostr.resolver import resolver
from bigbrotr_dagster.windowing.outcome import Ending, Outcome

MOST_EVENTS = 100
"""A relay that sends more than the one event that it was asked for is alive all the same."""

MOST_BYTES = 4 * 2**20

UNREACHABLE = {Failure.PRIVATE, Failure.DNS, Failure.TIMEOUT, Failure.NETWORK, Failure.PROXY}
"""With these no other connection to the host is tried."""

OVERLAYS = {Network.TOR, Network.I2P, Network.LOKI}
"""What a certificate, a name in DNS or an address says is of use outside of them only."""


@dataclass(slots=True)
class Found:
    """What one relay's checks brought. Times are Unix seconds.

    `failure`: why the relay could not be reached; None where it could. `refused`: its host said so itself.
    """

    relay: RelayURL
    checked_at: int
    alive: bool = False
    reason: str | None = None
    failure: Failure | None = None
    refused: bool = False
    documents: list[Document] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Answered:
    """What the WebSocket brought."""

    talk: Talk
    tls: TlsPeer | None = None
    insecure: bool = False
    error: ConnectError | None = None


async def probe(
    config: SynchronizerConfig,
    network: NetworkConfig,
    relay: RelayURL,
    places: Places,
    key: bytes | None = None,
) -> Found:
    """Check a relay; whatever it does is in what is returned. With a `key` an event of its owner is written."""
    checked_at = int(time.time())
    outcome = await _talk(config, network, relay)
    error, talk = outcome.error, outcome.talk
    information, certificate, named = await asyncio.gather(
        _information(config, network, relay, outcome),
        _certificate(config, network, relay, outcome),
        _names(config, network, relay, places),
    )
    if key is not None:
        work = information.data.get("limitation", {}).get("min_pow_difficulty", 0)
        tried = (None, talk.open_reason) if error is not None else await write(config, network, relay, key, work)
        talk = replace(talk, write=tried[0], write_reason=tried[1])
    return Found(
        relay,
        checked_at,
        alive=talk.spoke,
        reason=None if talk.spoke else talk.open_reason or talk.read_reason,
        failure=error.failure if error is not None else None,
        refused=error is not None and isinstance(error.__cause__, ConnectionRefusedError),
        documents=[information, rtt_document(talk), *certificate, *named, http_document(talk)],
    )


async def _talk(config: SynchronizerConfig, network: NetworkConfig, relay: RelayURL) -> _Answered:
    started = time.monotonic()
    try:
        async with connect(
            relay,
            timeout=network.timeout,
            proxy_url=network.proxy_url,
            allow_private=config.allow_private,
            allow_insecure=config.processing.allow_insecure,
            page_timeout=network.timeout,
        ) as connection:
            opened = time.monotonic() - started
            reply = await connection.request(Filter(limit=1), max_events=MOST_EVENTS, max_bytes=MOST_BYTES)
            read = _first_event(reply)
            talk = Talk(
                open=opened,
                read=read,
                read_reason=_why_not(reply.outcome),
                spoke=connection.spoke,
                server=connection.header("Server"),
                powered_by=connection.header("X-Powered-By"),
            )
            return _Answered(talk, connection.tls, connection.insecure)
    except ConnectError as error:
        return _Answered(Talk(open_reason=str(error)), error=error)


def _first_event(reply: Reply) -> float | None:
    """Seconds until the first event: the first word, unless something else may have come before it."""
    if not (reply.events or reply.outside):
        return None
    return reply.lasted if reply.ignored or reply.garbage else reply.waited


def _why_not(outcome: Outcome) -> str:
    """Why no event came, where none did: in the relay's words, if it had some."""
    if outcome.ending is Ending.EOSE:
        return NO_EVENTS
    if outcome.ending in (Ending.CLOSED, Ending.NOTICE):
        return ": ".join(part for part in (outcome.prefix, outcome.text) if part) or str(outcome)
    return f"no answer of a relay: {outcome}"


async def _information(
    config: SynchronizerConfig, network: NetworkConfig, relay: RelayURL, outcome: _Answered
) -> Document:
    verify = not config.processing.allow_insecure
    error = outcome.error
    if error is not None and (error.failure in UNREACHABLE or (verify and error.failure is Failure.CERTIFICATE)):
        return failed(Check.NIP11, str(error))
    try:
        answer = await fetch_document(
            relay,
            timeout=network.timeout,
            proxy_url=network.proxy_url,
            allow_private=config.allow_private,
            verify=verify,
            max_size=config.monitor.nip11_info_max_size,
        )
    except ConnectError as late:
        return failed(Check.NIP11, str(late))
    return nip11_document(answer)


async def _certificate(
    config: SynchronizerConfig, network: NetworkConfig, relay: RelayURL, outcome: _Answered
) -> list[Document]:
    """The document on a relay's certificate; none where no certificate is to be expected."""
    if not relay.secure or relay.network in OVERLAYS:
        return []
    if outcome.tls is not None:
        return [ssl_document(outcome.tls, "the certificate is not trusted" if outcome.insecure else "")]
    error = outcome.error
    if error is None or error.failure in UNREACHABLE or error.failure is Failure.TLS:
        return [ssl_document(None, str(error) if error is not None else "")]
    try:
        peer = await fetch_tls_peer(
            relay, timeout=network.timeout, proxy_url=network.proxy_url, allow_private=config.allow_private
        )
    except ConnectError as late:
        return [ssl_document(None, str(late))]
    return [ssl_document(peer, str(error) if error.failure is Failure.CERTIFICATE else "")]


def _has_name(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


async def _names(
    config: SynchronizerConfig, network: NetworkConfig, relay: RelayURL, places: Places
) -> Sequence[Document]:
    """What DNS says of the relay's name, and MaxMind's files of its addresses."""
    if relay.network in OVERLAYS or network.proxy_url is not None:
        return []
    documents: list[Document] = []
    if _has_name(relay.host):
        async with resolver() as names:
            documents.append(await dns_document(names, relay.host, network.timeout))
    if places.cities is None and places.networks is None:
        return documents
    try:
        way = await find_way(
            relay, within=network.timeout, proxy_url=network.proxy_url, allow_private=config.allow_private
        )
    except ConnectError:
        return [*documents, *places.documents([])]
    return [*documents, *places.documents([address for _, address in way.addresses])]
