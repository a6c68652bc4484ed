"""What a monitor asks of the database: a few bounded queries on one short connection, read only."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from bigbrotr_dagster.storage.pool import connect
from bigbrotr_dagster.storage.queries import query

CONNECT_SECONDS = 3
QUERY_SECONDS = 5.0
"""For all queries together: with the above less than the ten seconds that Prometheus waits by default."""


@dataclass(frozen=True, slots=True)
class NetworkFigures:
    """The relays of one network. `lag` is that of the cursors in seconds; None where there is none."""

    network: str
    failed: int
    ok: int
    never_tried: int
    waiting: int
    without_cursor: int
    max_lag: float | None
    median_lag: float | None
    last_success: float | None


@dataclass(frozen=True, slots=True)
class GapFigures:
    reason: str
    gaps: float
    seconds: float


@dataclass(frozen=True, slots=True)
class TableFigures:
    table: str
    rows: float
    bytes: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The archive at one moment. `quarantined` goes by reason, `totals` by network and name (`sync_total`)."""

    networks: Sequence[NetworkFigures]
    gaps: Sequence[GapFigures]
    quarantined: dict[str, float]
    tables: Sequence[TableFigures]
    totals: dict[tuple[str, str], float]


def read_figures(database_url: str) -> Figures:
    """Ask for everything.

    Raises:
        DatabaseUnavailable: the database does not answer in time, refuses, or does not have our tables.
    """
    deadline = time.monotonic() + CONNECT_SECONDS + QUERY_SECONDS
    silence = int(1000 * QUERY_SECONDS)
    with connect(database_url, connect_timeout=CONNECT_SECONDS, tcp_user_timeout=silence) as connection:
        networks = _rows(connection, "metrics_relays", deadline)
        gaps = _rows(connection, "metrics_gaps", deadline)
        quarantined = _rows(connection, "metrics_quarantine", deadline)
        tables = _rows(connection, "metrics_tables", deadline)
        totals = _rows(connection, "metrics_totals", deadline)
    return Figures(
        networks=[NetworkFigures(*row) for row in networks],
        gaps=[GapFigures(*row) for row in gaps],
        quarantined=dict(quarantined),
        tables=[TableFigures(*row) for row in tables],
        totals={(network, name): value for network, name, value in totals},
    )


def _rows(connection: psycopg.Connection[TupleRow], name: str, deadline: float) -> list[TupleRow]:
    left = max(1, int(1000 * (deadline - time.monotonic())))
    connection.execute("SELECT set_config('statement_timeout', %s, false)", [str(left)])
    return connection.execute(query(name)).fetchall()
