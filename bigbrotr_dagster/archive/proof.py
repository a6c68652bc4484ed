"""What is proved of each relay: its cursor and its gaps, and how to take proof back.

Each function takes the database's URL and raises DatabaseUnavailable when it does not answer.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bigbrotr_dagster.archive.coverage import asked_seconds
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.nostr.relay_url import parse_relay_url
from bigbrotr_dagster.storage.ingest import Cursor
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import BlockingConnection, connect
from bigbrotr_dagster.storage.state import claim_values
from bigbrotr_dagster.sync import cursor_claims


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
    is_reconciled: bool
    """What was proved is compared with what the relay holds (NIP-77), and not read again."""
    transfers: float | None
    """Events that the relay sent in the last day, for each that was new of it; None where there was none."""


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


def relay_states(database_url: str, url: str | None = None) -> list[RelayState]:
    """The state of every relay, or of one.

    Raises:
        InvalidRelayURL: `url` is not a relay URL.
    """
    normal = parse_relay_url(url).url if url else None
    with connect(database_url) as connection:
        return [
            RelayState(name, network, Cursor(timestamp, id) if timestamp is not None else None, *rest)
            for name, network, timestamp, id, *rest in connection.execute(query("cursors"), {"url": normal})
        ]


def relay_gaps(database_url: str, url: str | None = None) -> list[RelayGap]:
    """The gaps of every relay, or of one (in normal form), oldest first."""
    with connect(database_url) as connection:
        return [RelayGap(*row) for row in connection.execute(query("list_gaps"), {"relay_url": url})]


def mark_gaps(database_url: str, url: str) -> int:
    """Let the next sync of a relay try all of its gaps again; returns how many there are."""
    with connect(database_url) as connection:
        return connection.execute(query("mark_gaps"), {"relay_url": url}).rowcount


def reset_cursor(database_url: str, url: str, to: int, *, dry_run: bool) -> tuple[int, int]:
    """Take back what is proved of a relay from the second `to` (Unix time) on; events stay.

    Returns:
        The covered seconds from `to` on, and how many of the relay's stored events lie there.
    """
    with connect(database_url) as connection:
        row = connection.execute(query("what_a_reset_rereads"), {"relay_url": url, "to": to}).fetchone()
        if not dry_run:
            _take_back(connection, [url], to)
    return (int(row[0]), int(row[1])) if row else (0, 0)


def forget_proof(database_url: str, config: SynchronizerConfig, urls: Sequence[str]) -> None:
    """Take back what is proved of these relays in the configured range, under the configured filters."""
    processing = config.processing
    hashes = [one.filter_hash for one in asked_seconds(config, time.time())]
    with connect(database_url) as connection:
        _take_back(connection, urls, processing.since, processing.until, hashes)


def cursors_beyond_coverage(
    database_url: str, config: SynchronizerConfig, urls: Sequence[str] | None = None
) -> list[str]:
    """Relays below whose cursor a second is neither covered nor a named gap. There must be none.

    Every second counts from `since` to the cursor, under every filter, as they are configured (whatever one run
    was told instead).
    """
    claims = cursor_claims(config.as_configured().processing)
    values = {"urls": list(urls) if urls is not None else None} | claim_values(claims)
    with connect(database_url) as connection:
        return [url for (url,) in connection.execute(query("cursors_beyond_coverage"), values)]


def _take_back(
    connection: BlockingConnection,
    urls: Sequence[str],
    since: int,
    until: int | None = None,
    filter_hashes: Sequence[str] | None = None,
) -> None:
    """The seconds from `since` to `until` (None: no end), under these filters (None: under all)."""
    hashes = None if filter_hashes is None else list(filter_hashes)
    values = {"relay_urls": list(urls), "since": since, "until": until, "hashes": hashes}
    with connection.transaction():
        for name in ("reset_coverage", "reset_gaps", "reset_cursor"):
            connection.execute(query(name), values)
