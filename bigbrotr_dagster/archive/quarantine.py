"""Rejected events: listed by reason, and put through the checks again.

A check may have become more lenient (a larger `max_event_size`, another filter, a program that knows better); what
passes now is stored as if it had passed then. Nothing is claimed by that: coverage and cursors stay as they are.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import psycopg

from bigbrotr_dagster.config import ProcessingConfig
from bigbrotr_dagster.nostr.event import Event, EventError, event_from_json
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.rejected import MAX_RAW_KEPT
from bigbrotr_dagster.storage.address import shown
from bigbrotr_dagster.storage.ingest import Entry, release, unstorable, verify_signatures
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import AsyncConnection, Pool, connect, open_pool, retried
from bigbrotr_dagster.storage.trouble import unavailable
from bigbrotr_dagster.sync import REJECTIONS

REASONS = (*REJECTIONS, "nul", "far_future", "unstorable")
"""Every reason that an entry can have."""

CUT = "cut"
"""Why an entry stays of which only the first bytes are kept."""

PAGE_ROWS = 500
PAGE_BYTES = 16 * 2**20
"""What is taken from the quarantine at once, and stored in one transaction."""


@dataclass(frozen=True, slots=True)
class QuarantinedItem:
    """An entry as it is listed: `event_id` is what it claims to be, `size` the bytes that are kept."""

    relay_url: str
    reason: str
    event_id: str | None
    seen_at: datetime
    size: int


@dataclass(frozen=True, slots=True)
class QuarantineCount:
    """All entries of one reason."""

    reason: str
    entries: int
    relays: int
    bytes: int


BEFORE_ALL = Entry("", b"", 0, b"")
"""Every entry comes after this one."""


@dataclass(slots=True)
class ReplayReport:
    """Entries that were `stored` and are gone, those of new events among them, and why the others stay."""

    stored: int = 0
    events_new: int = 0
    kept: Counter[str] = field(default_factory=Counter)


def quarantined(database_url: str, url: str | None, reason: str | None) -> Iterator[QuarantinedItem]:
    """The rejected events of every relay and reason, or of one.

    They come a row at a time, for there can be a thousand a relay.
    """
    values = {"relay_url": url, "reason": reason}
    with connect(database_url) as connection, connection.cursor() as cursor:
        for relay_url, why, event_id, seen_at, size in cursor.stream(query("list_quarantine"), values):
            yield QuarantinedItem(relay_url, why, event_id, datetime.fromtimestamp(seen_at, UTC), size)


def quarantine_counts(database_url: str, url: str | None, reason: str | None) -> list[QuarantineCount]:
    """The number of rejected events by reason, most first."""
    values = {"relay_url": url, "reason": reason}
    with connect(database_url) as connection:
        return [QuarantineCount(*row) for row in connection.execute(query("count_quarantine"), values)]


async def replay_quarantine(
    database_url: str, options: ProcessingConfig, url: str | None = None, reason: str | None = None
) -> ReplayReport:
    """Put what is kept through all checks again, and store what passes, a transaction for each few hundred.

    Raises:
        DatabaseUnavailable: the database did not come back; what was stored so far is stored, the rest is kept.
    """
    report, last = ReplayReport(), BEFORE_ALL
    async with open_pool(database_url, most=1) as pool:
        try:
            page = partial(_page, url=url, reason=reason)
            while entries := await retried(pool, partial(page, after=last)):
                await _replay(pool, entries, options, report)
                last = entries[-1]
        except psycopg.Error as error:
            raise unavailable(error, shown(database_url)) from error
    return report


async def _replay(pool: Pool, entries: Sequence[Entry], options: ProcessingConfig, report: ReplayReport) -> None:
    filters = [options.asked(given) for given in options.filters]
    checked = []
    for entry in entries:
        result = _check(entry.raw, options, filters)
        if isinstance(result, Event):
            checked.append((entry, result))
        else:
            report.kept[result] += 1
    # Also where the event is stored meanwhile: a forged copy of it stays a forged copy.
    verdicts = await verify_signatures([event for _, event in checked])
    passed = [pair for pair, is_valid in zip(checked, verdicts, strict=True) if is_valid]
    report.kept["bad_signature"] += len(checked) - len(passed)
    if passed:
        tally, refused = await retried(pool, partial(release, passed=passed))
        report.stored += len(passed) - len(refused)
        report.events_new += tally.events_new
        report.kept.update(refused)


async def _page(connection: AsyncConnection, after: Entry, url: str | None, reason: str | None) -> list[Entry]:
    """The entries that come next after one; none after the last.

    Raises:
        psycopg.Error: the database did not answer.
    """
    bounds = {"rows": PAGE_ROWS, "bytes": PAGE_BYTES}
    position = {"after_relay": after.relay_url, "after_digest": after.digest}
    wanted = {"relay_url": url, "reason": reason}
    cursor = await connection.execute(query("quarantine_page"), bounds | position | wanted)
    return [Entry(*row) for row in await cursor.fetchall()]


def _check(raw: bytes, options: ProcessingConfig, filters: Sequence[Filter]) -> Event | str:
    """The event, if nothing but its signature is left to be checked; else the reason to keep it where it is."""
    if options.max_event_size is not None and len(raw) > options.max_event_size:
        return "too_large"
    try:
        event = event_from_json(raw)
    except EventError as error:
        return CUT if len(raw) == MAX_RAW_KEPT else error.reason
    if reason := unstorable(event):
        return reason
    is_in_time = options.since <= event.created_at and (options.until is None or event.created_at <= options.until)
    now = time.time()
    is_wanted = any(one.matches(event) and not one.leaves_out(event, now) for one in filters)
    return event if is_in_time and is_wanted else "off_filter"
