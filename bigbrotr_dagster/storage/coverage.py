"""How much of what is asked for is covered, pending or a gap: sums over all relays. Blocking; for the graph.

`note_pieces` begins: it makes a temporary table that the other functions read within the same transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from bigbrotr_dagster.storage.queries import query

_Connection = psycopg.Connection[TupleRow]


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
class Seconds:
    """Seconds that are asked for, and of those the covered ones and those in gaps."""

    asked: int = 0
    covered: int = 0
    gap: int = 0

    @property
    def pending(self) -> int:
        return self.asked - self.covered - self.gap

    @property
    def covered_share(self) -> float:
        """From 0 to 1; 0 where nothing is asked for."""
        return self.covered / self.asked if self.asked else 0.0


@dataclass(frozen=True, slots=True)
class RelayCoverage:
    """One relay's seconds, and the number of its open gaps."""

    url: str
    seconds: Seconds
    gaps: int


@dataclass(frozen=True, slots=True)
class GapReason:
    """The open gaps of one reason: their number, the relays that have them, their seconds."""

    reason: str
    gaps: int
    relays: int
    seconds: int


def note_pieces(connection: _Connection, asked: Sequence[Asked], networks: Sequence[str]) -> None:
    """Prepare the sums for the relays of these networks, and those that were ever tried."""
    values = {
        "hashes": [one.filter_hash for one in asked],
        "since": [one.since for one in asked],
        "until": [one.until for one in asked],
        "always": [one.always for one in asked],
        "networks": list(networks),
    }
    connection.execute(query("make_coverage_piece"), values)


def oldest_event(connection: _Connection) -> int | None:
    """`created_at` of the oldest event; None if there is none."""
    row = connection.execute(query("oldest_event")).fetchone()
    return row[0] if row else None


def is_pending_between(connection: _Connection, since: int, until: int) -> bool:
    """Whether a relay of which something is covered has pending seconds from `since` on and before `until`."""
    row = connection.execute(query("coverage_is_pending_between"), {"since": since, "until": until}).fetchone()
    return bool(row and row[0])


def relays_most_behind(
    connection: _Connection, asked: Sequence[Asked], since: int, until: int, most: int
) -> tuple[list[RelayCoverage], int, int]:
    """The `most` relays of which most is missing; the number of all relays, and of those nothing is covered of.

    The latter come last.
    """
    values = {"hashes": [one.filter_hash for one in asked], "since": since, "until": until, "most": most}
    rows = connection.execute(query("coverage_relays"), values).fetchall()
    relays = [RelayCoverage(url, Seconds(*seconds), gaps) for url, *seconds, gaps, _, _ in rows]
    return relays, rows[0][-2] if rows else 0, rows[0][-1] if rows else 0


def cells(
    connection: _Connection, edges: Sequence[int], urls: Sequence[str] | None = None
) -> dict[str | None, list[Seconds]]:
    """The seconds between each two edges, by relay; without `urls` of all relays together, under None."""
    values = {"since": list(edges[:-1]), "until": list(edges[1:]), "urls": urls and list(urls)}
    found: dict[str | None, list[Seconds]] = {}
    for url, number, *seconds in connection.execute(query("coverage_cells"), values):
        row = found.setdefault(url, [Seconds()] * (len(edges) - 1))
        row[number - 1] = Seconds(*seconds)
    return found


def open_gaps(connection: _Connection, filter_hashes: Sequence[str], since: int = 0) -> list[GapReason]:
    """The gaps of registered relays by reason, most first; only their seconds from `since` on are counted."""
    values = {"hashes": list(filter_hashes), "since": since}
    return [GapReason(*row) for row in connection.execute(query("open_gaps"), values)]


def proved_relays(connection: _Connection) -> int:
    """Number of registered relays of which something is proved: covered, or a gap."""
    row = connection.execute(query("proved_relays")).fetchone()
    return int(row[0]) if row else 0
