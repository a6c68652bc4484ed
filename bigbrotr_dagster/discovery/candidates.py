"""Candidates: what somebody named as a relay, and nobody has tried yet or could validate.

What is remembered of one says how much it promises: who named it first, how many events and authors have since,
whether a trusted monitor (NIP-66) calls it alive, and how it failed. What strangers can cause is bounded: rows by
author, by host, and in all (`discovery.max_*`); what goes beyond is counted, and comes in when others name it.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from psycopg.types.json import Jsonb

from bigbrotr_dagster.config import DiscoveryConfig, SynchronizerConfig
from bigbrotr_dagster.nostr.relay_url import InvalidRelayURL, Network, RelayURL, parse_relay_url
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import BlockingConnection, connect

__all__ = [
    "MOST_NAMED_BY",
    "Candidate",
    "Named",
    "Refusals",
    "add_candidates",
    "candidate_url",
    "list_candidates",
    "note",
    "note_urls",
    "take_bigbrotrs",
]

MOST_NAMED_BY = 64
"""Authors that are told apart for one candidate."""

MOST_TAKEN = 10_000
"""Rows of BigBrotr's that are taken over at once."""

Refusals = Counter[str]
"""Why something that was named is no candidate, and how often: invalid, private, denied."""


@dataclass(slots=True)
class Named:
    """What one batch says of a relay. `author` is hex, or empty where no event named it."""

    relay: RelayURL
    source: str
    event: str | None = None
    author: str | None = None
    mentions: int = 0
    named_by: set[int] = field(default_factory=set)
    vouched_at: int | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row of the candidates. Times are Unix seconds; `next_try` is None where the operator does not want it."""

    url: str
    network: str
    source: str
    mentions: int
    authors: int
    first_event: str | None
    first_seen: int
    tried_at: int | None
    failures: int
    reason: str | None
    error: str | None
    next_try: int | None


def candidate_url(text: str, options: SynchronizerConfig, refused: Refusals) -> RelayURL | None:
    """The relay that a stranger's text names, if it may be tried one day; else `refused` counts why not.

    A relay of a network that is off today is one: it is tried when the network is on.
    """
    relay = _parsed(text)
    if relay is None or relay.network is Network.UNKNOWN:
        refused["invalid"] += 1
    elif relay.network is Network.LOCAL and not options.allow_private:
        refused["private"] += 1
    elif not is_wanted(relay.host, options.discovery):
        refused["denied"] += 1
    else:
        return relay
    return None


@lru_cache(maxsize=2**16)
def _parsed(text: str) -> RelayURL | None:
    try:
        return parse_relay_url(text)
    except InvalidRelayURL:
        return None


def is_wanted(host: str, options: DiscoveryConfig) -> bool:
    """Whether the operator's lists let a host be tried."""
    if any(fnmatchcase(host, pattern.lower()) for pattern in options.deny):
        return False
    return not options.allow or any(fnmatchcase(host, pattern.lower()) for pattern in options.allow)


def note(connection: BlockingConnection, named: Collection[Named], options: DiscoveryConfig) -> int:
    """Remember who was named; returns how many are new candidates.

    Raises:
        psycopg.Error: the database did not answer.
    """
    if not named:
        return 0
    values = {
        "given": Jsonb([_row(number, one) for number, one in enumerate(named)]),
        "most_named_by": MOST_NAMED_BY,
        "max_per_author": options.max_per_author,
        "max_per_host": options.max_per_host,
    }
    return connection.execute(query("note_mentions"), values).rowcount


def _row(number: int, named: Named) -> dict[str, Any]:
    return {
        "number": number,
        "url": named.relay.url,
        "network": named.relay.network.value,
        "host": named.relay.host,
        "source": named.source,
        "event": named.event,
        "author": named.author,
        "mentions": named.mentions,
        "named_by": sorted(named.named_by),
        "vouched_at": named.vouched_at,
    }


def note_urls(
    connection: BlockingConnection, texts: Iterable[str], source: str, options: SynchronizerConfig
) -> tuple[int, Refusals]:
    """Remember URLs of a list; returns how many are new candidates, and why others are none.

    Raises:
        psycopg.Error: the database did not answer.
    """
    refused = Refusals()
    found = (candidate_url(text, options, refused) for text in texts)
    named = {relay.url: Named(relay, source) for relay in found if relay is not None}
    return note(connection, list(named.values()), options.discovery), refused


def add_candidates(database_url: str, urls: Iterable[str], source: str) -> int:
    """Have relays tried that a person names; returns how many are new candidates.

    Raises:
        DatabaseUnavailable: the database does not answer.
        InvalidRelayURL: one of them is not a relay URL; nothing is added then.
    """
    named = {relay.url: Named(relay, source) for relay in map(parse_relay_url, urls)}
    with connect(database_url) as connection:
        return note(connection, list(named.values()), DiscoveryConfig(max_per_host=len(named) or 1))


def take_bigbrotrs(connection: BlockingConnection, options: SynchronizerConfig) -> int:
    """Take over what BigBrotr's services have put down for its Validator; returns how many are new.

    Raises:
        psycopg.Error: the database did not answer.
    """
    rows = connection.execute(query("bigbrotrs_candidates"), {"most": MOST_TAKEN})
    return note_urls(connection, [url for (url,) in rows], "bigbrotr", options)[0]


def trim(connection: BlockingConnection, options: DiscoveryConfig) -> int:
    """Forget the least promising of more than `max_candidates`; returns how many.

    Raises:
        psycopg.Error: the database did not answer.
    """
    return connection.execute(query("trim_candidates"), {"most": options.max_candidates}).rowcount


def list_candidates(database_url: str, most: int | None = None) -> list[Candidate]:
    """The candidates that are no relays yet, the most promising first; at most so many of them.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    with connect(database_url) as connection:
        return [Candidate(*row) for row in connection.execute(query("list_candidates"), {"most": most})]
