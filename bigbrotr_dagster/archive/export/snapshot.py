"""One day of the archive, read in one transaction: both tables and the coverage are of the same moment."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from psycopg import IsolationLevel

from bigbrotr_dagster.archive.export.coverage import Asked, DayCoverage, day_coverage
from bigbrotr_dagster.archive.export.day import Day
from bigbrotr_dagster.archive.export.errors import DayRefused
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import BlockingConnection, connect


@dataclass(frozen=True, slots=True)
class DayTotals:
    """What tells whether a day has changed; `largest_seq` and `latest_seen_at` are None where nothing is held.

    `latest_seen_at`: the latest observation of the day's events (Unix time).
    """

    events: int
    largest_seq: int | None
    observations: int
    latest_seen_at: int | None

    def document(self) -> dict[str, int | None]:
        """As the manifest has it."""
        return asdict(self)


@contextmanager
def snapshot(database_url: str) -> Iterator[BlockingConnection]:
    """A transaction that sees one moment of the archive, and can change nothing.

    Raises:
        DatabaseUnavailable: the server does not answer, or goes away meanwhile.
    """
    with connect(database_url) as connection:
        connection.isolation_level, connection.read_only = IsolationLevel.REPEATABLE_READ, True
        with connection.transaction():
            yield connection


NOTHING = DayTotals(0, None, 0, None)


def day_totals(connection: BlockingConnection, first: Day, last: Day) -> dict[Day, DayTotals]:
    """What the archive holds of the days from the first to the last one; days without events are left out."""
    rows = connection.execute(query("day_totals"), {"since": first.since, "until": last.until})
    return {Day(number): DayTotals(*totals) for number, *totals in rows}


def write_day(
    database_url: str, asked: Asked, day: Day, events: Path, observations: Path
) -> tuple[DayTotals, DayCoverage]:
    """Write both tables of a day to these files.

    Raises:
        DatabaseUnavailable: the server does not answer, or goes away meanwhile.
        DayRefused: a row does not fit its columns.
        OSError: a file cannot be written.
    """
    from bigbrotr_dagster.archive.export import tables  # it needs an extra

    with snapshot(database_url) as connection:
        totals = day_totals(connection, day, day).get(day, NOTHING)
        coverage = day_coverage(connection, asked, day)
        event_types = ["bytea", "bytea", "int8", "int4", "text", "text", "bytea"]
        written = tables.write_events(events, _rows(connection, "copy_day_events", event_types, day))
        seen = tables.write_observations(
            observations, _rows(connection, "copy_day_observations", ["bytea", "text", "int8"], day)
        )
    if (written, seen) != (totals.events, totals.observations):
        counted = f"{totals.events} events and {totals.observations} observations"
        raise DayRefused(f"{day}: {written} events and {seen} observations came of {counted}")
    return totals, coverage


def _rows(connection: BlockingConnection, name: str, types: list[str], day: Day) -> Iterator[tuple[Any, ...]]:
    with connection.cursor() as cursor, cursor.copy(query(name), _seconds(day)) as copy:
        copy.set_types(types)
        yield from copy.rows()


def _seconds(day: Day) -> dict[str, int]:
    return {"since": day.since, "until": day.until}
