"""Which relays are archived, and which of them are due. Blocking; for schedules, sensors and the command line."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import TupleRow

from bigbrotr_dagster.nostr.relay_url import RelayURL
from bigbrotr_dagster.storage.delivery import Cursor
from bigbrotr_dagster.storage.queries import query

_Connection = psycopg.Connection[TupleRow]


@dataclass(frozen=True, slots=True)
class RegisteredRelay:
    """A row of the registry; `network` is a `Network`'s value."""

    url: str
    network: str


@dataclass(frozen=True, slots=True)
class RelayState:
    """A relay with its cursor and the outcome of its last attempt (None while there was none)."""

    url: str
    network: str
    cursor: Cursor | None
    gaps: int
    last_attempt: datetime | None
    ok: bool | None
    error: str | None
    lacks_restricted: bool
    """What is covered is covered without the kinds that relays keep for whom they concern."""


@dataclass(frozen=True, slots=True)
class RelayGap:
    """A row of the ledger: seconds `since` to `until`, both inside, not provable.

    `held` events came of them; `missing` is an estimate of those that did not, None where nothing tells.
    """

    relay_url: str
    since: int
    until: int
    reason: str
    held: int
    missing: int | None
    tries: int
    first_seen: datetime


def add_relays(connection: _Connection, relays: Iterable[RelayURL]) -> int:
    """Register relays; returns how many were not registered before."""
    given = list(relays)
    values = {"urls": [relay.url for relay in given], "networks": [relay.network.value for relay in given]}
    return connection.execute(query("add_relays"), values).rowcount


def remove_relays(connection: _Connection, urls: Sequence[str]) -> int:
    """Take relays off the registry; their events stay. Returns how many were registered."""
    return connection.execute(query("remove_relays"), {"urls": list(urls)}).rowcount


def list_relays(connection: _Connection) -> list[RegisteredRelay]:
    return [RegisteredRelay(*row) for row in connection.execute(query("list_relays"))]


def due_relays(connection: _Connection, networks: Sequence[str], interval: float) -> list[RegisteredRelay]:
    """Relays not attempted, nor registered, for `interval` seconds.

    Who has waited longest comes first; of those whose wait began in the same second the most behind.
    """
    values = {"networks": list(networks), "interval": interval}
    return [RegisteredRelay(*row) for row in connection.execute(query("due_relays"), values)]


def unattempted_relays(connection: _Connection, networks: Sequence[str]) -> list[RegisteredRelay]:
    """Relays that were never tried."""
    rows = connection.execute(query("unattempted_relays"), {"networks": list(networks)})
    return [RegisteredRelay(*row) for row in rows]


def fresh_relays(connection: _Connection, urls: Sequence[str], interval: float) -> list[str]:
    """Those of `urls` whose last success is less than `interval` seconds ago."""
    values = {"urls": list(urls), "interval": interval}
    return [url for (url,) in connection.execute(query("fresh_relays"), values)]


def went_well(connection: _Connection, urls: Sequence[str]) -> set[str]:
    """Those of `urls` whose last sync succeeded."""
    return {url for (url,) in connection.execute(query("went_well"), {"urls": list(urls)})}


def removed_relays(connection: _Connection, urls: Sequence[str]) -> set[str]:
    """Those of `urls` that were registered, and are not any more."""
    return {url for (url,) in connection.execute(query("removed_relays"), {"urls": list(urls)})}


def finished_since(connection: _Connection, since: Mapping[str, datetime]) -> list[str]:
    """Those of the relays whose last attempt began after the given time, and has ended."""
    values = {"urls": list(since), "since": list(since.values())}
    return [url for (url,) in connection.execute(query("finished_since"), values)]


def relay_states(connection: _Connection, url: str | None = None) -> list[RelayState]:
    """The state of every relay, or of one."""
    return [
        RelayState(url, network, Cursor(timestamp, id) if timestamp is not None else None, *rest)
        for url, network, timestamp, id, *rest in connection.execute(query("cursors"), {"url": url})
    ]


def relay_gaps(connection: _Connection, url: str | None = None) -> list[RelayGap]:
    """The gaps of every relay, or of one."""
    return [RelayGap(*row) for row in connection.execute(query("list_gaps"), {"relay_url": url})]


def mark_gaps(connection: _Connection, url: str) -> int:
    """Let the next sync of a relay try all of its gaps again; returns how many there are."""
    return connection.execute(query("mark_gaps"), {"relay_url": url}).rowcount


def delete_stale_cursors(connection: _Connection, *, attempts_days: int = 7) -> int:
    """Delete the state of relays that are no longer registered, and old attempts; returns the cursors deleted."""
    connection.execute(query("prune_attempts"), {"days": attempts_days})
    row = connection.execute(query("delete_stale_cursors")).fetchone()
    return row[0] if row else 0


def cursors_beyond_coverage(connection: _Connection, urls: Sequence[str] | None = None) -> list[str]:
    """Relays whose cursor stands on a second that is neither covered nor a named gap. There must be none."""
    values = {"urls": list(urls) if urls is not None else None}
    return [url for (url,) in connection.execute(query("cursors_beyond_coverage"), values)]
