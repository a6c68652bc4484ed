"""An export: days of the archive, one after another, into a folder or into S3-compatible storage."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from bigbrotr_dagster import __version__
from bigbrotr_dagster.archive.export.coverage import Asked, DayCoverage
from bigbrotr_dagster.archive.export.day import Day
from bigbrotr_dagster.archive.export.due import due_days, touched_days
from bigbrotr_dagster.archive.export.errors import DayRefused, ExportRefused
from bigbrotr_dagster.archive.export.manifest import FORMAT, File, Manifest
from bigbrotr_dagster.archive.export.places import DataSet, data_set, opened
from bigbrotr_dagster.archive.export.snapshot import snapshot, write_day
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.storage.databases import archive_identity


@dataclass(frozen=True, slots=True)
class ExportedDay:
    """A day that was written. `why`: `new`, `changed`, `format` or `asked`; `files`: events, then observations."""

    date: str
    why: str
    events: int
    observations: int
    coverage: DayCoverage
    files: Sequence[File]

    @property
    def bytes(self) -> int:
        """Of both files."""
        return sum(file.bytes for file in self.files)

    @property
    def share(self) -> float:
        """Of the relays that count, those that prove every second of the day."""
        return self.coverage.share


@dataclass(frozen=True, slots=True)
class Due:
    """What a look at a data set found: the days that are there, and those that are due, with the reason."""

    written: Mapping[str, Manifest]
    days: Mapping[str, str]


def export(
    database_url: str,
    config: SynchronizerConfig,
    place: str | Path,
    days: Sequence[str] = (),
    *,
    first: str | None = None,
    on_refused: Callable[[str, DayRefused], None] | None = None,
) -> Iterator[ExportedDay]:
    """Write these days (`YYYY-MM-DD`), or else all that are due; each is told of when it is there.

    What an earlier export had ready when it was killed is put in its place first. `place`: a folder, or
    `s3://bucket/prefix`; `first`: no earlier day is due. A day whose rows do not fit the columns ends the export;
    with `on_refused` it is told of, and the others go on.

    Raises:
        PlaceInUse: another export writes there.
        ExportRefused: a day is none or has not begun; pyarrow is missing; the place cannot be used, or holds days
            of another archive; a day cannot be written.
        DatabaseUnavailable: the server does not answer, or goes away meanwhile.
        OSError: a folder cannot be written.
    """
    today = Day.of(time.time())
    asked = sorted({parsed_day(text, today) for text in days})
    need_arrow()
    of, identity = Asked.of(config), archive_identity(database_url)
    with opened(str(place), identity, database_url) as into:
        why = dict.fromkeys(asked, "asked")
        if not asked:
            with snapshot(database_url) as connection:
                share, begin = config.export.share, _first(first)
                why = due_days(connection, into.manifests(), of, share=share, first=begin, today=today)
        for day, reason in why.items():
            try:
                yield _export_day(database_url, of, into, day, reason)
            except DayRefused as error:
                if on_refused is None:
                    raise
                on_refused(str(day), error)


def look(
    database_url: str,
    config: SynchronizerConfig,
    place: str | Path,
    *,
    first: str | None = None,
    seen_since: int | None = None,
) -> Due:
    """Which days are there, and which are due; nothing is written.

    The arguments are those of `export`. With `seen_since` (Unix time) a day has changed only if a relay was first
    seen with one of its events since then: deletions are not noticed, and what is read is in proportion to what
    came since, not to all that was written.

    Raises:
        ExportRefused: pyarrow is missing; the place cannot be used, or holds days of another archive.
        DatabaseUnavailable: the server does not answer, or goes away meanwhile.
        OSError: a folder cannot be read.
    """
    need_arrow()
    there = data_set(str(place), archive_identity(database_url)).manifests()
    of, today = Asked.of(config), Day.of(time.time())
    with snapshot(database_url) as connection:
        due = due_days(
            connection,
            there,
            of,
            share=config.export.share,
            first=_first(first),
            today=today,
            touched=None if seen_since is None else touched_days(connection, seen_since),
        )
    return Due({str(day): one for day, one in there.items()}, {str(day): why for day, why in due.items()})


def _first(text: str | None) -> Day:
    return Day(0) if text is None else Day.parse(text)


def parsed_day(text: str, today: Day | None = None) -> Day:
    """The day that a person names.

    Raises:
        ExportRefused: it is no day, or has not begun.
    """
    try:
        day = Day.parse(text)
    except ValueError as error:
        raise ExportRefused(f"{text!r} is no day from 1970 on, as YYYY-MM-DD") from error
    if day > (today or Day.of(time.time())):
        raise ExportRefused(f"{day} has not begun (days are UTC's)")
    return day


def need_arrow() -> None:
    """Look whether the extra `export` is installed.

    Raises:
        ExportRefused: it is not.
    """
    if find_spec("pyarrow") is None:
        raise ExportRefused("export needs more: pip install 'bigbrotr-dagster[export]'")


def _export_day(database_url: str, asked: Asked, into: DataSet, day: Day, reason: str) -> ExportedDay:
    with into.staged(day) as staging:
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        totals, coverage = write_day(database_url, asked, day, staging.events, staging.observations)
        files = staging.complete(
            {
                "format": FORMAT,
                "date": str(day),
                "since": day.since,
                "until": day.until,
                "archive": into.archive,
                "made_at": made_at,
                "made_by": f"bigbrotr-dagster {__version__}",
                "totals": totals.document(),
                "coverage": coverage.document(),
            }
        )
    return ExportedDay(str(day), reason, totals.events, totals.observations, coverage, files)
