"""What a report shows, as numbers: the coverage as it is, the rest of a sample, whose cost does not grow."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bigbrotr_dagster.archive.columns import DAY, columns_between
from bigbrotr_dagster.archive.coverage import ArchiveCoverage, archive_coverage
from bigbrotr_dagster.archive.stats import (
    FOLLOWED_EVENTS,
    NetworkEvents,
    TableSize,
    draw_events,
    looking,
    table_sizes,
)
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import BlockingConnection

FOLLOWED_OBSERVATIONS = 500_000
"""Of the followed events there are about so many observations at most, however many relays hold each."""

KINDS_SHOWN, RELAYS_COVERED, RELAYS_COMPARED, MOST_COPIES = 20, 40, 24, 25
"""Bounds of the page: kinds, rows of the coverage, relays in the overlap; so many copies and more are one bar."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Events a day in each column between two edges (Unix time, UTC), of one `unit` each; n + 1 edges for n."""

    unit: str
    edges: Sequence[int]
    per_day: Sequence[float]


@dataclass(frozen=True, slots=True)
class Overlap:
    """`shared[row][column]`: how many of the followed events relays `urls[row]` and `urls[column]` both hold."""

    urls: Sequence[str]
    shared: Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """The archive at `made_at` (Unix time).

    `sampled` events were drawn, and of those the observations of `followed` read; `sampled_share` of all events is
    1 where none was left out. `created` and `seen`: when events were made, and first seen (None: none was).
    `copies`: events by the number of relays that hold them.
    """

    made_at: int
    coverage: ArchiveCoverage
    tables: dict[str, TableSize]
    relays: dict[str, int]
    sampled: int
    sampled_share: float
    followed: int
    created: Growth
    seen: Growth | None
    kinds: Sequence[tuple[int, int]]
    networks: Sequence[NetworkEvents]
    copies: Sequence[tuple[int, int]]
    overlap: Overlap

    @property
    def events(self) -> int:
        """Rows of `event`: exact for a small archive, an estimate for a large one."""
        return self.tables["event"].rows


def gather(database_url: str, config: SynchronizerConfig, *, now: float | None = None) -> ReportFacts:
    """All that the report shows.

    Raises:
        DatabaseUnavailable: the archive does not answer, or not soon enough.
    """
    moment = int(time.time() if now is None else now)
    coverage = archive_coverage(database_url, config, now=moment, most_relays=RELAYS_COVERED)
    with looking(database_url) as connection:
        tables = table_sizes(connection)
        events, observations = tables["event"].rows, tables["observation"].rows
        sampled, scale = draw_events(connection, events)
        most = min(FOLLOWED_EVENTS, max(1, FOLLOWED_OBSERVATIONS * max(1, events) // max(1, observations)))
        connection.execute(query("follow_sampled_events"), {"most": most})
        connection.execute(query("plan_for_followed"))
        followed = min(most, sampled)
        each = scale * sampled / followed if followed else 1.0
        kinds = connection.execute(query("sampled_by_kind"), {"most": KINDS_SHOWN}).fetchall()
        networks = connection.execute(query("followed_by_network")).fetchall()
        copies = connection.execute(query("followed_by_copies"), {"most": MOST_COPIES}).fetchall()
        return ReportFacts(
            made_at=moment,
            coverage=coverage,
            tables=tables,
            relays=dict(connection.execute(query("relays_by_network")).fetchall()),
            sampled=sampled,
            sampled_share=1 / scale,
            followed=followed,
            created=_created(connection, coverage, moment, scale),
            seen=_seen(connection, moment, each),
            kinds=[(kind, round(count * scale)) for kind, count in kinds],
            networks=[
                NetworkEvents(name, round(held * each), round(seen * each)) for name, held, seen in networks
            ],
            copies=[(number, round(count * each)) for number, count in copies],
            overlap=_overlap(connection),
        )


def _created(connection: BlockingConnection, coverage: ArchiveCoverage, now: int, scale: float) -> Growth:
    """By the columns of the coverage, so that both can be compared."""
    values = {"edges": list(coverage.edges), "now": now}
    rows = connection.execute(query("sampled_by_column"), values).fetchall()
    return _growth(coverage.unit, coverage.edges, coverage.edges[0], now, rows, scale)


def _seen(connection: BlockingConnection, now: int, each: float) -> Growth | None:
    row = connection.execute(query("followed_since")).fetchone()
    if row is None or row[0] is None:
        return None
    since = min(int(row[0]), now)
    unit, edges = columns_between(since, now + 1)
    rows = connection.execute(query("followed_by_column"), {"edges": list(edges), "now": now}).fetchall()
    return _growth(unit, edges, since, now, rows, each)


def _growth(
    unit: str, edges: Sequence[int], since: int, now: int, rows: Sequence[tuple[Any, ...]], each: float
) -> Growth:
    """`rows`: a column, from 1 on, and its events; each stands for `each`. A part of a day counts as a day."""
    counts = dict(rows)
    per_day = []
    for number, (first, after) in enumerate(pairwise(edges), 1):
        days = (min(after, now) - max(first, since)) / DAY
        per_day.append(counts.get(number, 0) * each / max(1.0, days))
    return Growth(unit, edges, per_day)


def _overlap(connection: BlockingConnection) -> Overlap:
    rows = connection.execute(query("followed_overlap"), {"most": RELAYS_COMPARED}).fetchall()
    urls = {place: url for place, _, url, _ in rows}
    shared = [[0] * len(urls) for _ in urls]
    for place, other, _, events in rows:
        shared[place - 1][other - 1] = events
    return Overlap([urls[place] for place in sorted(urls)], shared)
