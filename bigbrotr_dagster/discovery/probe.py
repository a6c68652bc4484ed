"""One question to a stranger: does it speak Nostr?

Any server can complete a WebSocket handshake. A relay is one that answers a REQ with what NIP-01 has for it: a
valid event, EOSE, CLOSED, a NOTICE; or that asks who we are (AUTH, NIP-42). One connection is made, and no more.
"""

from bigbrotr_dagster.config import NetworkConfig, SynchronizerConfig
from bigbrotr_dagster.errors import RelayError
from bigbrotr_dagster.nostr.connection import ConnectError, Failure, Reply, connect
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.relay_url import RelayURL
from bigbrotr_dagster.nostr.text import safe_line
from bigbrotr_dagster.windowing.outcome import Ending

__all__ = ["OURS", "NotARelay", "probe"]

QUESTION = Filter(kinds=(1,), limit=1)

MAX_BYTES = 2**20
"""Of the answer, and of one message."""

MAX_EVENTS = 500
"""A relay that knows no limit is one all the same."""

OURS = frozenset({Failure.DNS.value, Failure.TIMEOUT.value, Failure.NETWORK.value, Failure.PROXY.value})
"""Reasons that may be our own network's, or our proxy's: a relay that was reached has others."""

SILENT, CLOSED, NOT_NOSTR = "silent", "closed", "not-nostr"


class NotARelay(RelayError):
    """It is none, or none that can be reached now; `reason` is a word, the message a line."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(safe_line(text))
        self.reason = reason


async def probe(relay: RelayURL, options: NetworkConfig, config: SynchronizerConfig) -> None:
    """Ask `relay` for one event; returns if it has answered as a relay does.

    Raises:
        NotARelay: it has not.
    """
    try:
        async with connect(
            relay,
            timeout=options.timeout,
            proxy_url=options.proxy_url,
            allow_private=config.allow_private,
            allow_insecure=config.processing.allow_insecure,
            max_message_size=MAX_BYTES,
            page_timeout=options.timeout,
        ) as connection:
            reply = await connection.request(QUESTION, max_events=MAX_EVENTS, max_bytes=MAX_BYTES)
            if not connection.spoke:
                raise _why_not(reply)
    except ConnectError as error:
        raise NotARelay(error.failure.value, str(error)) from error


def _why_not(reply: Reply) -> NotARelay:
    outcome = reply.outcome
    said_something = reply.received or reply.ignored or reply.garbage
    match outcome.ending:
        case Ending.DISCONNECTED if not said_something:
            return NotARelay(CLOSED, f"it closed the connection without an answer: {outcome.text}")
        case Ending.TIMEOUT if not said_something:
            return NotARelay(SILENT, f"it said nothing: {outcome.text}")
    return NotARelay(NOT_NOSTR, f"what it sent is not NIP-01's: {reply.summary}")
