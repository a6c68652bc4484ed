"""The archive's coverage over time: per relay and column of a picture, and in all.

Each function takes the database's URL and raises DatabaseUnavailable when it does not answer.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bigbrotr_dagster.storage import coverage, state
from bigbrotr_dagster.storage.coverage import Asked, GapReason, RelayCoverage, Seconds
from bigbrotr_dagster.storage.pool import connect
from bigbrotr_dagster.storage.state import SyncState
from bigbrotr_dagster.sync.admin import reachable_networks
from bigbrotr_dagster.sync.config import SynchronizerConfig
from bigbrotr_dagster.sync.history import open_history
from bigbrotr_dagster.windowing import Habits

MOST_RELAYS = 100
MOST_COLUMNS = 48
NOSTR_BEGAN = int(datetime(2020, 11, 1, tzinfo=UTC).timestamp())
"""Earlier seconds are asked for (events can be dated back), but a picture of them would be one of nothing."""

DAY = 86_400
MONDAY = 3
"""Unix time began on a Thursday: 3 days after the first of its week."""
DAYS = {"day": 1, "week": 7}
MONTHS = {"month": 1, "quarter": 3, "year": 12}
UNITS = (*DAYS, *MONTHS)


@dataclass(frozen=True, slots=True)
class ArchiveCoverage:
    """The archive between `edges[0]` and `edges[-1]`, in columns of one `unit` each (Unix time, UTC).

    `total` and `columns` are over all `relays`; `uncovered` is the number of those of which nothing is covered.
    `shown` are the relays most behind (the uncovered ones after all others), with their columns in `cells`. Where
    a relay has several filters the seconds of each are added up, so that a share is their average.
    """

    unit: str
    edges: Sequence[int]
    relays: int
    uncovered: int
    total: Seconds
    columns: Sequence[Seconds]
    shown: Sequence[RelayCoverage]
    cells: Sequence[Sequence[Seconds]]
    reasons: Sequence[GapReason]

    @property
    def gaps(self) -> int:
        return sum(reason.gaps for reason in self.reasons)


def archive_coverage(
    database_url: str, config: SynchronizerConfig, *, now: float | None = None, most_relays: int = MOST_RELAYS
) -> ArchiveCoverage:
    """The coverage of all relays that are, or were, synced."""
    asked = asked_seconds(config, time.time() if now is None else now)
    end = max((one.until for one in asked), default=NOSTR_BEGAN)
    with connect(database_url) as connection, connection.transaction():
        coverage.note_pieces(connection, asked, reachable_networks(config))
        first = min((one.since for one in asked), default=0)
        start = max(first, NOSTR_BEGAN)
        oldest = coverage.oldest_event(connection)
        # Below the oldest event a picture is empty, unless a walk is still on its way there.
        if oldest is not None and not coverage.is_pending_between(connection, start, oldest):
            start = max(start, min(oldest, end - 1))
        unit, edges = columns_between(start, max(end, start + 1))
        bounds = (edges[0], edges[-1])
        shown, relays, uncovered = coverage.relays_most_behind(connection, asked, *bounds, most_relays)
        cells = coverage.cells(connection, edges, [relay.url for relay in shown])
        nothing = [Seconds()] * (len(edges) - 1)
        columns = coverage.cells(connection, edges).get(None, nothing)
        reasons = coverage.open_gaps(connection, [one.filter_hash for one in asked], edges[0])
    return ArchiveCoverage(
        unit=unit,
        edges=edges,
        relays=relays,
        uncovered=uncovered,
        total=added(columns),
        columns=columns,
        shown=shown,
        cells=[cells.get(relay.url, nothing) for relay in shown],
        reasons=reasons,
    )


def open_gaps(database_url: str, config: SynchronizerConfig) -> list[GapReason]:
    """The gaps of all registered relays, by reason."""
    hashes = [one.filter_hash for one in asked_seconds(config, time.time())]
    with connect(database_url) as connection:
        return coverage.open_gaps(connection, hashes)


def forget_proof(database_url: str, config: SynchronizerConfig, urls: Sequence[str]) -> None:
    """Take back what is proved of these relays in the configured range, under the configured filters."""
    processing = config.processing
    hashes = [one.filter_hash for one in asked_seconds(config, time.time())]
    with connect(database_url) as connection:
        state.forget_proof(connection, urls, processing.since, processing.until, hashes)


def proved_relays(database_url: str) -> int:
    """Number of registered relays of which something is proved: covered, or a gap."""
    with connect(database_url) as connection:
        return coverage.proved_relays(connection)


def asked_seconds(config: SynchronizerConfig, now: float) -> list[Asked]:
    """What a sync at `now` would ask of a relay that it knows nothing of."""
    asked = []
    for given in config.processing.filters:
        history = open_history(given, config.processing, now, SyncState(0, {}, {}, Habits(), {}))
        restricted = (history.restricted,) if history.restricted is not None else ()
        for one in (history, *history.named, *restricted):
            parts = [(part.since, part.until + 1) for part in one.pending]
            asked += [Asked(one.hash, since, until, always=one is history) for since, until in parts]
    return asked


def columns_between(start: int, end: int) -> tuple[str, list[int]]:
    """Edges of the days (weeks, months, quarters, years) that hold the seconds from `start` on and before `end`.

    The unit is the smallest of which `MOST_COLUMNS` suffice. n columns have n + 1 edges.
    """
    unit = next((unit for unit in UNITS if _number(unit, end - 1) - _number(unit, start) < MOST_COLUMNS), "year")
    numbers = range(_number(unit, start), _number(unit, end - 1) + 2)
    return unit, [_first_second(unit, number) for number in numbers]


def _number(unit: str, second: int) -> int:
    """The column that a second belongs to, counted from some column on."""
    if unit in DAYS:
        return (second // DAY + MONDAY) // DAYS[unit]
    at = datetime.fromtimestamp(second, UTC)
    return (at.year * 12 + at.month - 1) // MONTHS[unit]


def _first_second(unit: str, number: int) -> int:
    if unit in DAYS:
        return (number * DAYS[unit] - MONDAY) * DAY
    month = number * MONTHS[unit]
    return int(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp())


def added(columns: Sequence[Seconds]) -> Seconds:
    """The sum of several columns."""
    return Seconds(
        sum(one.asked for one in columns), sum(one.covered for one in columns), sum(one.gap for one in columns)
    )
