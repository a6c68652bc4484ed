"""How much of the archive is covered, pending or a gap: per relay and column of a picture, and in all.

Each function takes the database's URL and raises DatabaseUnavailable when it does not answer. The sums come from a
temporary table of one transaction, which `_note_pieces` makes and the functions after it read.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bigbrotr_dagster.archive.columns import columns_between
from bigbrotr_dagster.config import SynchronizerConfig, reachable_networks
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import BlockingConnection, connect
from bigbrotr_dagster.storage.state import SyncState
from bigbrotr_dagster.sync import open_history
from bigbrotr_dagster.windowing.habits import Habits

MOST_RELAYS = 100
NOSTR_BEGAN = int(datetime(2020, 11, 1, tzinfo=UTC).timestamp())
"""Earlier seconds are asked for (events can be dated back), but a picture of them would be one of nothing."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The seconds from `since` on and before `until` that a filter is asked for.

    `always`: of every relay; else only of those that have coverage or gaps under it.
    """

    filter_hash: str
    since: int
    until: int
    always: bool


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Seconds that are asked for, and of those the covered ones and those in gaps."""

    asked: int = 0
    covered: int = 0
    gap: int = 0

    @property
    def pending(self) -> int:
        """Seconds that are neither covered nor in a gap."""
        return self.asked - self.covered - self.gap

    @property
    def covered_share(self) -> float:
        """From 0 to 1; 0 where nothing is asked for."""
        return self.covered / self.asked if self.asked else 0.0


@dataclass(frozen=True, slots=True)
class RelayCoverage:
    """One relay's seconds, and the number of its open gaps."""

    url: str
    seconds: Breakdown
    gaps: int


@dataclass(frozen=True, slots=True)
class GapReason:
    """The open gaps of one reason: their number, the relays that have them, their seconds."""

    reason: str
    gaps: int
    relays: int
    seconds: int


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
    total: Breakdown
    columns: Sequence[Breakdown]
    shown: Sequence[RelayCoverage]
    cells: Sequence[Sequence[Breakdown]]
    reasons: Sequence[GapReason]

    @property
    def gaps(self) -> int:
        """Open gaps, for whatever reason."""
        return sum(reason.gaps for reason in self.reasons)


def archive_coverage(
    database_url: str, config: SynchronizerConfig, *, now: float | None = None, most_relays: int = MOST_RELAYS
) -> ArchiveCoverage:
    """The coverage of all relays that are, or were, synced."""
    asked = asked_seconds(config, time.time() if now is None else now)
    end = max((one.until for one in asked), default=NOSTR_BEGAN)
    with connect(database_url) as connection, connection.transaction():
        _note_pieces(connection, asked, reachable_networks(config))
        first = min((one.since for one in asked), default=0)
        start = max(first, NOSTR_BEGAN)
        oldest = _oldest_event(connection)
        # Below the oldest event a picture is empty, unless a walk is still on its way there.
        if oldest is not None and not _is_pending_between(connection, start, oldest):
            start = max(start, min(oldest, end - 1))
        unit, edges = columns_between(start, max(end, start + 1))
        bounds = (edges[0], edges[-1])
        shown, relays, uncovered = _relays_most_behind(connection, asked, *bounds, most_relays)
        cells = _cells(connection, edges, [relay.url for relay in shown])
        nothing = [Breakdown()] * (len(edges) - 1)
        columns = _cells(connection, edges).get(None, nothing)
        reasons = _open_gaps(connection, [one.filter_hash for one in asked], edges[0])
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
        return _open_gaps(connection, hashes)


def proved_relays(database_url: str) -> int:
    """Number of registered relays of which something is proved: covered, or a gap."""
    with connect(database_url) as connection:
        row = connection.execute(query("proved_relays")).fetchone()
        return int(row[0]) if row else 0


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


def added(columns: Sequence[Breakdown]) -> Breakdown:
    """The sum of several columns."""
    return Breakdown(
        sum(one.asked for one in columns), sum(one.covered for one in columns), sum(one.gap for one in columns)
    )


def _note_pieces(connection: BlockingConnection, asked: Sequence[Asked], networks: Sequence[str]) -> None:
    """Prepare the sums for the relays of these networks, and those that were ever tried."""
    values = {
        "hashes": [one.filter_hash for one in asked],
        "since": [one.since for one in asked],
        "until": [one.until for one in asked],
        "always": [one.always for one in asked],
        "networks": list(networks),
    }
    connection.execute(query("make_coverage_piece"), values)


def _oldest_event(connection: BlockingConnection) -> int | None:
    """`created_at` of the oldest event; None if there is none."""
    row = connection.execute(query("oldest_event")).fetchone()
    return row[0] if row else None


def _is_pending_between(connection: BlockingConnection, since: int, until: int) -> bool:
    """Whether a relay of which something is covered has pending seconds from `since` on and before `until`."""
    row = connection.execute(query("coverage_is_pending_between"), {"since": since, "until": until}).fetchone()
    return bool(row and row[0])


def _relays_most_behind(
    connection: BlockingConnection, asked: Sequence[Asked], since: int, until: int, most: int
) -> tuple[list[RelayCoverage], int, int]:
    """The `most` relays of which most is missing; the number of all relays, and of those nothing is covered of.

    The latter come last.
    """
    values = {"hashes": [one.filter_hash for one in asked], "since": since, "until": until, "most": most}
    rows = connection.execute(query("coverage_relays"), values).fetchall()
    relays = [RelayCoverage(url, Breakdown(*seconds), gaps) for url, *seconds, gaps, _, _ in rows]
    return relays, rows[0][-2] if rows else 0, rows[0][-1] if rows else 0


def _cells(
    connection: BlockingConnection, edges: Sequence[int], urls: Sequence[str] | None = None
) -> dict[str | None, list[Breakdown]]:
    """The seconds between each two edges, by relay; without `urls` of all relays together, under None."""
    values = {"since": list(edges[:-1]), "until": list(edges[1:]), "urls": urls and list(urls)}
    found: dict[str | None, list[Breakdown]] = {}
    for url, number, *seconds in connection.execute(query("coverage_cells"), values):
        row = found.setdefault(url, [Breakdown()] * (len(edges) - 1))
        row[number - 1] = Breakdown(*seconds)
    return found


def _open_gaps(connection: BlockingConnection, filter_hashes: Sequence[str], since: int = 0) -> list[GapReason]:
    """The gaps of registered relays by reason, most first; only their seconds from `since` on are counted."""
    values = {"hashes": list(filter_hashes), "since": since}
    return [GapReason(*row) for row in connection.execute(query("open_gaps"), values)]
