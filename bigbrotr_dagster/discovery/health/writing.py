"""The write test, which an operator has to ask for: an ephemeral event of his key, and whether it can be read.

It is BigBrotr's: kind 22456, whose `d` is the relay's URL, with as much work (NIP-13) as the relay demands.
"""

import asyncio
import os
import time
from itertools import count

from bigbrotr_dagster.config import ConfigError, NetworkConfig, SynchronizerConfig
from bigbrotr_dagster.nostr.connection import ConnectError, connect
from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.keys import InvalidPrivateKey, parse_private_key, public_key, sign_event, unsigned_id
from bigbrotr_dagster.nostr.relay_url import RelayURL

KIND = 22456

MOST_WORK = 16
"""Bits of work that a relay gets at most: a fifth of a second of CPU on average, a second now and then."""

NOT_FOUND = "accepted, but not found"


def writing_key(config: SynchronizerConfig) -> bytes | None:
    """The key that signs what is written; None where no write test is asked for.

    Raises:
        ConfigError: one is asked for, and there is no key.
    """
    if not config.monitor.write_test:
        return None
    variable = config.keys.keys_env
    try:
        return parse_private_key(os.environ.get(variable) or "")
    except InvalidPrivateKey as error:
        raise ConfigError(f"monitor.write_test needs a key: {variable}: {error}") from error


async def write(
    config: SynchronizerConfig, network: NetworkConfig, relay: RelayURL, key: bytes, work: int
) -> tuple[float | None, str]:
    """Seconds until the relay took an event that could be read again; else None, and why not. `work`: bits."""
    if work > MOST_WORK:
        return None, f"{work} bits of work are demanded"
    event = await asyncio.to_thread(an_event, key, relay.url, work)
    try:
        async with connect(
            relay,
            timeout=network.timeout,
            proxy_url=network.proxy_url,
            allow_private=config.allow_private,
            allow_insecure=config.processing.allow_insecure,
            private_key=key,
            page_timeout=network.timeout,
        ) as connection:
            started = time.monotonic()
            problem = await connection.publish(event)
            took = time.monotonic() - started
            if problem:
                return None, problem
            wanted = Filter(ids=(event.id,), limit=1)
            reply = await connection.request(wanted, max_events=10, max_bytes=2**20)
            return (took, "") if reply.events else (None, NOT_FOUND)
    except ConnectError as error:
        return None, str(error)


def an_event(key: bytes, url: str, work: int) -> Event:
    """An event whose id begins with `work` bits of zero."""
    created_at, author = int(time.time()), public_key(key)
    tags: list[list[str | None]] = [["d", url]]
    if work > 0:
        for nonce in count():
            tags = [["d", url], ["nonce", str(nonce), str(work)]]
            if int(unsigned_id(author, created_at, KIND, tags, ""), 16) >> (256 - work) == 0:
                break
    return sign_event(key, created_at=created_at, kind=KIND, tags=tags, content="")
